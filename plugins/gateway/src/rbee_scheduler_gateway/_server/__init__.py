"""The built-in HTTP/1.1 server: asyncio, uvloop and trio, strict, bounded in everything.

From the outside in: `Server` accepts connections (`listen` makes the sockets) and lists them
in a `_roster`, which ends the slow ones. A `_connection` is a parser, a phase and a task,
above a `_side`: `_asyncio_side`, `_trio_side` or `_trio_tls`. Its `_parser` turns bytes into
requests (`_head`, `_target`, `_chunked`), or refuses them (`_refused`); the handler gets each
as a `_serving` exchange, whose answer `_answer` writes.
"""

from __future__ import annotations

from rbee_scheduler_gateway._server._limits import ServerLimits
from rbee_scheduler_gateway._server._listen import listen
from rbee_scheduler_gateway._server._server import Server


__all__ = ["Server", "ServerLimits", "listen"]
