"""The directory: all tenants and tokens in memory, as of the store's last change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from rbee_scheduler import Clock, SchedulerError
from rbee_scheduler_platform._records import TokenRecord
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._store._tenant_rows import directory_after
from rbee_scheduler_platform._tenant import Tenant


__all__ = ["Directory", "DirectoryView"]

# Seconds between two looks at the store's counter: how long a revoked token may live.
INTERVAL: Final = 1.0


@attrs.frozen(kw_only=True)
class DirectoryView:
    """All tenants and tokens at one moment; never changes.

    Attributes:
        version: The store's counter of changes.
        tenants: By id.
        tokens: By id.
    """

    version: int = -1
    tenants: Mapping[str, Tenant] = attrs.field(factory=dict)
    tokens: Mapping[str, TokenRecord] = attrs.field(factory=dict)


class Directory:
    """Keeps a `DirectoryView` that follows the store.

    Args:
        store: Where tenants and tokens are; open.

    Attributes:
        view: The present view; replaced, never changed.

    Example::

        directory = Directory(store)
        await directory.refresh()
        tasks.start_soon(directory.watch, clock)
    """

    __slots__ = ("_listeners", "_store", "view")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: list[Callable[[DirectoryView], None]] = []
        self.view = DirectoryView()

    def subscribe(self, listener: Callable[[DirectoryView], None]) -> Callable[[], None]:
        """Call ``listener`` with each new view; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def refresh(self) -> bool:
        """Take over what has changed in the store; return whether anything had.

        Raises:
            StoreUnavailable: The store can't be read; the view stays.
        """
        found = await self._store.read(directory_after(self.view.version))
        if found is None:
            return False
        version, tenants, tokens = found
        self.view = DirectoryView(
            version=version,
            tenants={tenant.id: tenant for tenant in tenants},
            tokens={token.id: token for token in tokens},
        )
        for listener in tuple(self._listeners):
            listener(self.view)
        return True

    async def watch(self, clock: Clock, interval: float = INTERVAL) -> None:
        """Refresh every ``interval`` seconds, until cancelled.

        While the store can't be read the last view counts: who had access keeps it.
        """
        troubled = False
        while True:
            await clock.sleep(interval)
            try:
                await self.refresh()
                troubled = False
            except SchedulerError as error:
                if not troubled:  # once, not every second
                    logging.getLogger("rbee_scheduler.platform").warning(
                        "tenants and tokens can't be refreshed: %s", error
                    )
                troubled = True
