"""The text of our own metrics; prometheus-client takes ten times as long for the same.

The two formats differ in a counter's head only: Prometheus's has the name that the samples
have, OpenMetrics the name without ``_total``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from rbee_scheduler_gateway._metrics._cells import Row
from rbee_scheduler_gateway._metrics._names import Metric


__all__ = ["text_of"]

_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def text_of(rows: Sequence[tuple[Metric, Sequence[Row]]], *, openmetrics: bool) -> str:
    r"""Return metrics as text, without what ends an OpenMetrics page.

    Those without a line are left out.

    Args:
        rows: The metrics, each with its lines.
        openmetrics: Whether heads are those of OpenMetrics.

    Example:
        >>> metric = Metric("bees", "counter", "Bees seen.", ("kind",))
        >>> print(text_of([(metric, [Row(("honey",), 3)])], openmetrics=True), end="")
        # HELP bees Bees seen.
        # TYPE bees counter
        bees_total{kind="honey"} 3
    """
    parts: list[str] = []
    for metric, lines in rows:
        if lines:
            sampled = f"{metric.name}_total" if metric.kind == "counter" else metric.name
            head = metric.name if openmetrics else sampled
            parts.append(f"# HELP {head} {metric.about}\n# TYPE {head} {metric.kind}\n")
            parts += _samples(metric, sampled, lines)
    return "".join(parts)


def _samples(metric: Metric, name: str, rows: Sequence[Row]) -> Iterator[str]:
    if metric.kind == "histogram":
        bounds = [*map(repr, metric.buckets), "+Inf"]
    for row in rows:
        labels = ",".join(
            f'{label}="{value.translate(_ESCAPED)}"'
            for label, value in zip(metric.labels, row.labels, strict=True)
        )
        braced = f"{{{labels}}}" if labels else ""
        if metric.kind == "histogram":
            behind = f"{labels}," if labels else ""
            counts = list(accumulate(row.counts))
            for bound, count in zip(bounds, counts, strict=True):
                yield f'{name}_bucket{{{behind}le="{bound}"}} {count}\n'
            yield f"{name}_count{braced} {counts[-1]}\n{name}_sum{braced} {row.value!r}\n"
        elif metric.kind == "summary":
            yield f"{name}_count{braced} {row.counts[0]}\n{name}_sum{braced} {row.value!r}\n"
        else:
            yield f"{name}{braced} {row.value!r}\n"
