"""``rbee-scheduler demo --platform``: from the command line to the story and back."""

from __future__ import annotations

from rbee_scheduler.cli._backend import run_on
from rbee_scheduler.cli._output import Output
from rbee_scheduler.demo import llama_servers
from rbee_scheduler.demo._scenario import watchable_model
from rbee_scheduler_platform._demo import play
from rbee_scheduler_platform._demo_report import DemoReport


__all__ = ["run_demo"]

# Enough for shares that are off by a few hundredths at most; some 10 s on two cores.
REQUESTS = 210


def run_demo(output: Output, *, requests: int | None, workers: int, backend: str) -> bool:
    """Run the demo; return whether all went as promised.

    Args:
        output: Where to tell of it.
        requests: Requests to serve during the flood; None: as many as convince.
        workers: llama.cpp servers, with two slots each.
        backend: Event loop.
    """
    model = watchable_model()

    def tell(line: str) -> None:
        if not output.as_json and output.verbosity >= 0:
            output.write(line + "\n")

    async def main() -> DemoReport:
        async with llama_servers(model, workers, slots=2, context=256) as servers:
            return await play(servers, requests=requests or REQUESTS, tell=tell)

    report = run_on(backend, main)
    output.emit(report, lambda: _text(report, output))
    return report.good


def _text(report: DemoReport, output: Output) -> str:
    rows = [
        (one.tenant, f"{one.weight:g}", one.requests, f"{one.share:.1%}", f"{one.wanted:.1%}")
        for one in report.shares
    ]
    return "\n" + output.table(("tenant", "weight", "requests", "share", "of the weights"), rows)
