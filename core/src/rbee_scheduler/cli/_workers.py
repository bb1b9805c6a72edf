"""``rbee-scheduler workers``: probe workers and show what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._fleet import fleet_options, workers_of
from rbee_scheduler.cli._options import (
    DeploymentSource,
    backend_option,
    deployment_options,
    output_options,
)


if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbee_scheduler import Worker
    from rbee_scheduler._findings import Findings
    from rbee_scheduler.cli._output import Output


__all__ = ["workers"]

_SHOWN = (
    "id", "url", "protocol", "implementation", "version", "model", "models", "online", "status",
    "slots", "running", "waiting",
)  # fmt: skip
_SHOWN_MODELS = 3


@click.command()
@fleet_options
@click.option(
    "--limit",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Longest wait for an answer.",
)
@deployment_options
@backend_option
@output_options
@click.pass_context
def workers(
    context: click.Context,
    *,
    output: Output,
    source: DeploymentSource,
    urls: Sequence[str],
    api_key: str | None,
    limit: float,
) -> None:
    """Probe workers and show what they are.

    Asks each for its health, models, metrics and slots, all at once. -v shows what was
    asked and answered. Exits with 1 when no worker can be sent requests.
    """
    found = source.run(_probe_all, workers_of(urls, api_key, source), limit)
    output.emit({"workers": [_data(one) for one in found]}, lambda: _text(found, output))
    if not any(one.usable for one in found):
        output.message("no worker is available")
        context.exit(NEGATIVE)


async def _probe_all(fleet: Sequence[Worker], limit: float) -> list[Findings]:
    import anyio

    from rbee_scheduler import HttpxTransport
    from rbee_scheduler._probe import probe

    transport = HttpxTransport()
    found: dict[str, Findings] = {}

    async def look(worker: Worker) -> None:
        found[worker.id] = await probe(worker, transport, limit=limit)

    try:
        async with anyio.create_task_group() as tasks:
            for worker in fleet:
                tasks.start_soon(look, worker)
    finally:
        with anyio.CancelScope(shield=True):
            await transport.aclose()
    return [found[worker.id] for worker in fleet]


def _data(found: Findings) -> dict[str, Any]:
    from rbee_scheduler._probe_parse import said

    return {
        **{name: getattr(found.worker, name) for name in _SHOWN},
        "available": found.usable,
        "reason": found.reason,
        "answers": [
            {"path": answer.path, "status": answer.status, "said": said(answer)}
            for answer in found.answers
        ],
    }


def _text(found: Sequence[Findings], output: Output) -> str:
    from rbee_scheduler._probe_parse import said
    from rbee_scheduler.cli._output import safe

    columns = (
        "worker",
        "kind",
        "version",
        "models",
        "status",
        "slots",
        "running",
        "waiting",
        "answered",
    )
    rows = [
        (
            one.worker.id,
            one.worker.implementation or one.worker.protocol,
            one.worker.version,
            _models(one.worker),
            one.worker.status if one.worker.online else "offline",
            one.worker.slots,
            one.worker.running if one.reachable else None,
            one.worker.waiting if one.reachable else None,
            " ".join(answer.path.rpartition("/")[2] for answer in one.answers if answer.good),
        )
        for one in found
    ]
    lines = [f"{one.worker.id}: {one.reason}" for one in found if one.reason]
    if output.verbosity > 0:
        for one in found:
            lines += ["", f"{one.worker.id} at {one.worker.url}"]
            lines += [f"  GET {answer.path}: {said(answer)}" for answer in one.answers]
    return "\n".join([output.table(columns, rows), *map(safe, lines)])


def _models(worker: Worker) -> str:
    """Return the first few models, and how many more there are."""
    first = ", ".join(worker.models[:_SHOWN_MODELS])
    more = len(worker.models) - _SHOWN_MODELS
    return f"{first}, {more} more" if more > 0 else first
