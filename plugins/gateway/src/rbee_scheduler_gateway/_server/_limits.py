"""What one client may take: bytes, seconds, connections."""

from __future__ import annotations

from typing import cast

import attrs


__all__ = ["ServerLimits"]


@attrs.frozen(kw_only=True)
class ServerLimits:
    """What one client may take: bytes, seconds, connections.

    Times are kept to about a second: one look at all connections each second costs less than
    a timer for each request.

    Attributes:
        head_bytes: The most bytes of a request's line and headers; beyond it 431, or 414 when
            the line alone is longer. nginx takes 8 to 32 KiB, uvicorn 64 KiB. Also the most
            bytes of trailers, and of a chunked body's framing beyond one byte for each byte
            of body.
        header_count: The most headers, and the most trailers, of one request; beyond it 431.
        body_bytes: The most bytes of a body; beyond it 413. A picture in a chat is 1 to 10 MB
            of base64.
        head_seconds: From the first byte (on a new connection: from its start, TLS handshake
            included) to a complete head; beyond it 408. Against clients that send a byte now
            and then, only to hold a connection.
        body_seconds: The longest silence while a body comes; beyond it 408. As well the time
            that a whole body may take beyond what ``body_rate`` allows it.
        body_rate: The fewest bytes per second of a body. A body of n bytes has
            ``body_seconds + n / body_rate`` seconds.
        idle_seconds: How long a connection waits for its next request. Longer than the 60 s
            of common load balancers, so that they close first and no request is lost.
        write_seconds: A client that takes nothing of its answer for so long is cut off.
        write_buffer_bytes: A handler waits when so many bytes of its answer were not taken.
            asyncio keeps up to that and one `write` more; trio keeps one `write`, for the
            kernel has buffers of its own.
        connections: The most connections at once. One more is told 503 with Retry-After and
            closed; a refused client knows more than one that waits in the kernel's queue.
        connections_per_client: The same for one address. None: no limit, for a gateway
            behind a proxy, where all clients have the proxy's address.
        requests_per_connection: After so many requests a connection is closed, for balancers
            that spread connections. None: no limit.
    """

    head_bytes: int = attrs.field(default=64 * 1024, validator=attrs.validators.ge(256))
    header_count: int = attrs.field(default=128, validator=attrs.validators.ge(1))
    body_bytes: int = attrs.field(default=32 * 1024 * 1024, validator=attrs.validators.ge(0))
    head_seconds: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    body_seconds: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    body_rate: int = attrs.field(default=4096, validator=attrs.validators.ge(1))
    idle_seconds: float = attrs.field(default=75.0, validator=attrs.validators.gt(0))
    write_seconds: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    write_buffer_bytes: int = attrs.field(default=256 * 1024, validator=attrs.validators.ge(1))
    connections: int = attrs.field(default=10_000, validator=attrs.validators.ge(1))
    connections_per_client: int | None = attrs.field(
        default=cast("int | None", 1024),
        validator=attrs.validators.optional(attrs.validators.ge(1)),
    )
    requests_per_connection: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )
