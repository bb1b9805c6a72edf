"""A response: its head, and its body as it comes."""

from __future__ import annotations

from collections.abc import Mapping

from rbee_scheduler import WorkerCommunicationFailed
from rbee_scheduler_gateway._http._connection import Connection
from rbee_scheduler_gateway._http._failures import ConnectionBroke
from rbee_scheduler_gateway._http._headers import ResponseHeaders


__all__ = ["FastResponse"]


class FastResponse:
    """A response whose body has not been read. It is core's `HttpResponse`.

    The connection goes back to its pool as soon as the last byte was taken from it, which
    for a small answer is before the first `read`. Anything else closes it: `aclose`, an
    error, and a cancellation in the middle of `read`.

    Args:
        connection: Whose parser has the head.
        url: For messages.

    Attributes:
        status: HTTP status.
        headers: Header names (lower case) and values; ``headers.raw`` as they came.
        close_delimited: Whether only the end of the connection ends the body, so that a cut
            body can't be told from a whole one.
    """

    __slots__ = ("_connection", "_failure", "_rest", "_url", "close_delimited", "headers", "status")

    def __init__(self, connection: Connection, url: str) -> None:
        parser = connection.parser
        self.status = parser.status
        self.headers: Mapping[str, str] = ResponseHeaders(parser.raw_headers)
        self.close_delimited = parser.close_delimited
        self._url = url
        self._connection: Connection | None = connection
        self._rest = b""  # taken from the connection, and not yet read
        self._failure: WorkerCommunicationFailed | None = None
        if parser.complete:
            self._rest = b"".join(parser.parts)
            parser.parts.clear()
            self._connection = None
            connection.release()

    async def read(self) -> bytes | None:
        """Return the next bytes of the body as they came, joined; None at its end.

        Raises:
            ConnectionBroke: The connection broke, or was closed by `aclose`.
            MalformedResponse: The body is malformed.
        """
        connection = self._connection
        if connection is None:
            return self._last()
        parser = connection.parser
        parts = parser.parts
        try:
            while not parts:
                if parser.ended:  # broken, or complete without another byte of body
                    return self._finish(connection)
                await connection.fill()
        except BaseException:
            self._give_up(connection, "a read was cancelled")
            raise
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if parser.complete:
            self._connection = None
            connection.release()
        return data

    async def aclose(self) -> None:
        """Close the connection unless the body was read to its end. Again is fine."""
        connection = self._connection
        if connection is not None:
            self._give_up(connection, "the response was closed")

    def _last(self) -> bytes | None:
        """Return what is left once there is no connection any more."""
        if self._failure is not None:
            raise self._failure
        rest, self._rest = self._rest, b""
        return rest or None

    def _finish(self, connection: Connection) -> bytes | None:
        """Let go of a connection that has no more for us."""
        self._connection = None
        failure = connection.parser.failure
        if failure is not None:
            connection.close()
            self._failure = type(failure)(f"{self._url}: {failure.message}")
            raise self._failure
        connection.release()
        return None

    def _give_up(self, connection: Connection, why: str) -> None:
        if self._connection is not None:
            self._connection = None
            self._failure = ConnectionBroke(f"{self._url}: {why} before its end")
            connection.close()
