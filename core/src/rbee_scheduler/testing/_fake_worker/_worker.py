"""The fake worker itself: a listening socket and what stands around it."""

from __future__ import annotations

import socket
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import anyio

from rbee_scheduler.testing._fake_worker._connection import Connection, close
from rbee_scheduler.testing._fake_worker._dialect import Dialect
from rbee_scheduler.testing._fake_worker._fault import Fault
from rbee_scheduler.testing._fake_worker._ledger import Ledger
from rbee_scheduler.testing._fake_worker._probes import Facts
from rbee_scheduler.testing._fake_worker._queen import Jobs
from rbee_scheduler.testing._fake_worker._router import Router
from rbee_scheduler.testing._fake_worker._script import PLAIN, Script
from rbee_scheduler.testing._fake_worker._scripts import Scripts


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup

    from rbee_scheduler.testing._fake_worker._ledger import SeenConnection
    from rbee_scheduler.testing._fake_worker._request import SeenRequest
    from rbee_scheduler.testing._fake_worker._router import Answer

_BACKLOG: Final = 1024
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class FakeWorker:
    """A worker that answers as scripted, over real TCP on the loopback interface.

    Example:
        >>> async with FakeWorker() as worker:  # doctest: +SKIP
        ...     worker.enqueue(Script(fault=Fault.RESET_MID_STREAM, fault_after=2))
        ...     await use(worker.url)
        ...     assert worker.requests[0].json["model"] == "story"

    Args:
        script: For each inference request: one for all, or a function of the request.
        dialect: Which kind of worker to imitate.
        model: The loaded model.
        slots: How many requests it says it can work at once (it takes any number).
        paths: Scripts for single paths, mostly of probes: ``{"/health": Script(status=503)}``.
        info: Fields to add to the queen worker's object, or to replace in it.
        sleep: Waits for scripts' delays; give a fake one, and a slow worker costs no time.
        host: Where to listen.
    """

    def __init__(
        self,
        script: Script | Callable[[SeenRequest], Script] = PLAIN,
        *,
        dialect: Dialect = Dialect.LLAMACPP,
        model: str = "story",
        slots: int = 2,
        paths: Mapping[str, Script] = _NOTHING,
        info: Mapping[str, Any] = _NOTHING,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        host: str = "127.0.0.1",
    ) -> None:
        self.model = model
        self.host = host
        self.port = 0
        self._slots = slots
        self._info = dict(info)
        self._sleep = sleep
        self._ledger = Ledger()
        self._scripts = Scripts(script)
        self._jobs = Jobs()
        self._router = Router(dialect=dialect, paths=paths, scripts=self._scripts, jobs=self._jobs)
        self._open: set[Connection] = set()
        self._listening = False
        self._listener: socket.socket
        self._tasks: TaskGroup

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def requests(self) -> Sequence[SeenRequest]:
        """All requests so far, probes too."""
        return self._ledger.requests

    @property
    def connections(self) -> Sequence[SeenConnection]:
        """All connections so far. One that a client has made may wait to be accepted still."""
        return self._ledger.connections

    @property
    def cancels(self) -> Sequence[str]:
        """The job ids of all calls of POST /v1/cancel, in order, repeated ones too."""
        return self._jobs.cancels

    @property
    def running(self) -> int:
        """Inference replies under way now."""
        return self._ledger.running

    @property
    def peak(self) -> int:
        """The most inference replies that were under way at once."""
        return self._ledger.peak

    @property
    def client_gone(self) -> int:
        """How many replies were cut because the client closed its connection."""
        return self._ledger.client_gone

    def set_script(self, script: Script | Callable[[SeenRequest], Script]) -> None:
        """Replace the default script for the requests to come."""
        self._scripts.default = script

    def enqueue(self, *scripts: Script) -> None:
        """Script the next inference requests, one each, before the default applies again."""
        self._scripts.enqueue(scripts)

    async def wait_for_requests(self, count: int, *, path: str | None = None) -> None:
        """Return once ``count`` requests (of that path) have come, counted from the start."""
        await self._ledger.board.until(
            lambda: sum(path in (None, seen.path) for seen in self.requests) >= count
        )

    async def wait_for_client_gone(self, count: int = 1) -> None:
        """Return once ``count`` replies were cut by their clients."""
        await self._ledger.board.until(lambda: self.client_gone >= count)

    async def wait_for_close(self, connection: int) -> SeenConnection:
        """Return once the client closed its connection of that number, counted from 0."""
        await self._ledger.board.until(lambda: len(self.connections) > connection)
        await self.connections[connection].client_closed.wait()
        return self.connections[connection]

    async def wait_for_cancels(self, count: int = 1) -> None:
        """Return once POST /v1/cancel was called ``count`` times."""
        await self._ledger.board.until(lambda: len(self.cancels) >= count)

    async def wait_until_idle(self) -> None:
        """Return once no reply is under way: at once if no request has come yet."""
        await self._ledger.board.until(lambda: self._ledger.idle)

    def listen(self) -> None:
        """Accept connections (again)."""
        if not self._listening:
            self._listening = True
            self._listener.listen(_BACKLOG)
            self._tasks.start_soon(self._accept, self._listener)

    def refuse(self) -> None:
        """Stop listening: connecting fails. Open connections live on. `listen` undoes it."""
        if self._listening:
            self._listening = False
            anyio.notify_closing(self._listener)
            self._listener.close()
            self._listener = self._bound()  # keep the port ours, so that nobody else answers

    def kill(self) -> None:
        """Refuse new connections and reset the open ones, as when the process is killed."""
        self.refuse()
        for connection in tuple(self._open):
            connection.abort()

    async def __aenter__(self) -> Self:
        self._listener = self._bound()
        self.port = self._listener.getsockname()[1]
        self._tasks = await anyio.create_task_group().__aenter__()
        if not self._scripts.draw_fault(Fault.REFUSE):
            self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tasks.cancel_scope.cancel()
        try:
            # Not told of the test's own exception: a task group would wrap it in a group, and
            # `pytest.raises` would not know it again. It goes on by itself.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._listener.close()

    def _bound(self) -> socket.socket:
        """A socket that owns the port. Until it listens, the kernel refuses connections to it."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(0)
        sock.bind((self.host, self.port))
        return sock

    async def _accept(self, listener: socket.socket) -> None:
        while listener.fileno() >= 0:  # `refuse` may close it before this task first runs
            try:
                await anyio.wait_readable(listener)
                sock, _ = listener.accept()
            except anyio.ClosedResourceError:
                return  # `refuse`
            except (BlockingIOError, ConnectionError):
                continue  # the client changed its mind
            except OSError:
                if listener.fileno() < 0:
                    return  # `refuse`, between the two calls
                raise
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            seen = self._ledger.connected()
            if self._scripts.draw_fault(Fault.RESET_AT_ONCE):
                close(sock, reset=True)
            else:
                self._tasks.start_soon(self._serve, sock, seen)

    async def _serve(self, sock: socket.socket, seen: SeenConnection) -> None:
        connection = Connection(
            sock,
            seen=seen,
            ledger=self._ledger,
            jobs=self._jobs,
            answer=self._answer,
            sleep=self._sleep,
        )
        self._open.add(connection)
        try:
            await connection.serve()
        finally:
            self._open.discard(connection)

    def _answer(self, request: SeenRequest) -> Answer:
        running = self._ledger.running
        facts = Facts(
            host=self.host,
            port=self.port,
            model=self.model,
            slots=self._slots,
            running=min(running, self._slots),
            waiting=max(0, running - self._slots),
            served=self._ledger.served,
            info=self._info,
        )
        answer = self._router.answer(request, facts)
        if answer.script.fault is Fault.REFUSE:
            self.refuse()
        return answer
