"""The event loop that a command runs on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from rbee_scheduler._errors import ConfigError


if TYPE_CHECKING:
    from anyio.abc import TaskStatus

__all__ = ["backend_options", "run_on"]

T = TypeVar("T")


def run_on(backend: str, function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run an async function to its end; Ctrl-C cancels it, and is raised once it has unwound.

    asyncio does so by itself. trio raises KeyboardInterrupt wherever the program happens to
    be: in a callback, where it is lost, or in the middle of closing a stream, which then
    stays open (4 of 60 runs of the demo that were interrupted).

    Args:
        backend: ``"asyncio"`` or ``"trio"``.
        function: What to run.
        *args: Its arguments.

    Raises:
        ConfigError: The backend is not installed.
        KeyboardInterrupt: Ctrl-C was pressed; in an exception group on trio.
    """
    import anyio  # `--help` does not pay for it

    options = backend_options(backend)
    # An ignored Ctrl-C stays ignored; and only the main thread is told of signals.
    if (
        backend == "trio"
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        return anyio.run(_until_ctrl_c, function, *args, backend=backend)
    return anyio.run(function, *args, backend=backend, backend_options=options)


async def _until_ctrl_c(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    import anyio

    async with anyio.create_task_group() as tasks:
        await tasks.start(_raise_on_ctrl_c)
        try:
            return await function(*args)
        finally:
            tasks.cancel_scope.cancel()
    raise AssertionError  # the group swallows nothing but its own cancellation


async def _raise_on_ctrl_c(*, task_status: TaskStatus[None]) -> None:
    import anyio

    # Left at the first signal: a second one ends what does not unwind, as ever.
    with anyio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        await anext(aiter(signals))
    raise KeyboardInterrupt


def backend_options(backend: str) -> dict[str, Any]:
    """Return what anyio needs to run on ``backend``: uvloop under asyncio where installed.

    Raises:
        ConfigError: The backend is not installed.
    """
    if backend == "asyncio":
        return {"use_uvloop": True} if find_spec("uvloop") else {}
    if find_spec(backend) is None:
        raise ConfigError(
            f"the backend {backend!r} is not installed",
            hint=f"pip install 'rbee-scheduler[{backend}]', or choose asyncio",
        )
    return {}
