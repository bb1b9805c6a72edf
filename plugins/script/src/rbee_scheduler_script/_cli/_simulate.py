"""``policy simulate``: many jobs on a made-up fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import output_options
from rbee_scheduler.cli._output import safe
from rbee_scheduler_script._cli._files import role_option


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output
    from rbee_scheduler_script._simulation import SimulationReport


__all__ = ["simulate"]

_SHOWN_WORKERS = 20


@click.command()
@click.argument("file")
@click.option(
    "--workers",
    default=20,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Workers of the made-up fleet.",
)
@click.option("--fleet", metavar="WORKERS.JSON", help="A fleet from a file instead.")
@click.option(
    "--jobs", default=1000, show_default=True, type=click.IntRange(1, 1_000_000), help="Jobs."
)
@click.option("--seed", default=0, show_default=True, help="Another seed, other jobs.")
@role_option
@output_options
@click.pass_context
def simulate(
    context: click.Context,
    *,
    output: Output,
    file: str,
    workers: int,
    fleet: str | None,
    jobs: int,
    seed: int,
    role: str | None,
) -> None:
    """Let a policy place many jobs on a made-up fleet.

    Says which worker gets how many, how long jobs wait, and what a decision takes. The same
    seed gives the same jobs and decisions. Exits with 1 when the policy fails.
    """
    from rbee_scheduler import WorkerRegistry
    from rbee_scheduler.cli._input import load_workers
    from rbee_scheduler_script import _simulation, _synthetic
    from rbee_scheduler_script._cli._files import compiled_policy, load_policy
    from rbee_scheduler_script._still_clock import StillClock

    policy = compiled_policy(load_policy(file), role, max_failures=0)
    clock = StillClock()
    if fleet is None:
        registry = _synthetic.synthetic_registry(workers, seed, clock)
    else:
        registry = WorkerRegistry(clock=clock)
        for worker in load_workers(fleet):
            registry.add(worker)
    coming = _synthetic.jobs(jobs, seed, registry, clock)
    report = _simulation.simulate(policy, registry, coming, clock, seed=seed)
    output.emit(attrs.asdict(report), lambda: _text(report, output))
    if report.failures:
        context.exit(NEGATIVE)


def _text(report: SimulationReport, output: Output) -> str:
    figures = [
        ("jobs", f"{report.jobs}, {report.placed} of them placed"),
        (
            "waited",
            f"{report.waited} (p50 {report.wait_p50:.0f} ms, p99 {report.wait_p99:.0f} ms)",
        ),
        ("rejected", sum(report.rejected.values())),
        ("never placed", report.unplaced),
        ("after their deadline", report.late),
        ("cost of all tokens", f"{report.cost:.6f}"),
        (
            "time per decision",
            (
                f"p50 {report.decision_p50:.0f} us, p99 {report.decision_p99:.0f} us "
                f"({report.decisions} decisions)"
            ),
        ),
    ]
    lines = [output.table(("figure", "value"), figures), ""]
    shown = report.workers[:_SHOWN_WORKERS]
    lines.append(
        output.table(
            ("worker", "jobs", "share", "busy"),
            [(one.worker_id, one.jobs, f"{one.share:.1%}", f"{one.busy:.0%}") for one in shown],
        )
    )
    if len(report.workers) > len(shown):
        lines.append(f"and {len(report.workers) - len(shown)} more")
    for title, counts in (("rejected", report.rejected), ("failed", report.failures)):
        lines += [f"{title} {count} times: {safe(reason)}" for reason, count in counts.items()]
    return "\n".join(lines)
