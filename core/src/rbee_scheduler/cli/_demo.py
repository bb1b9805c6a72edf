"""``rbee-scheduler demo``: the main job on real workers, in some ten seconds."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import output_options
from rbee_scheduler.cli._output import Output, safe


if TYPE_CHECKING:
    from rbee_scheduler.demo._record import Report

__all__ = ["demo"]

_SHOWN_FAILURES = 5

# Entry points of demos that plugins bring: ``run(output, requests=, workers=, backend=)``, which
# returns whether it went well.
DEMOS = "rbee_scheduler.demos"


# It takes no configuration, so that it shows the same everywhere, a broken one included.
@click.command()
@click.option(
    "--requests",
    default=40,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Requests in all.",
)
@click.option(
    "--concurrency",
    default=8,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Requests under way at once.",
)
@click.option(
    "--workers", default=3, show_default=True, type=click.IntRange(1, 32), help="llama.cpp servers."
)
@click.option("--kill/--no-kill", default=True, help="Kill a worker half-way (or not).")
@click.option("--plain", is_flag=True, help="Print lines, and draw nothing.")
@click.option(
    "--strategy", default="", metavar="NAME", help="Strategy that decides, of an installed plugin."
)
@click.option(
    "--policy",
    default="",
    metavar="FILE",
    help="Policy that decides; edit it while the demo runs (needs rbee-scheduler-script).",
)
@click.option(
    "--platform",
    is_flag=True,
    help="Three tenants share the workers by their weights (needs rbee-scheduler-platform).",
)
@click.option(
    "--backend",
    type=click.Choice(["asyncio", "trio"]),
    default="asyncio",
    show_default=True,
    help="Event loop to run on.",
)
@output_options
def demo(
    *,
    output: Output,
    requests: int,
    concurrency: int,
    workers: int,
    kill: bool,
    plain: bool,
    strategy: str,
    policy: str,
    platform: bool,
    backend: str,
) -> None:
    """Route requests to real llama.cpp servers, made on the spot.

    Makes a tiny model, serves it with several llama.cpp servers, sends requests through
    the scheduler, kills a server half-way, and checks every answer to the letter.

    Exit code 0 says that all requests were answered, and exactly.
    """
    from rbee_scheduler.cli._backend import run_on
    from rbee_scheduler.demo._extra import require_extra
    from rbee_scheduler.demo._live import LiveShow
    from rbee_scheduler.demo._scenario import Scenario, play, watchable_model
    from rbee_scheduler.demo._show import PlainShow, SilentShow

    if platform:
        require_extra("xllamacpp")
        _run_plugins_demo("platform", output, requests, workers, backend)
        return
    scenario = Scenario(
        requests=requests,
        concurrency=concurrency,
        workers=workers,
        kill=kill,
        strategy=strategy,
        policy=policy,
    )
    require_extra("xllamacpp")
    show: PlainShow | LiveShow | SilentShow
    if output.as_json or output.verbosity < 0:
        show = SilentShow()
    elif plain or not (sys.stdout.isatty() and output.colored(sys.stdout)):
        show = PlainShow(output.write)
    else:
        show = LiveShow(
            output.write,
            shutil.get_terminal_size,
            requests=requests,
            concurrency=concurrency,
            slots=scenario.slots,
        )
    model = watchable_model()

    async def run() -> Report:
        return await play(scenario, model, show, backend=backend)

    report = run_on(backend, run)
    output.emit(report, lambda: _text(report, output))
    if not report.good:
        for job_id, why in list(report.failures.items())[:_SHOWN_FAILURES]:
            output.warn(safe(f"{job_id}: {why}"))
        click.get_current_context().exit(NEGATIVE)


def _run_plugins_demo(name: str, output: Output, requests: int, workers: int, backend: str) -> None:
    """Run a demo that a plugin brings: an entry point of the group ``rbee_scheduler.demos``."""
    from importlib.metadata import entry_points

    from rbee_scheduler._errors import ConfigError

    context = click.get_current_context()
    found = entry_points(group=DEMOS, name=name)
    if not found:
        raise ConfigError(
            f"the demo {name!r} needs a plugin that is not installed",
            hint=f"pip install rbee-scheduler-{name}",
        )
    asked = context.get_parameter_source("requests") is not ParameterSource.DEFAULT
    run = next(iter(found)).load()
    good = run(output, requests=requests if asked else None, workers=workers, backend=backend)
    if not good:
        context.exit(NEGATIVE)


def _text(report: Report, output: Output) -> str:
    """Return the report as two tables."""
    killed = ", ".join(worker.worker_id for worker in report.workers if worker.killed)
    figures = [
        ("requests", report.requests),
        ("completed", f"{report.completed}, {report.exact} of them exact to the letter"),
        (
            "retried on another worker",
            f"{report.retried}" + (f" ({killed} was killed)" if killed else ""),
        ),
        (
            "first token",
            f"p50 {report.first_token_p50:.0f} ms, p99 {report.first_token_p99:.0f} ms",
        ),
        ("total", f"p50 {report.total_p50:.0f} ms, p99 {report.total_p99:.0f} ms"),
        (
            "tokens per second",
            f"{report.tokens_per_second:.0f} ({report.tokens} in {report.seconds:.1f} s)",
        ),
        ("strategy", f"{report.strategy}, on {report.backend}"),
    ]
    shares = [
        (one.worker_id + (", killed" if one.killed else ""), one.requests, f"{one.share:.0%}")
        for one in report.workers
    ]
    return "\n".join(
        [
            "",
            output.table(("figure", "value"), figures),
            "",
            output.table(("worker", "requests", "share"), shares),
        ]
    )
