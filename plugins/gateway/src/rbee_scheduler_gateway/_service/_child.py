"""One of several processes: ``python -m rbee_scheduler_gateway._service._child NUMBER FD``.

It reads its `Plan` from stdin (nobody else sees it, tokens and all), serves on the port that
all of them share, and hears from its parent over the channel FD: when to stop, when to reload,
and what the other processes have been told about workers. When the parent dies, it stops.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from socket import socket
from typing import Any

import anyio
import attrs
from anyio.abc import TaskStatus

from rbee_scheduler import SchedulerError
from rbee_scheduler_gateway._exchange import Exchange
from rbee_scheduler_gateway._gateway import Gateway
from rbee_scheduler_gateway._options import GatewayOptions
from rbee_scheduler_gateway._server import listen
from rbee_scheduler_gateway._service._alone import serve_process, started
from rbee_scheduler_gateway._service._channel import Channel, Repeated, as_message
from rbee_scheduler_gateway._service._plan import Plan
from rbee_scheduler_gateway._service._service import Service


__all__ = ["Child", "main"]


class Child:
    """What runs beside the service in one of several processes.

    Args:
        channel: To the parent.
        number: Of this process.
        port: The port that all processes share.
    """

    def __init__(self, channel: Channel, number: int, port: int) -> None:
        self._channel = channel
        self._number = number
        self._port = port

    async def serve(self, plan: Plan) -> None:
        """Serve until the parent says otherwise, or is gone."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._channel.run)
            try:
                await serve_process(
                    plan, self._sockets, self._ready, process=self._number, beside=self._obey
                )
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._channel.aclose()

    def _sockets(self, options: GatewayOptions) -> list[socket]:
        sockets = listen(options.host, self._port, reuse_port=True)
        if options.process_port is not None:
            sockets += listen("127.0.0.1", options.process_port + self._number)
        return sockets

    def _ready(self, gateway: Gateway, url: str) -> None:
        self._channel.send({"is": "ready", "started": attrs.asdict(started(gateway, url))})

    def _share(self, exchange: Exchange) -> None:
        path, query = exchange.path, exchange.query
        self._channel.send(as_message(exchange.method, path, query, exchange.body))

    async def _obey(self, service: Service, *, task_status: TaskStatus[None]) -> None:
        service.gateway.share = self._share
        requests, waiting = anyio.create_memory_object_stream[Mapping[str, Any]](float("inf"))
        async with anyio.create_task_group() as tasks, requests, waiting:
            tasks.start_soon(self._repeat, service.gateway, waiting, task_status)
            while (message := await self._channel.receive()) is not None:
                match message["do"]:
                    case "drain":
                        service.drain()
                    case "cut":
                        service.cut()
                    case "reload":
                        tasks.start_soon(service.reload)
                    case "repeat" | "begin":
                        requests.send_nowait(message)
            service.drain()  # the parent is gone, and nobody would restart us
            requests.send_nowait({"do": "begin"})

    async def _repeat(
        self,
        gateway: Gateway,
        waiting: anyio.abc.ObjectReceiveStream[Mapping[str, Any]],
        task_status: TaskStatus[None],
    ) -> None:
        """Do what other processes did, one after the other, for they may build on each other."""
        begun = False
        async for message in waiting:
            if message["do"] == "begin":
                if not begun:
                    task_status.started()  # it knows all that the others have been told so far
                begun = True
                continue
            try:
                await gateway.repeat(Repeated(message))
            except SchedulerError as error:
                # Such as a heartbeat that has gone to two processes.
                facts = {"path": message["path"], "code": error.code}
                gateway.logger.debug("not repeated: %s", error, extra=facts)
            except Exception:
                gateway.logger.exception("a call of another process failed here")


async def _serve(plan: Plan, number: int, port: int, fd: int) -> None:
    await Child(await Channel.over(socket(fileno=fd)), number, port).serve(plan)


def main() -> None:
    """Be one of several processes."""
    from rbee_scheduler.cli._backend import backend_options
    from rbee_scheduler.cli._failure import report_failure
    from rbee_scheduler.cli._output import Output

    number, port, fd = map(int, sys.argv[1:4])
    plan = Plan.from_json(sys.stdin.buffer.read())
    try:
        deployment, _ = plan.load()
        options = backend_options(deployment.backend)
        anyio.run(
            _serve, plan, number, port, fd, backend=deployment.backend, backend_options=options
        )
    except BaseException as failure:  # noqa: BLE001 - all of them have exit codes
        sys.exit(report_failure(failure, Output(as_json=plan.as_json)))


if __name__ == "__main__":
    main()
