"""The metrics of a gateway: what was counted, what is, and what plugins have to say."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rbee_scheduler import PluginError, Plugins
from rbee_scheduler._version import __version__ as core_version
from rbee_scheduler_gateway._metrics import _names as names
from rbee_scheduler_gateway._metrics._cells import Row
from rbee_scheduler_gateway._metrics._plugin_time import PluginTime
from rbee_scheduler_gateway._metrics._recorder import Recorder
from rbee_scheduler_gateway._metrics._state import Ledger, state_rows


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway
    from rbee_scheduler_gateway._metrics._names import Metric
    from rbee_scheduler_gateway._options import GatewayOptions


__all__ = ["Metrics"]


class Metrics:
    """Counts what a gateway does, and reads off what it is.

    It lives as long as the gateway, whose reloads it survives.

    Args:
        gateway: The gateway; its watchers get two more.

    Attributes:
        connections: Returns the number of clients' connections; None: not known here, as
            under somebody else's server.
        recorder: Counts calls and outcomes.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._started = gateway.clock.now() / 1000.0
        self._ledger = Ledger()
        self._plugin_time = PluginTime()
        self._plugin_failures: Counter[tuple[str, str]] = Counter()
        self._reloads = {"taken": 0, "refused": 0}
        self.connections: Callable[[], int] | None = None
        self.recorder = Recorder(gateway.registry, self._limits)
        gateway.watchers.on_call.append(self.recorder.on_call)
        gateway.watchers.on_outcome.append(self.recorder.on_outcome)
        gateway.watchers.on_job.append(self.recorder.on_job)

    def watch_plugins(self, plugins: Plugins, options: GatewayOptions) -> None:
        """Measure the hooks of ``plugins``, where the options ask for it.

        Call it before a scheduler is made of them.
        """
        if options.metrics_plugin_time:
            plugins.wrap_calls(self._plugin_time.timed)

    def plugin_failed(self, error: PluginError) -> None:
        """Count a failure of a hook that the gateway has called; log it each time it doubles."""
        key = (error.plugin, error.hook)
        self._plugin_failures[key] += 1
        count = self._plugin_failures[key]
        if count & (count - 1) == 0:
            self._gateway.logger.warning("%s [failed %d times so far]", error, count)

    @asynccontextmanager
    async def reloading(self) -> AsyncIterator[None]:
        """Count a reload of the configuration, by how it ends."""
        result = "refused"
        try:
            yield
            result = "taken"
        finally:
            self._reloads[result] += 1
            self.recorder.forget_names()

    def rows(self) -> Sequence[tuple[Metric, Sequence[Row]]]:
        """Return all metrics of the gateway itself, each with its lines.

        Call it where the gateway runs; what it returns may go to another thread.
        """
        from rbee_scheduler_gateway import __version__

        gateway = self._gateway
        self._ledger.look(gateway.schedulers)
        found = dict(state_rows(gateway, self.recorder))
        found.update(self.recorder.rows())  # after the former, which knows who has left
        failures = self._ledger.failures + self._plugin_failures
        found[names.PLUGIN_FAILURES] = [Row(labels, count) for labels, count in failures.items()]
        found[names.PLUGIN_CALLS] = list(self._plugin_time.rows())
        found[names.DECISIONS] = [Row((), self._ledger.decisions)]
        if self.connections is not None:
            found[names.CONNECTIONS] = [Row((), self.connections())]
        found[names.RELOADS] = [Row((name,), count) for name, count in self._reloads.items()]
        found[names.START] = [Row((), self._started)]
        versions = (__version__, core_version, platform.python_version())
        found[names.BUILD] = [Row(versions, 1)]
        return [(metric, found.get(metric, ())) for metric in names.METRICS]

    def _limits(self) -> tuple[int, int]:
        options = self._gateway.options
        return options.metrics_models, options.metrics_workers
