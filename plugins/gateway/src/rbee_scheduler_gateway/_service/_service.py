"""The service: one process of it, from its first connection to its last."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from socket import socket
from typing import Final

import anyio
import attrs
from anyio.abc import TaskStatus

from rbee_scheduler import SchedulerError
from rbee_scheduler_gateway._gateway import Gateway
from rbee_scheduler_gateway._options import GatewayOptions
from rbee_scheduler_gateway._server import Server, ServerLimits
from rbee_scheduler_gateway._service._changes import FileChanges
from rbee_scheduler_gateway._service._tls import load_certificate, tls_context


__all__ = ["LIVE_OPTIONS", "Service", "limits_of"]

# Pause between two looks at the configuration's files. Seconds.
_LOOK: Final = 1.0

# Between two looks at whether the last job has ended. Seconds.
_POLL: Final = 0.05

# How long the last words of streams that were ended may take to a slow client. Seconds.
FAREWELL: Final = 2.0

# Options that a running service follows; the others were used up when it started.
LIVE_OPTIONS: Final = frozenset(
    {
        "access_log", "cors_origins", "drain_seconds", "metrics_models", "metrics_plugin_time",
        "metrics_workers", "mode", "strategy_header", "tokens", "worker_tokens",
    }
)  # fmt: skip


def limits_of(options: GatewayOptions) -> ServerLimits:
    """Return what the options let a client take of the server."""
    return ServerLimits(
        body_bytes=options.max_body_bytes,
        head_seconds=options.head_seconds,
        body_seconds=options.body_seconds,
        idle_seconds=options.idle_seconds,
        write_seconds=options.write_seconds,
        write_buffer_bytes=options.write_buffer_bytes,
        connections=options.max_connections,
        connections_per_client=options.max_connections_per_client,
    )


class Service:
    """A gateway behind the built-in server, until it is told to stop.

    Args:
        gateway: The gateway, entered.
        files: Looked at each second; when one has changed, `reload`.
    """

    def __init__(self, gateway: Gateway, *, files: FileChanges | None = None) -> None:
        self.gateway = gateway
        self._clock = gateway.clock
        self._logger = gateway.logger
        self._tls: ssl.SSLContext | None = tls_context(gateway.options)
        self._server = Server(
            gateway.handle,
            limits=limits_of(gateway.options),
            clock=gateway.clock,
            logger=gateway.logger,
            ssl_context=self._tls,
        )
        gateway.metrics.connections = lambda: self._server.connections
        self._changes = files or FileChanges(())
        self._stop = anyio.Event()
        self._patience = anyio.CancelScope()

    @property
    def scheme(self) -> str:
        """``"http"`` or ``"https"``."""
        return "http" if self._tls is None else "https"

    async def run(
        self,
        sockets: Sequence[socket],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `drain` or `cut` was called and what was under way has ended.

        Args:
            sockets: From `listen`.
            task_status: Told when connections are accepted.
        """
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._server.serve, sockets)
            tasks.start_soon(self._follow_files)
            task_status.started()
            await self._stop.wait()
            await self._end()
            tasks.cancel_scope.cancel()

    def drain(self) -> None:
        """Take no more, let what runs go on for up to ``drain_seconds``, and end. Idempotent."""
        self._stop.set()

    def cut(self) -> None:
        """End at once: what still runs is told so, with one error each. Idempotent."""
        self._patience.cancel()
        self._stop.set()

    async def reload(self) -> None:
        """Take the configuration anew; when it is wrong, say so in the log and go on as before."""
        old = self.gateway.options
        try:
            await self.gateway.reload()
            if self._tls is not None:
                load_certificate(self._tls, old)
        except SchedulerError as error:
            facts = {"code": error.code}
            self._logger.error("the configuration was not reloaded: %s", error, extra=facts)  # noqa: TRY400 - the user's mistake, no traceback
        except Exception:
            self._logger.exception("the configuration was not reloaded")
        else:
            self._say_what_waits(old, self.gateway.options)

    def _say_what_waits(self, old: GatewayOptions, new: GatewayOptions) -> None:
        names = [field.name for field in attrs.fields(GatewayOptions)]
        waiting = [name for name in names if getattr(old, name) != getattr(new, name)]
        waiting = [name for name in waiting if name not in LIVE_OPTIONS]
        if waiting:
            self._logger.warning("not before the next start: %s", ", ".join(waiting))

    async def _follow_files(self) -> None:
        while True:
            await self._clock.sleep(_LOOK)
            if self._changes.seen():
                await self.reload()

    async def _end(self) -> None:
        gateway = self.gateway
        seconds = gateway.options.drain_seconds
        gateway.stopping = True
        running = max(self._server.active, gateway.active)
        self._logger.info("stopping", extra={"running": running, "drain_seconds": seconds})
        self._server.drain()
        with self._patience, self._clock.move_on_after(seconds):
            await self._all_ended()
        if self._server.active or gateway.active:
            gateway.end_all()
            with self._clock.move_on_after(FAREWELL):
                await self._all_ended()
        self._server.cut()

    async def _all_ended(self) -> None:
        await self._server.wait_drained()
        while self.gateway.active:  # jobs, which have no connection
            await self._clock.sleep(_POLL)
