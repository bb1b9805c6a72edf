"""Several processes behind one port: a parent that starts them, and keeps them running.

The kernel spreads connections over the processes (SO_REUSEPORT). Each has its own view of the
workers, its own queue and its own counts; the parent carries from one to the others what
clients tell one of them about workers (`Route.shared`).
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

import anyio
from anyio.abc import Process, TaskGroup, TaskStatus
from click.exceptions import Exit

from rbee_scheduler import Clock, ConfigError, SystemClock
from rbee_scheduler.cli._failure import BUG
from rbee_scheduler_gateway._logs import setup_logging
from rbee_scheduler_gateway._options import GatewayOptions
from rbee_scheduler_gateway._server import listen
from rbee_scheduler_gateway._service._alone import Started
from rbee_scheduler_gateway._service._channel import Channel
from rbee_scheduler_gateway._service._plan import Plan
from rbee_scheduler_gateway._service._service import FAREWELL
from rbee_scheduler_gateway._service._signals import Stopped, obey_signals


__all__ = ["Parent", "reserve_port", "serve_together"]

_COMMAND: Final = (sys.executable, "-P", "-m", "rbee_scheduler_gateway._service._child")

# Pause before a process that died is started again, seconds: the first, and the longest.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0

# One that lived so long was well; its next pause is the first again. Seconds.
_WELL: Final = 60.0

# Shared calls that a new process is told of.
_REMEMBERED: Final = 20_000

# Beyond the time that a process has to end: for ending the interpreter. Seconds.
_MARGIN: Final = 5.0

# What comes again by itself within seconds need not be remembered.
_PASSING: Final = "-heartbeat"


def reserve_port(options: GatewayOptions) -> list[socket.socket]:
    """Return sockets that hold the port which the processes are to share.

    They do not listen, so the kernel gives them no connections.

    Raises:
        ConfigError: The port is taken, or can't be shared.
    """
    if options.host.startswith("unix:"):
        raise ConfigError(
            "processes can't share a Unix socket", place="$.host", hint="use a port, or one process"
        )
    # First without sharing: two services that share a port by mistake would get half of each
    # other's requests.
    addresses = []
    for sock in listen(options.host, options.port):
        addresses.append((sock.family, sock.getsockname()))
        sock.close()
    holders = []
    for family, address in addresses:
        holder = socket.socket(family, socket.SOCK_STREAM)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        holder.bind(address)
        holders.append(holder)
    return holders


async def serve_together(
    plan: Plan, announce: Callable[[Started], None], *, clock: Clock | None = None
) -> bool:
    """Serve in several processes until a signal ends them.

    Args:
        plan: What to serve.
        announce: Told once all can be reached.
        clock: Source of time.

    Returns:
        Whether it was Ctrl-C that ended it.

    Raises:
        ConfigError: It can't be served like that.
        click.exceptions.Exit: The first process could not start, and has said why.
    """
    _, options = plan.load()
    undo = setup_logging(options.log_level, options.log_format)
    try:
        parent = Parent(plan, options, announce, clock=clock)
        stopped = Stopped(parent)
        async with anyio.create_task_group() as tasks:
            await tasks.start(obey_signals, parent, stopped)
            await parent.run()
            tasks.cancel_scope.cancel()
    finally:
        undo()
    return stopped.by_keyboard


class Parent:
    """Starts processes, starts those again that die, and tells each what the others were told.

    Args:
        plan: What they serve.
        options: The gateway's options.
        announce: Told once all processes can be reached.
        clock: Source of time.
    """

    def __init__(
        self,
        plan: Plan,
        options: GatewayOptions,
        announce: Callable[[Started], None],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._plan = plan
        self._options = options
        self._announce = announce
        self._clock: Clock = clock or SystemClock()
        self._logger = logging.getLogger("rbee_scheduler.gateway")
        self._port = 0
        self._channels: dict[int, Channel] = {}
        self._processes: dict[int, Process] = {}
        self._remembered: deque[Mapping[str, Any]] = deque(maxlen=_REMEMBERED)
        self._stop = anyio.Event()

    async def run(self) -> None:
        """Run the processes until `drain` or `cut` was called and the last one has ended.

        Raises:
            click.exceptions.Exit: The first one could not start, and has said why.
        """
        with ExitStack() as holding:
            holders = [holding.enter_context(sock) for sock in reserve_port(self._options)]
            self._port = holders[0].getsockname()[1]
            async with anyio.create_task_group() as watching:
                watching.start_soon(self._kill_late_ones)
                async with anyio.create_task_group() as tasks:
                    # One before the others: a mistake in the configuration is told once.
                    first = await tasks.start(self._keep, 0)
                    if not self._stop.is_set():
                        await self._start_others(tasks)
                        self._announce(Started(**{**first, "processes": self._options.processes}))
                watching.cancel_scope.cancel()

    async def _start_others(self, tasks: TaskGroup) -> None:
        async with anyio.create_task_group() as starting:
            for number in range(1, self._options.processes):
                starting.start_soon(tasks.start, self._keep, number)

    def drain(self) -> None:
        """Let all processes drain. Idempotent."""
        self._stop.set()
        self._tell_all({"do": "drain"})

    def cut(self) -> None:
        """End all processes at once. Idempotent."""
        self._stop.set()
        self._tell_all({"do": "cut"})

    async def reload(self) -> None:
        """Let all processes take the configuration anew."""
        self._tell_all({"do": "reload"})

    def _tell_all(self, message: Mapping[str, Any], *, but: int | None = None) -> None:
        for number, channel in self._channels.items():
            if number != but and not channel.send(message):
                facts = {"process_number": number}
                self._logger.warning("a process does not read what it is told", extra=facts)

    # ---- one process -------------------------------------------------------------------

    async def _keep(self, number: int, *, task_status: TaskStatus[Mapping[str, Any]]) -> None:
        """Start a process, again and again, until all shall end."""
        pause = _FIRST_PAUSE
        told: Mapping[str, Any] = {}

        def ready(started: Mapping[str, Any]) -> None:
            nonlocal told
            if not told:
                told = started
                task_status.started(started)

        while True:
            began = self._clock.monotonic()
            code = await self._live(number, ready)
            if self._stop.is_set():
                break
            if not told:
                raise Exit(code or BUG)
            if self._clock.monotonic() - began > _WELL:
                pause = _FIRST_PAUSE
            facts = {"process_number": number, "exit_code": code, "pause": pause}
            self._logger.error("a process died; it is started again", extra=facts)
            with self._clock.move_on_after(pause):
                await self._stop.wait()
            if self._stop.is_set():
                break
            pause = min(2 * pause, _LONGEST_PAUSE)
        if not told:
            task_status.started({})

    async def _live(self, number: int, ready: Callable[[Mapping[str, Any]], None]) -> int:
        """Run a process to its end; return its exit code."""
        ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            process = await anyio.open_process(
                [*_COMMAND, str(number), str(self._port), str(fd)],
                stdin=subprocess.PIPE,
                stdout=None,
                stderr=None,
                pass_fds=[fd],
                start_new_session=True,  # Ctrl-C is for the parent, who tells it
            )
        async with process:
            channel = await Channel.over(ours)
            for message in self._remembered:
                channel.send(message)
            channel.send({"do": "begin"})
            if self._stop.is_set():
                channel.send({"do": "drain"})
            self._channels[number] = channel
            self._processes[number] = process
            try:
                await self._give_plan(process)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(channel.run)
                    tasks.start_soon(self._hear, number, channel, ready)
                    code = await process.wait()
                    tasks.cancel_scope.cancel()
            finally:
                del self._channels[number], self._processes[number]
                with anyio.CancelScope(shield=True):
                    await channel.aclose()
        return code

    async def _give_plan(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(anyio.BrokenResourceError):  # it died; its exit code tells
            await process.stdin.send(self._plan.to_json())
            await process.stdin.aclose()

    async def _hear(
        self, number: int, channel: Channel, ready: Callable[[Mapping[str, Any]], None]
    ) -> None:
        while (message := await channel.receive()) is not None:
            if "is" in message:
                ready(message["started"])
                continue
            if not message["path"].endswith(_PASSING):
                self._remembered.append(message)
            self._tell_all(message, but=number)

    async def _kill_late_ones(self) -> None:
        """End those that hang: the others end by themselves within ``drain_seconds``."""
        await self._stop.wait()
        with suppress(ConfigError):  # a reload may have changed it
            _, self._options = self._plan.load()
        await self._clock.sleep(self._options.drain_seconds + FAREWELL + _MARGIN)
        for number, process in self._processes.items():
            facts = {"process_number": number}
            self._logger.error("a process did not end; it is killed", extra=facts)
            process.kill()
