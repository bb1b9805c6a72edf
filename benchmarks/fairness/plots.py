"""Plots: what each tenant got over time, first come first served beside the fair order."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl


mpl.use("svg")

from matplotlib import pyplot as plt


# Equal figures make equal files: no random ids, no dates.
STYLE = {
    "svg.hashsalt": "fairness",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
MANY = 10  # tenants that get a line of their own, and a name


def draw(compared, folder: Path) -> Path:
    """Write one workload's plot; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    workload = compared.workload
    tenants = sorted(compared.fair.service)
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharex=True, sharey=True)
        runs = (("first come, first served", compared.fcfs), ("fair order", compared.fair))
        for axis, (title, run) in zip(axes, runs, strict=True):
            times = [sample.at for sample in run.samples]
            for tenant in tenants:
                weight = workload.weights.get(tenant, 1.0)
                name = f"{tenant} / {weight:g}" if weight != 1.0 else tenant
                service = [sample.service.get(tenant, 0.0) / weight for sample in run.samples]
                axis.plot(
                    times,
                    [value / 1e3 for value in service],
                    label=name if len(tenants) <= MANY else None,
                    linewidth=1.2 if len(tenants) <= MANY else 0.6,
                )
            axis.set_title(title, fontsize=9)
            axis.set_xlabel("seconds")
        axes[0].set_ylabel("service, thousand tokens")
        if len(tenants) <= MANY:
            axes[0].legend(frameon=False, fontsize=8)
        figure.suptitle(workload.title, fontsize=10)
        figure.tight_layout()
        path = folder / f"fairness-{workload.name}.svg"
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return path
