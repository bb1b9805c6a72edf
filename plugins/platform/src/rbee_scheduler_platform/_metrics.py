"""Metrics: what the platform shows at ``/metrics``.

Labels have few values: classes, quotas, kinds of outcome. Tenants are named only where the
deployment lets them be (``metrics_tenants``): their number has no bound, and names may be
nobody else's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rbee_scheduler_platform._tenant import PRIORITIES
from rbee_scheduler_platform._views import shown_fairness


if TYPE_CHECKING:
    from rbee_scheduler_platform._platform import Platform
    from rbee_scheduler_platform._runtime import Runtime


__all__ = ["PlatformCollector"]

_PREFIX = "rbee_platform"


class PlatformCollector(Collector):
    """Collects the platform's metrics when they are asked for.

    Args:
        platform: The instance.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: what there is depends on what happened."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        runtime = self._platform.runtime
        if runtime is None:
            return
        counts = runtime.counts
        yield _counter("admitted", "Requests admitted", "priority", counts.admitted)
        yield _counter("denied", "Requests denied, by the quota or why else", "why", counts.denied)
        yield _counter("outcomes", "Requests that ended", "outcome", counts.outcomes)
        yield _counter("tokens", "Tokens charged", "kind", counts.tokens)
        waiting = {name: runtime.order.waiting(name) for name in PRIORITIES}
        yield _gauge("waiting", "Requests that wait", "priority", waiting)
        yield _one("running", "Requests at workers", len(runtime.capacity.flights))
        yield _one("store_backlog", "Changes that wait to be written", runtime.store.backlog)
        yield _one("store_healthy", "Whether the store takes changes", runtime.ledger.healthy)
        fairness = shown_fairness(runtime)
        yield _one("fairness_gap", "Largest difference of waiting tenants' service per weight",
                   fairness["gap"])  # fmt: skip
        yield from _targets(runtime)
        if runtime.options.metrics_tenants:
            service = {one["id"]: one["service"] for one in fairness["tenants"]}
            yield _gauge("service", "Service charged since the start", "tenant", service)


def _targets(runtime: Runtime) -> Iterator[Metric]:
    named = runtime.options.metrics_tenants
    labels = ["priority", "target", "met"] + (["tenant"] if named else [])
    sums: dict[tuple[str, ...], int] = {}
    for found in runtime.targets.report():
        who = (found.tenant_id,) if named else ()
        for target, attained in (
            ("first_token", found.first_token),
            ("per_token", found.per_token),
        ):
            for met, number in (("true", attained.met), ("false", attained.missed)):
                key = (found.priority, target, met, *who)
                sums[key] = sums.get(key, 0) + number
    family = CounterMetricFamily(
        f"{_PREFIX}_targets", "Requests that met their target, or missed it", labels=labels
    )
    for key, number in sums.items():
        family.add_metric(list(key), number)
    yield family


def _counter(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}_{name}", about, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _gauge(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}_{name}", about, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", about, value=float(value))
