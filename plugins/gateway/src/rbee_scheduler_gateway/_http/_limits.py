"""How much a worker may send, and how many connections are kept to it."""

from __future__ import annotations

import attrs


__all__ = ["HttpLimits"]


@attrs.frozen(kw_only=True)
class HttpLimits:
    """How much a worker may send, and how many connections are kept to it.

    Attributes:
        head_bytes: The most bytes of a response's head, and of anything else that is sent
            without a byte of body: 1xx responses, trailers, chunk extensions. h11 takes 100
            KiB by default, nginx 8 to 32 KiB.
        header_count: The most headers of one response.
        informational: The most 1xx responses before the real one.
        max_connections: The most connections to one origin at once; a call waits its turn
            when they are all busy. None: no limit, since the scheduler's own count of
            requests in flight is one already.
        max_idle: The most connections to one origin that wait for the next call.
        idle_seconds: After so long idle a connection is not used again. uvicorn (vLLM,
            SGLang) and llama.cpp close after 5 s; just before is when calls get lost.
    """

    head_bytes: int = attrs.field(default=64 * 1024, validator=attrs.validators.ge(256))
    header_count: int = attrs.field(default=256, validator=attrs.validators.ge(1))
    informational: int = attrs.field(default=8, validator=attrs.validators.ge(0))
    max_connections: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )
    max_idle: int = attrs.field(default=64, validator=attrs.validators.ge(0))
    idle_seconds: float = attrs.field(default=4.0, validator=attrs.validators.gt(0))
