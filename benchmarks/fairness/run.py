"""Compare the shipped fair order with first come, first served: a table, bars, plots.

    python benchmarks/fairness/run.py [--plots docs/img] [--json] [--traces DIR] [--seconds S]

Everything runs on a virtual clock: the same figures each time, on every machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import attrs


HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # run as a program, this folder is no package

from fairness import measure, workloads  # noqa: E402 - see above
from fairness.simulate import simulate, unloaded  # noqa: E402 - see above


SECONDS = 380.0

# Throughput of first come, first served depends on who comes first; these workloads have
# requests of one size, so that it can be compared.
ONE_SIZE = ("overload", "flood", "weights", "on-off")


@attrs.frozen(kw_only=True)
class Compared:
    """One workload, both orders."""

    workload: workloads.Workload
    fcfs: object
    fair: object
    alone: object = None

    @property
    def gaps(self):
        weights = self.workload.weights
        return measure.largest_gap(self.fcfs, weights), measure.largest_gap(self.fair, weights)

    @property
    def throughput(self) -> float:
        return self.fair.throughput / self.fcfs.throughput

    def figures(self):
        """Return all that the table shows, as plain data."""
        workload = self.workload
        bound = measure.bound(workload)
        before, now = self.gaps
        figures = {
            "workload": workload.name,
            "bound": round(bound),
            "fcfs_gap": round(before),
            "fair_gap": round(now),
            "fcfs_over_bound": round(before / bound, 2),
            "fcfs_difference": round(measure.windowed_difference(self.fcfs, workload.weights)),
            "fair_difference": round(measure.windowed_difference(self.fair, workload.weights)),
            "fcfs_jain": round(measure.fairness_index(self.fcfs, workload.weights), 3),
            "fair_jain": round(measure.fairness_index(self.fair, workload.weights), 3),
            "throughput": round(self.throughput, 4),
            "preempted": self.fair.preempted,
        }
        if workload.weights:
            error = measure.weight_error(self.fair, workload.weights)
            figures["weight_error"] = round(error, 4)
        if self.alone is not None:
            for name, run in (("alone", self.alone), ("fair", self.fair), ("fcfs", self.fcfs)):
                times = measure.of(run, workload.victims)
                figures[f"{name}_first_token"] = {
                    "p50": round(measure.quantile(times, 0.5), 4),
                    "p90": round(measure.quantile(times, 0.9), 4),
                }
        return figures


def compare(workload) -> Compared:
    alone = unloaded(workload) if workload.victims else None
    fcfs = simulate(workload, fair=False)
    return Compared(workload=workload, fcfs=fcfs, fair=simulate(workload, fair=True), alone=alone)


def bars(figures):
    """Yield what must hold: what, the figure, the bar, whether it holds."""
    name = figures["workload"]
    if name in {"overload", "flood", "short-long"}:
        gap, bound = figures["fair_gap"], figures["bound"]
        yield f"{name}: gap under 2U", gap, bound, gap < bound
        over = figures["fcfs_over_bound"]
        yield f"{name}: first come, first served exceeds 2U", over, 1.0, over > 1.0
    if "weight_error" in figures:
        error = figures["weight_error"]
        yield f"{name}: service off the weights by", error, 0.02, error <= 0.02
    if "alone_first_token" in figures:
        times = figures["fair_first_token"]["p50"] / figures["alone_first_token"]["p50"]
        yield (
            f"{name}: victims' median first token, times unloaded",
            round(times, 2),
            2.0,
            times <= 2,
        )
    if name in ONE_SIZE:
        part = figures["throughput"]
        yield f"{name}: throughput against first come", part, 0.99, part >= 0.99


HEAD = """\
| workload | 2U | largest gap: first come | x 2U | ours | difference per s: first come | ours \
| Jain: first come | ours | throughput |
|---|---|---|---|---|---|---|---|---|---|"""


def row(figures, title) -> str:
    return (
        f"| {title} | {figures['bound']:,} | {figures['fcfs_gap']:,} | "
        f"{figures['fcfs_over_bound']:.1f} | **{figures['fair_gap']:,}** | "
        f"{figures['fcfs_difference']:,} | **{figures['fair_difference']:,}** | "
        f"{figures['fcfs_jain']:.3f} | **{figures['fair_jain']:.3f}** | "
        f"{100 * (figures['throughput'] - 1):+.1f} % |"
    )


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plots", type=Path, help="folder for the SVG plots")
    parser.add_argument("--json", action="store_true", help="print plain data, not a table")
    parser.add_argument("--traces", type=Path, default=HERE / "data", help="folder of traces")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="simulated seconds")
    options = parser.parse_args(arguments)

    compared = [compare(make(options.seconds)) for make in workloads.SYNTHETIC]
    compared += [compare(workload) for workload in workloads.traces(options.traces)]
    figures = [one.figures() for one in compared]
    checked = [bar for one in figures for bar in bars(one)]
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        print(HEAD)
        for one, result in zip(compared, figures, strict=True):
            print(row(result, one.workload.title))
        for result in figures:
            if "alone_first_token" in result:
                print("\nVictims' first token, s:", end="")
                for name in ("alone", "fair", "fcfs"):
                    times = result[f"{name}_first_token"]
                    print(f" {name} p50 {times['p50']} p90 {times['p90']};", end="")
                print()
        print("\n| bar | figure | bar at | holds |\n|---|---|---|---|")
        for what, figure, bar, holds in checked:
            print(f"| {what} | {figure:,} | {bar:,} | {'yes' if holds else '**no**'} |")
    if options.plots:
        from fairness.plots import draw  # matplotlib takes a second, and is needed here only

        for one in compared:
            draw(one, options.plots)
    return 0 if all(holds for *_, holds in checked) else 1


if __name__ == "__main__":
    sys.exit(main())
