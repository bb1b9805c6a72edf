"""``rbee-scheduler run``: send one prompt through the scheduler and stream the answer."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Any

import attrs
import click

from rbee_scheduler.cli._fleet import fleet_options, workers_of
from rbee_scheduler.cli._input import read_input
from rbee_scheduler.cli._options import (
    DeploymentSource,
    backend_option,
    deployment_options,
    output_options,
)
from rbee_scheduler.cli._output import Output, safe


if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbee_scheduler import InferenceRequest, Outcome, Scheduler, StreamEvent, WorkerRegistry


__all__ = ["run"]


@click.command()
@click.argument("model")
@click.argument("prompt")
@fleet_options
@click.option("--chat/--completion", default=True, show_default=True, help="How to ask.")
@click.option("--max-tokens", type=int, metavar="N", help="Most tokens to generate.")
@click.option("--temperature", type=float, metavar="T", help="0 is greedy.")
@click.option(
    "--resume", is_flag=True, help="When a worker fails half-way, go on on another (--completion)."
)
@click.option("--stats", is_flag=True, help="Say on stderr who answered, and how fast.")
@deployment_options
@backend_option
@output_options
def run(
    *,
    output: Output,
    source: DeploymentSource,
    model: str,
    prompt: str,
    urls: Sequence[str],
    api_key: str | None,
    chat: bool,
    max_tokens: int | None,
    temperature: float | None,
    resume: bool,
    stats: bool,
) -> None:
    """Send one prompt and stream the answer.

    PROMPT - is read from stdin. With --json, each event is a line of JSON.
    """
    from rbee_scheduler import InferenceRequest

    if resume and chat:
        raise click.UsageError("--resume needs --completion: a chat can't go on from its middle")
    text = _prompt(prompt)
    options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    options = {name: value for name, value in options.items() if value is not None}
    request = InferenceRequest(
        job_id=f"run-{uuid.uuid4().hex[:12]}",
        model=model,
        prompt="" if chat else text,
        messages=({"role": "user", "content": text},) if chat else (),
        resume=resume,
        **options,
    )
    deployment = source.configuration().deployment
    fleet = workers_of(urls, api_key, source)
    registry = attrs.evolve(deployment, workers=fleet).make_registry()
    outcome = source.run(_run, source, registry, request, _Printer(output))
    if stats:
        _say_stats(outcome, output)


def _prompt(prompt: str) -> str:
    from rbee_scheduler import InvalidRequest

    if prompt != "-":
        return prompt
    try:
        return read_input("-").decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InvalidRequest("the prompt is no UTF-8", place="<stdin>") from error


class _Printer:
    """Prints a stream's events as they come: as text, or as lines of JSON."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last = "\n"

    def take(self, event: StreamEvent) -> None:
        """Show an event."""
        if self._output.as_json:
            self._output.json_line(_data(event))
        elif event.type == "token":
            self._print(event.text)
        elif event.type == "queued":
            self._output.detail("all workers are busy; waiting for one")
        elif event.type == "started":
            if event.attempt > 1:
                # Not a word of it on stdout, whose text goes on where it stopped.
                new_line = "\n" if self._last != "\n" and sys.stderr.isatty() else ""
                self._output.message(f"{new_line}a worker failed; {event.worker_id} goes on")
            else:
                self._output.detail(f"worker {event.worker_id}")
        elif event.type in {"end", "error"}:
            self.end_line()

    def end_line(self) -> None:
        """Let what follows begin on a line of its own."""
        if self._last != "\n":
            self._print("\n")

    def _print(self, text: str) -> None:
        # On a terminal, a model's escape sequences are shown and not obeyed.
        self._output.write(safe(text) if sys.stdout.isatty() else text)
        self._last = text[-1:] or self._last


async def _run(
    source: DeploymentSource, registry: WorkerRegistry, request: InferenceRequest, printer: _Printer
) -> Outcome:
    """Run the request; return how it ended: well.

    Raises:
        SchedulerError: How it failed.
    """
    from rbee_scheduler import HttpxTransport
    from rbee_scheduler._watch import watch_workers

    transport = HttpxTransport()
    scheduler: Scheduler
    async with (
        source.scheduler(registry=registry, transport=transport) as scheduler,
        watch_workers(registry, transport),
    ):
        _assume(registry, request.model)
        async with scheduler.stream(request) as events:
            async for event in events:
                printer.take(event)
                if event.type == "error":
                    raise _explained(event.error, registry)
                if event.type == "end":
                    return event.outcome
    raise AssertionError("the stream ended without a terminal event")


def _assume(registry: WorkerRegistry, model: str) -> None:
    """Take a worker that names no model for one of the model that is asked for."""
    for worker in registry.snapshot().workers():
        if worker.online and not worker.models:
            registry.update(worker.id, model=model)


def _explained(error: Any, registry: WorkerRegistry) -> Any:
    """Add to an error what is known of the workers, where that may be the cause."""
    if error.code == "NO_WORKERS_AVAILABLE":
        for worker in registry.snapshot().workers():
            state = worker.status if worker.online else "offline"
            error.add_note(f"{worker.id} ({state}) serves: {', '.join(worker.models) or 'nothing'}")
    return error


def _data(event: StreamEvent) -> dict[str, Any]:
    """Return an event as JSON values, without the worker's raw line."""
    from rbee_scheduler.cli._output import plain

    data: dict[str, Any] = plain(event)
    data.pop("data", None)
    if "error" in data:
        data["error"] = event.error.to_dict()  # type: ignore[union-attr]  # only an Error has it
    if isinstance(data.get("outcome"), dict):
        data["outcome"].pop("error", None)
    return {"type": data.pop("type"), **data}


def _say_stats(outcome: Outcome, output: Output) -> None:
    tokens = outcome.usage.completion_tokens
    first = outcome.first_token_ms
    facts = [f"worker {outcome.worker_id}"]
    if outcome.attempts > 1:
        facts.append(f"{outcome.attempts} workers tried")
    if first is not None:
        facts.append(f"first token {first:.0f} ms")
    facts.append(f"total {outcome.total_ms:.0f} ms")
    if tokens is not None:
        facts.append(f"{tokens} tokens")
        seconds = (outcome.total_ms - (first or 0.0)) / 1000.0
        if tokens > 1 and seconds > 0:
            facts.append(f"{(tokens - 1) / seconds:.0f} tokens/s")
    if outcome.finish_reason:
        facts.append(f"finish reason {outcome.finish_reason}")
    output.message(", ".join(facts))
