"""``rbee-scheduler route``: the shipped decision on a request and a fleet from files; a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._input import load_request, load_workers
from rbee_scheduler.cli._options import DeploymentSource, deployment_options, output_options


if TYPE_CHECKING:
    from rbee_scheduler import Explanation
    from rbee_scheduler.cli._output import Output


__all__ = ["route"]

_BRIEF = (
    "job_id",
    "model",
    "action",
    "strategy",
    "selected_by",
    "worker_id",
    "fallbacks",
    "reason",
)


@click.command()
@click.option(
    "-f",
    "--file",
    "job",
    required=True,
    metavar="JOB.JSON",
    help="The request; - reads it from stdin.",
)
@click.option(
    "--workers",
    metavar="WORKERS.JSON",
    help="The fleet, instead of the configuration's [[workers]].",
)
@click.option("--explain", is_flag=True, help="Show each filter's verdict and each score.")
@click.option("--verify", metavar="WORKER", help="Exit with 1 unless this worker is chosen.")
@click.option("--strategy", metavar="NAME", help="Decide with this strategy.")
@deployment_options
@output_options
@click.pass_context
def route(
    context: click.Context,
    *,
    output: Output,
    source: DeploymentSource,
    job: str,
    workers: str | None,
    explain: bool,
    verify: str | None,
    strategy: str | None,
) -> None:
    """Say which worker a request would go to, and why.

    A dry run: nothing is sent to any worker. Exits with 1 when no worker is chosen, or
    another one than --verify names.
    """
    request = load_request(job)
    if strategy is not None:
        # Who runs this command is the operator, who may choose where a request may not.
        source.override("strategy", strategy, "--strategy")
        request = attrs.evolve(request, strategy=None)
    options: dict[str, Any] = {}
    if workers is not None:
        deployment = attrs.evolve(
            source.configuration().deployment, workers=tuple(load_workers(workers))
        )
        options["registry"] = deployment.make_registry()
    explanation = source.scheduler(**options).explain(request)
    chosen = explanation.worker_id
    verified = None if verify is None else chosen == verify
    for failure in explanation.failures:
        output.warn(failure)
    output.emit(
        _data(explanation, in_full=explain, verified=verified),
        lambda: explanation.to_text() if explain else _headline(explanation),
    )
    if verified is False:
        output.message(f"expected {verify}, but {chosen or 'no worker'} is chosen")
    if explanation.action != "dispatch" or verified is False:
        context.exit(NEGATIVE)


def _headline(explanation: Explanation) -> str:
    """Return the chosen worker alone, for scripts; or why there is none."""
    return explanation.worker_id or explanation.to_text().partition("\n")[0]


def _data(explanation: Explanation, *, in_full: bool, verified: bool | None) -> dict[str, Any]:
    data = explanation.to_dict()
    if not in_full:
        data = {key: data[key] for key in _BRIEF}
    return data if verified is None else data | {"verified": verified}
