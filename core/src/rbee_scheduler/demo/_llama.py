"""Context managers that start real llama.cpp servers, and see to it that they end."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Unpack

from anyio import CancelScope, CapacityLimiter, to_thread

from rbee_scheduler.demo._server import LlamaServer, ServerOptions


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


__all__ = ["blocking_llama_server", "blocking_llama_servers", "llama_server", "llama_servers"]


@asynccontextmanager
async def llama_servers(
    model: Path, count: int, **options: Unpack[ServerOptions]
) -> AsyncIterator[list[LlamaServer]]:
    """Run several llama.cpp servers, each in a process of its own, started side by side.

    On exit every process is ended and reaped, also when the body raised or was cancelled.

    Args:
        model: The GGUF file, as from `tiny_model`.
        count: How many.
        **options: See `ServerOptions`; the same for all.

    Yields:
        The servers, all of them ready.

    Raises:
        ServerStartFailed: One did not come up in time; the message ends with what it printed.
        DemoExtraMissing: The extra ``rbee-scheduler[demo]`` is not installed.

    Example:
        >>> async with llama_servers(tiny_model(), 3, slots=2) as servers:  # doctest: +SKIP
        ...     print([server.url for server in servers])
    """
    ending = ExitStack()
    try:
        servers = _spawn(model, count, options, ending)
        for server in servers:
            # Cancelled here, the thread goes on until the server is killed below.
            await to_thread.run_sync(
                server.wait_ready, abandon_on_cancel=True, limiter=CapacityLimiter(1)
            )
        yield servers
    finally:
        with CancelScope(shield=True):
            # A limiter of its own: the program's threads may all be taken, and one that
            # waits for this very exit would make the wait endless.
            await to_thread.run_sync(ending.close, limiter=CapacityLimiter(1))


@asynccontextmanager
async def llama_server(model: Path, **options: Unpack[ServerOptions]) -> AsyncIterator[LlamaServer]:
    """Run one llama.cpp server; see `llama_servers`.

    Args:
        model: The GGUF file, as from `tiny_model`.
        **options: See `ServerOptions`.

    Yields:
        The server, ready.

    Raises:
        ServerStartFailed: It did not come up in time; the message ends with what it printed.
        DemoExtraMissing: The extra ``rbee-scheduler[demo]`` is not installed.
    """
    async with llama_servers(model, 1, **options) as (server,):
        yield server


@contextmanager
def blocking_llama_servers(
    model: Path, count: int, **options: Unpack[ServerOptions]
) -> Iterator[list[LlamaServer]]:
    """Run several llama.cpp servers from code without an event loop, as `llama_servers` does.

    Made for fixtures that live longer than one test's event loop.

    Args:
        model: The GGUF file, as from `tiny_model`.
        count: How many.
        **options: See `ServerOptions`; the same for all.

    Yields:
        The servers, all of them ready.

    Raises:
        ServerStartFailed: One did not come up in time; the message ends with what it printed.
        DemoExtraMissing: The extra ``rbee-scheduler[demo]`` is not installed.
    """
    with ExitStack() as ending:
        servers = _spawn(model, count, options, ending)
        for server in servers:
            server.wait_ready()
        yield servers


@contextmanager
def blocking_llama_server(model: Path, **options: Unpack[ServerOptions]) -> Iterator[LlamaServer]:
    """Run one llama.cpp server from code without an event loop; see `blocking_llama_servers`.

    Args:
        model: The GGUF file, as from `tiny_model`.
        **options: See `ServerOptions`.

    Yields:
        The server, ready.

    Raises:
        ServerStartFailed: It did not come up in time; the message ends with what it printed.
        DemoExtraMissing: The extra ``rbee-scheduler[demo]`` is not installed.
    """
    with blocking_llama_servers(model, 1, **options) as (server,):
        yield server


def _spawn(model: Path, count: int, options: ServerOptions, ending: ExitStack) -> list[LlamaServer]:
    """Start processes without waiting for any; ``ending`` learns to end each of them."""
    servers: list[LlamaServer] = []
    for _ in range(count):
        server = LlamaServer(model, **options)
        ending.callback(server.close)
        servers.append(server)
    for server in servers:  # last in, first out: all are asked to stop before one is waited for
        ending.callback(server.stop)
    return servers
