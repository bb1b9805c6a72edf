"""The lifespan: the platform is opened before the first request, and closed after the last."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import anyio

from rbee_scheduler import Clock, ConfigError, SchedulerError
from rbee_scheduler_platform._digest import deployment_digest
from rbee_scheduler_platform._lock import locked
from rbee_scheduler_platform._others import watch_others
from rbee_scheduler_platform._records import Resumable
from rbee_scheduler_platform._restore import quotas_in_store
from rbee_scheduler_platform._runtime import Runtime
from rbee_scheduler_platform._store._open import open_store, sqlite_path
from rbee_scheduler_platform._store._protocol import Store


if TYPE_CHECKING:
    from rbee_scheduler_gateway import Gateway
    from rbee_scheduler_platform._platform import Platform


__all__ = ["at_work", "opened", "serving"]

# Longest pause between two looks at who a quota has held back, seconds. The moment itself is
# known, but a job that is held back after the look began may be due earlier.
LOOK: Final = 0.25

# Seconds between two signs of life: progress of streams, the lease, the store's health.
SIGN_OF_LIFE: Final = 1.0

PRUNE: Final = 3600.0  # seconds between two looks for old audit records

_DAY_MS: Final = 86_400_000.0


@asynccontextmanager
async def serving(platform: Platform, gateway: Gateway) -> AsyncIterator[Runtime]:
    """Open the platform for a gateway.

    Raises:
        ConfigError: It is open already, or an option is wrong.
        StoreError: The store can't be opened.
    """
    digest = deployment_digest(gateway.plugins.digest)
    about = {"mode": gateway.options.mode, "strategy": gateway.scheduler.strategy}
    beside = partial(watch_others, gateway=gateway) if platform.options.shared else None
    async with opened(
        platform, clock=gateway.clock, rng=gateway.rng, digest=digest, about=about, beside=beside
    ) as runtime:
        yield runtime


@asynccontextmanager
async def opened(
    platform: Platform,
    *,
    clock: Clock,
    rng: Random,
    digest: str,
    about: dict[str, str] | None = None,
    beside: Callable[[Runtime], Coroutine[Any, Any, None]] | None = None,
) -> AsyncIterator[Runtime]:
    """Open the platform: its store, what a last run left, and the work in the background.

    Args:
        platform: The instance.
        clock: Source of time; the scheduler's.
        rng: Source of ids.
        digest: What decides, for the audit records.
        about: What else the record of the start says.
        beside: What else is to run in the background.

    Raises:
        ConfigError: It is open already, or an option is wrong.
        StoreError: The store can't be opened.
    """
    options = platform.options
    store = open_store(
        options.store,
        synchronous=options.synchronous,
        key_file=Path(options.key_file) if options.key_file else None,
        unheard=platform.store_failed,
    )
    alone = nullcontext() if options.shared else locked(sqlite_path(options.store))
    with alone:
        async with (
            store,
            at_work(
                platform, store, clock=clock, rng=rng, digest=digest, about=about, beside=beside
            ) as runtime,
        ):
            yield runtime


@asynccontextmanager
async def at_work(
    platform: Platform,
    store: Store,
    *,
    clock: Clock,
    rng: Random,
    digest: str,
    about: dict[str, str] | None = None,
    beside: Callable[[Runtime], Coroutine[Any, Any, None]] | None = None,
) -> AsyncIterator[Runtime]:
    """Let the platform work over a store that is open; see `opened`."""
    if platform.runtime is not None:
        raise ConfigError("this platform is open already")
    options = platform.options
    logger = logging.getLogger("rbee_scheduler.platform")
    runtime = Runtime(options, store, clock, rng, digest=digest, logger=logger)
    runtime.resumable = await _recover(runtime)
    await runtime.directory.refresh()
    if not options.shared:
        tenants = runtime.directory.view.tenants
        runtime.book.restore(await quotas_in_store(store, tenants, clock.now()))
    runtime.ledger.note("start", **(about or {}))
    platform.runtime = runtime
    # Left without the error of the block, which the group would wrap in one of one.
    stack = AsyncExitStack()
    tasks = await stack.enter_async_context(anyio.create_task_group())
    tasks.start_soon(runtime.directory.watch, clock)
    tasks.start_soon(_held, runtime)
    tasks.start_soon(_every, clock, SIGN_OF_LIFE, runtime.sign_of_life)
    tasks.start_soon(_prune, runtime)
    if beside is not None:
        tasks.start_soon(beside, runtime)
    try:
        yield runtime
    finally:
        platform.runtime = None
        tasks.cancel_scope.cancel()
        runtime.ledger.look()
        runtime.ledger.note("stop")
        await stack.aclose()


async def _recover(runtime: Runtime) -> Sequence[Resumable]:
    """Take over what a last run left; return the jobs to run again."""
    options = runtime.options
    recovered = await runtime.store.recover(
        options.gateway, runtime.clock.now(), lease=options.lease_seconds
    )
    for resumable in recovered.resumable:
        runtime.resume(resumable.job.id)
    if recovered.gateways:
        runtime.logger.info(
            "taken over from %s: %d jobs to run, %d lost, %d charges settled, %d refunded",
            ", ".join(recovered.gateways),
            len(recovered.resumable),
            len(recovered.failed),
            len(recovered.settled),
            len(recovered.refunded),
        )
    return recovered.resumable


async def _held(runtime: Runtime) -> None:
    """Wake the jobs that quotas held back, when their time has come."""
    clock, order = runtime.clock, runtime.order
    while True:
        ready = order.next_ready()
        pause = LOOK if ready is None else min(LOOK, ready - clock.monotonic())
        if pause <= 0:
            order.tick()
            pause = min(LOOK, 0.001)
        await clock.sleep(pause)


async def _every(clock: Clock, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await clock.sleep(seconds)
        await work()


async def _prune(runtime: Runtime) -> None:
    """Delete the audit records that are too old."""
    days = runtime.options.audit_days
    while days:
        await runtime.clock.sleep(PRUNE)
        now = runtime.clock.now()
        try:
            await runtime.store.prune_audit(now - days * _DAY_MS, now, runtime.options.gateway)
        except SchedulerError as problem:
            runtime.logger.warning("old audit records can't be deleted: %s", problem)
