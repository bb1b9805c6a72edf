"""One connection of a client: its phases, whatever event loop moves its bytes.

The socket's side calls `received`, `ended` and `lost`. A task, started with the first request
and kept for all that follow, runs the handler. The client's leaving cancels what the handler
does; nothing else here does.

::

    HEAD ──> BODY ──> BUSY ──> IDLE ──> HEAD ...      a request comes, is handled, the next
      └───────┴────────┴────────┴─────> LEAVING       no more requests; the answer goes out
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from rbee_scheduler_gateway._problems import JSON
from rbee_scheduler_gateway._server._head import Head
from rbee_scheduler_gateway._server._parser import RequestParser
from rbee_scheduler_gateway._server._refused import Refused
from rbee_scheduler_gateway._server._roster import Roster
from rbee_scheduler_gateway._server._serving import ServedExchange
from rbee_scheduler_gateway._server._side import Side


__all__ = ["Connection", "Phase"]

# What may wait behind a request that is being handled, before reading stops. While it is
# stopped nobody can tell whether the client is still there.
_HELD: Final = 64 * 1024
# How long a refused client may take to read why, while what it still sends is thrown away:
# closing with unread bytes resets the connection, and the answer may be lost with it.
_LINGER: Final = 2.0
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Phase(Enum):
    """What a connection is at."""

    HEAD = "head"
    BODY = "body"
    BUSY = "busy"
    IDLE = "idle"
    LEAVING = "leaving"


class Connection(Side):
    """One connection of a client.

    Args:
        roster: Where it is listed.

    Attributes:
        deadline: Monotonic second when `expire` is to be called.
        last: Whether the answer under way is the last one.
    """

    __slots__ = (
        "_begun",
        "_exchange",
        "_gone",
        "_lost",
        "_parser",
        "_paused",
        "_phase",
        "_request",
        "_requests",
        "_roster",
        "_running",
        "_scope",
        "deadline",
        "last",
    )

    def __init__(self, roster: Roster) -> None:
        super().__init__()
        self._roster = roster
        self._parser = RequestParser(roster.limits)
        self._phase = Phase.HEAD
        self._scope: anyio.CancelScope
        self._running = False  # the task
        self._request: tuple[Head, bytes] | None = None
        self._exchange: ServedExchange | None = None
        self._requests = 0
        self._begun = 0.0  # the body
        self._paused = False  # reading
        self._gone = False  # the client
        self._lost = False  # the socket
        self.last = False
        self.deadline = roster.clock.monotonic() + roster.limits.head_seconds

    # ---- the socket's side calls these -------------------------------------------------

    def entered(self) -> None:
        """Begin: the socket is there, and `client` is known."""
        if refused := self._roster.enter(self):
            self._refuse(refused)

    def received(self, data: bytes) -> None:
        """Take what came."""
        phase = self._phase
        if phase is Phase.LEAVING:
            return
        parser = self._parser
        parser.hold(data)
        if phase is Phase.BUSY:
            if parser.buffered > _HELD and not self._paused:
                self._paused = True
                self.pause()
            return
        if self._take():
            if self._running:
                self.wake()
            else:
                self._running = True
                self._scope = anyio.CancelScope()
                self._roster.spawn(self._run)

    def ended(self) -> None:
        """Take the end of what the client sends: it has left, also where it only half closed."""
        self._gone = True
        self.choked = True  # who goes on sending gets to a checkpoint, and is cancelled there
        if self._exchange is None:
            self._request = None
            self._leave()
        elif not self._exchange.ended:
            self._scope.cancel()

    def lost(self) -> None:
        """Take the end of the socket."""
        self._lost = True
        self.ended()
        self.deadline = inf
        if not self._running:
            self._roster.leave(self)

    def unchoked(self) -> None:
        """Take that the client takes its answer again."""
        self.choked = self._gone
        if self._phase is Phase.BUSY:
            self.deadline = inf

    # ---- the roster calls these --------------------------------------------------------

    def drain(self) -> None:
        """Close now if no request is under way, else after the answer."""
        self.last = True
        if self._phase is Phase.IDLE or (self._phase is Phase.HEAD and not self._parser.buffered):
            self._leave()

    def expire(self, now: float) -> None:
        """Act on the deadline."""
        if self._phase is Phase.LEAVING or self._phase is Phase.BUSY:
            if self.progressing():
                self.deadline = now + self._roster.limits.write_seconds
            else:
                self.abort()
        elif self._phase is Phase.BODY:
            self._refuse(Refused(408, "the body came too slowly"))
        elif self._phase is Phase.HEAD and self._parser.buffered:
            self._refuse(Refused(408, "the head came too slowly"))
        else:
            self._leave()

    def abort(self, *, reset: bool = False) -> None:
        """Close at once, drop what was not sent, end the handler.

        Args:
            reset: Whether the client has to see that this is no orderly end.
        """
        self._phase = Phase.LEAVING
        self.deadline = inf
        if self._running:
            self._scope.cancel()
        self.cut(reset=reset)

    # ---- a request comes ---------------------------------------------------------------

    def _take(self) -> bool:
        """Return whether a request is whole; else wait for more of it, or refuse it."""
        parser = self._parser
        try:
            request = parser.take()
        except Refused as refused:
            self._refuse(refused)
            return False
        if request is not None:
            self._request = request
            self._phase = Phase.BUSY
            self.deadline = inf
            return True
        limits = self._roster.limits
        if parser.head is None:
            if self._phase is not Phase.HEAD and parser.buffered:
                self._phase = Phase.HEAD
                self.deadline = self._roster.clock.monotonic() + limits.head_seconds
            return False
        now = self._roster.clock.monotonic()
        if self._phase is not Phase.BODY:
            self._phase = Phase.BODY
            self._begun = now
            if parser.head.patient and not parser.received:
                self.send(_CONTINUE)
        rate = parser.received / limits.body_rate
        self.deadline = limits.body_seconds + min(now, self._begun + rate)
        return False

    def _refuse(self, refused: Refused) -> None:
        """Tell the client what is wrong, and close."""
        if self._phase is Phase.LEAVING:
            return
        body = refused.body()
        headers = [JSON, (b"retry-after", b"1")] if refused.status == 503 else [JSON]  # noqa: PLR2004 - HTTP's
        end = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.send(self._roster.answers.head(refused.status, headers, end) + body)
        self._leave(linger=True)

    def _leave(self, *, linger: bool = False) -> None:
        """Take no more requests; close when the answer is out."""
        if self._phase is Phase.LEAVING:
            return
        self._phase = Phase.LEAVING
        seconds = _LINGER if linger else self._roster.limits.write_seconds
        self.deadline = self._roster.clock.monotonic() + seconds
        self.hang_up(linger=linger)
        self.wake()

    # ---- the task ----------------------------------------------------------------------

    async def _run(self) -> None:
        """Handle one request after the other."""
        try:
            with self._scope:
                while self._phase is not Phase.LEAVING:
                    if self._request is None:
                        await self.sleep()
                    else:
                        await self._handle(*self._request)
        except Exception:  # a fault of this server must not end other clients' connections
            self._roster.logger.exception("a connection failed")
        finally:
            self._running = False
            if self._phase is not Phase.LEAVING:
                self.abort()
            if self._lost:
                self._roster.leave(self)

    async def _handle(self, head: Head, body: bytes) -> None:
        """Let the handler answer, and see that there is an answer."""
        roster = self._roster
        self._request = None
        self._requests += 1
        if self._requests == roster.limits.requests_per_connection:
            self.last = True
        exchange = ServedExchange(self, roster.answers, head, body, self.client)
        self._exchange = exchange
        roster.active += 1
        try:
            await roster.handler(exchange)
            if not exchange.ended and not self._gone:
                raise RuntimeError("the handler returned without finishing its answer")  # noqa: TRY301 - one place answers
        except BaseException as error:  # and not only what is an `Exception`: see `_stray`
            if not isinstance(error, Exception) and not _stray(error):
                raise
            await self._failed(exchange, error)
        finally:
            roster.active -= 1
        if self.choked:
            await self.drained()
        self._exchange = None
        if self.last or self._gone or not exchange.keep:
            self._leave(linger=self._parser.buffered > 0)
        elif self._phase is Phase.BUSY:
            await self._go_on()

    async def _failed(self, exchange: ServedExchange, error: BaseException) -> None:
        """Answer in the handler's stead, or cut the answer visibly."""
        request = f"{exchange.method} {exchange.path}"
        self._roster.logger.error("the handler of %s failed", request, exc_info=error)
        self.last = True
        if exchange.ended:
            return
        if not exchange.started:
            refused = Refused(500, "the gateway failed; its log says why")
            await exchange.respond(refused.status, [JSON], refused.body())
        elif exchange.delimited:
            self._leave()
        else:
            # Only the end of the connection ends this body: an orderly one would look as if
            # the answer were whole.
            self.abort(reset=True)

    async def _go_on(self) -> None:
        """Wait for the next request, or take it from what came already."""
        self._phase = Phase.IDLE
        roster = self._roster
        self.deadline = roster.clock.monotonic() + roster.limits.idle_seconds
        if self._parser.buffered:
            self._take()
            # However many requests were pipelined, others get their turn in between.
            await checkpoint()
        if self._paused and (self._phase is not Phase.BUSY or self._parser.buffered <= _HELD):
            self._paused = False
            self.resume()


def _stray(error: BaseException) -> bool:
    """Return whether nobody cancelled us: a future that the handler awaited was cancelled."""
    cancelled = isinstance(error, anyio.get_cancelled_exc_class())
    return cancelled and anyio.current_effective_deadline() > -inf
