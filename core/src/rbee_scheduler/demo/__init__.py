"""Real llama.cpp workers for the demo and for integration tests, made on the spot.

A GPU and a download of gigabytes should not be needed to see a scheduler route requests
to real servers. So this package makes a model of half a megabyte whose weights are set
by hand (greedy decoding tells one fixed story, then ends), and serves it with
llama.cpp's own HTTP server, each in a process of its own.

It needs the extra ``rbee-scheduler[demo]``; importing the package costs nothing and
needs nothing, only making a model or starting a server does.

Example:
    >>> import anyio
    >>> from rbee_scheduler.demo import STORY_TEXT, llama_servers, tiny_model
    >>> async def main():
    ...     async with llama_servers(tiny_model(), 3) as servers:
    ...         print([server.url for server in servers])
    >>> anyio.run(main)  # doctest: +SKIP
    ['http://127.0.0.1:41863', 'http://127.0.0.1:38049', 'http://127.0.0.1:44211']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from rbee_scheduler.demo._errors import DemoError, DemoExtraMissing, ServerStartFailed
    from rbee_scheduler.demo._llama import (
        blocking_llama_server,
        blocking_llama_servers,
        llama_server,
        llama_servers,
    )
    from rbee_scheduler.demo._model import tiny_model
    from rbee_scheduler.demo._server import LlamaServer, ServerOptions
    from rbee_scheduler.demo._story import STORY_TEXT, STORY_TOKENS, story_after

__all__ = [
    "STORY_TEXT",
    "STORY_TOKENS",
    "DemoError",
    "DemoExtraMissing",
    "LlamaServer",
    "ServerOptions",
    "ServerStartFailed",
    "blocking_llama_server",
    "blocking_llama_servers",
    "llama_server",
    "llama_servers",
    "story_after",
    "tiny_model",
]

_ROOMS: Final = {
    "STORY_TEXT": "_story",
    "STORY_TOKENS": "_story",
    "DemoError": "_errors",
    "DemoExtraMissing": "_errors",
    "LlamaServer": "_server",
    "ServerOptions": "_server",
    "ServerStartFailed": "_errors",
    "blocking_llama_server": "_llama",
    "blocking_llama_servers": "_llama",
    "llama_server": "_llama",
    "llama_servers": "_llama",
    "story_after": "_story",
    "tiny_model": "_model",
}


def __getattr__(name: str) -> Any:
    """Import the room of a public name when the name is first asked for (PEP 562)."""
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    """Show the public names before they are loaded."""
    return sorted({*globals(), *__all__})
