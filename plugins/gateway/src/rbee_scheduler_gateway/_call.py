"""The call: an exchange on its way through the gateway, and what is known of it by then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rbee_scheduler import InferenceRequest, InvalidRequest
from rbee_scheduler_gateway._exchange import Exchange
from rbee_scheduler_gateway._identity import Identity
from rbee_scheduler_gateway._problems import JSON


if TYPE_CHECKING:
    from rbee_scheduler_gateway._generation import Generation


__all__ = ["Call"]


_DECODER = json.JSONDecoder()


class Call:
    """One request of a client, and what the gateway knows of it.

    Attributes:
        exchange: The request, and the way to answer it.
        identity: Who asks.
        params: What stood for the placeholders of the route's path.
        common: Headers of every answer: the correlation id, and CORS where that applies.
        correlation_id: Names the request in logs, at the worker, and in the answer.
        began: Monotonic second at which it came.
        status: Status it was answered with; 0: not yet.
        error: Why it failed, for the log.
        generation: What answers it; a reload waits for it. None: let go.
        worker_id: The worker that served it.
        request: The request for inference, where it is one.
        pieces: Events of a stream that were sent; about one per token.
        route: Path of its route, placeholders and all; empty: there is none.
        trace: Headers that let the worker's trace belong to this request's; None: no trace.
    """

    __slots__ = (
        "began", "common", "correlation_id", "error", "exchange", "generation", "identity",
        "params", "pieces", "request", "route", "status", "trace", "worker_id",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        identity: Identity,
        correlation_id: str,
        common: list[tuple[bytes, bytes]],
        began: float,
    ) -> None:
        self.exchange = exchange
        self.identity = identity
        self.correlation_id = correlation_id
        self.common = common
        self.began = began
        self.params: Mapping[str, str] = {}
        self.status = 0
        self.error: Exception | None = None
        self.worker_id = ""
        self.request: InferenceRequest | None = None
        self.generation: Generation | None = None
        self.pieces = 0
        self.route = ""
        self.trace: Mapping[str, str] | None = None

    def let_go(self) -> None:
        """Let the configuration that answers it end: for answers that may last for days."""
        generation, self.generation = self.generation, None
        if generation is not None:
            generation.leave()

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            InvalidRequest: It is none.
        """
        body = self.exchange.body
        try:
            # What json.loads does with UTF-8, once it has found out that it is that: 1 us of 2.
            if body.startswith(b"{") and body[1:2] != b"\0":
                return _DECODER.decode(body.decode("utf-8", "surrogatepass"))
            return json.loads(body)
        except UnicodeDecodeError as wrong:
            raise InvalidRequest("the body is no UTF-8", place=f"byte {wrong.start}") from wrong
        except ValueError as wrong:
            raise InvalidRequest(
                f"the body is no JSON: {wrong}", hint="send a JSON document"
            ) from wrong
        except RecursionError as wrong:
            raise InvalidRequest("the body is nested too deep") from wrong

    async def respond(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        """Answer with a whole body."""
        self.status = status
        await self.exchange.respond(status, [*headers, *self.common], body)

    async def answer(self, value: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        """Answer with ``value`` as JSON."""
        body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        await self.respond(status, body, JSON, *headers)

    async def start(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        """Begin an answer of unknown length."""
        self.status = status
        await self.exchange.start(status, [*headers, *self.common])
