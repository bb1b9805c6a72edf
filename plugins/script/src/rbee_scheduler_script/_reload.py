"""A policy's file, watched: what is saved to it is deployed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from rbee_scheduler import PolicyError
from rbee_scheduler_script._deployer import PolicyDeployer
from rbee_scheduler_script._refusals import PolicyRefused


__all__ = ["watch_policy"]

# The system tells of changes at once; how long several are gathered, ms.
GATHER_MS: Final = 50
# Where it does not tell (network file systems), they are seen after so many ms.
LOOK_MS: Final = 1000


@asynccontextmanager
async def watch_policy(
    deployer: PolicyDeployer, path: str | Path | None = None, *, polling: bool | None = None
) -> AsyncIterator[PolicyDeployer]:
    """Deploy what is saved to a policy's file, as long as the block lasts.

    Whatever goes wrong is logged, and seen in `PolicyDeployer.status`; nothing is raised.

    Args:
        deployer: Takes the versions.
        path: The file; the policy's own by default.
        polling: Whether to look again and again instead of being told; None: as the system can.
    """
    file = _absolute(path or deployer.policy.file)
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(_watch, deployer, file, stop, polling=polling))
        try:
            yield deployer
        finally:
            # The thread that waits for changes can't be cancelled: it looks at this event.
            stop.set()
            tasks.cancel_scope.cancel()


async def _watch(
    deployer: PolicyDeployer, file: Path, stop: anyio.Event, *, polling: bool | None
) -> None:
    # It takes 10 ms to import; a policy that is not watched need not pay.
    from watchfiles import awatch

    # The folder, because editors put another file in the place of the old one.
    changes = awatch(
        file.parent,
        watch_filter=None,
        step=GATHER_MS,
        debounce=4 * GATHER_MS,
        stop_event=stop,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
        force_polling=polling,
        recursive=False,
        ignore_permission_denied=True,
    )
    async with aclosing(changes):
        try:
            await _follow(deployer, file, changes)
        except OSError as error:
            if polling:
                deployer.logger.exception("%s is watched no more", file)
                return
            # Such as: the user's limit of watches is reached.
            deployer.logger.warning("%s: %s; looking again and again", file, error)
            await _watch(deployer, file, stop, polling=True)


async def _follow(
    deployer: PolicyDeployer, file: Path, changes: AsyncGenerator[object, None]
) -> None:
    """Deploy what is new in the file, now and whenever something happens beside it."""
    signature: Any = None
    # Before the first wait, too: the file may have changed since it was read.
    while True:
        now = await anyio.to_thread.run_sync(_signature, file)
        if now != signature:
            signature = now
            await _reload(deployer, file)
        if await anext(changes, None) is None:
            return


async def _reload(deployer: PolicyDeployer, file: Path) -> None:
    try:
        await deployer.reload(file)
    except PolicyRefused:
        pass  # that was told already
    except PolicyError as error:
        deployer.logger.error("policy %s: %s", deployer.policy.name, error)  # noqa: TRY400 - no bug
    except Exception:
        deployer.logger.exception("policy %s: a reload failed", deployer.policy.name)


def _signature(file: Path) -> tuple[int, ...] | None:
    """Return what changes when the file does; None when there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _absolute(path: str | Path) -> Path:
    # Once, at the start: whoever changes the process's folder does not move the policy.
    return Path(path).absolute()
