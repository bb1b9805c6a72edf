"""``GET /metrics``: the metrics, as Prometheus and OpenMetrics write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import attrs
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder

from rbee_scheduler import ConfigError
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._gatekeeper import is_loopback
from rbee_scheduler_gateway._metrics._names import METRICS
from rbee_scheduler_gateway._metrics._text import text_of
from rbee_scheduler_gateway._parameters import parameters
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from rbee_scheduler._plugins import Call as HookCall
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["Exposition", "metric_routes"]

# Lines that are written where the service runs, 1 ms at most; more of them are in a thread.
# Those of others take ten times as long.
_FEW: Final = 2000
_FOREIGN: Final = 10


def metric_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the route of the metrics: everybody's in a home that only this machine reaches."""
    exposition = Exposition(gateway)

    async def metrics(call: Call) -> None:
        parameters(call)
        kind, text = await exposition.write(call.exchange.headers.get("accept", ""))
        await call.respond(200, text, (b"content-type", kind.encode()))

    options = gateway.options
    at_home = options.mode == "home" and is_loopback(options.host)
    yield Route("GET", "/metrics", metrics, access="open" if at_home else "operator")


class Exposition:
    """Writes the metrics of the gateway, of its plugins and of the process.

    Args:
        gateway: The gateway.

    Raises:
        ConfigError: Two plugins have a metric of one name, or one has a name of ours.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._foreign: list[tuple[HookCall | None, Collector]] = []
        registry = CollectorRegistry(auto_describe=True)
        registry.register(_Names())
        self._foreign.append((None, ProcessCollector(registry=registry)))
        for call in gateway.plugins.calls("rbee_collect_metrics"):
            try:
                for collector in call.function():
                    _register(registry, collector, call)
                    self._foreign.append((call, collector))
            except ConfigError:
                raise
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                gateway.metrics.plugin_failed(call.failure(problem))

    async def write(self, accept: str) -> tuple[str, bytes]:
        """Return content type and text.

        Args:
            accept: What the client accepts: OpenMetrics, or else Prometheus's text.
        """
        encode, kind = choose_encoder(accept)
        rows = self._gateway.metrics.rows()
        foreign = list(self._collected())

        def written() -> bytes:
            own = text_of(rows, openmetrics=kind.startswith("application/openmetrics"))
            try:
                return own.encode() + encode(_Given(foreign))
            except Exception:
                self._gateway.logger.exception("metrics of a plugin can't be written")
                return own.encode() + encode(_Given([]))

        lines = sum(max(1, len(row.counts)) for _, some in rows for row in some)
        lines += sum(len(family.samples) for family in foreign) * _FOREIGN
        text = written() if lines <= _FEW else await anyio.to_thread.run_sync(written)
        return kind, text

    def _collected(self) -> Iterator[Family]:
        """Yield what others have; here and not in the thread: their state is the service's."""
        for call, collector in self._foreign:
            try:
                families = list(collector.collect())
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                if call is not None:
                    self._gateway.metrics.plugin_failed(call.failure(problem))
                continue
            yield from families


def _register(registry: CollectorRegistry, collector: Collector, call: HookCall) -> None:
    try:
        registry.register(collector)
    except ValueError as clash:
        raise ConfigError(
            f"{call.source or call.plugin} brings a metric that is there already: {clash}",
            hint="rename it, or block the plugin",
        ) from clash


@attrs.frozen
class _Given:
    """Families, as a collector."""

    _families: list[Family]

    def collect(self) -> Iterable[Family]:
        """Return them."""
        return self._families


class _Names:
    """Our own names, so that no plugin takes one of them."""

    def describe(self) -> Iterable[Family]:
        """Return all metrics, without a line."""
        return [Family(metric.name, metric.about, metric.kind) for metric in METRICS]

    def collect(self) -> Iterable[Family]:
        """Return nothing: the lines are written elsewhere."""
        return ()
