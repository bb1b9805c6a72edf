"""The page of the metrics lists all of them, as they are."""

import re
from pathlib import Path

import pytest

from rbee_scheduler_gateway._metrics._names import METRICS, PROVIDER


PAGE = (Path(__file__).parents[3] / "docs/metrics.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z_]+)` \| ([a-z]+) \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
METRIC = re.compile(r"\b(?:rbee|gen_ai_(?:server|client))_[a-z_]+")


def row(metric):
    name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    return (name, metric.kind, labels, metric.about)


def test_every_metric_has_its_row_and_every_row_its_metric():
    # To write the table anew, print the rows of `expected`.
    expected = [row(metric) for metric in METRICS]
    assert ROW.findall(PAGE) == expected


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.buckets])
def test_every_histograms_buckets_are_told(metric):
    bounds = ", ".join(f"{bound:.10g}" for bound in metric.buckets)
    assert f"`{metric.name}`: {bounds}" in PAGE


def test_examples_use_only_what_there_is():
    known = {row(metric)[0] for metric in METRICS}
    known |= {
        f"{m.name}{end}" for m in METRICS if m.buckets for end in ("_bucket", "_count", "_sum")
    }
    known |= {
        f"{m.name}{end}" for m in METRICS if m.kind == "summary" for end in ("_count", "_sum")
    }
    blocks = re.findall(r"^```(?:yaml|promql)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    used = {name for block in blocks for name in METRIC.findall(block)}
    assert used - known == set()
    assert len(used) > 5


def test_the_page_names_the_provider():
    assert f"`{PROVIDER}`" in PAGE
