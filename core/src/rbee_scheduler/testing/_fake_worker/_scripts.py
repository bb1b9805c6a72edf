"""Which script the next request gets."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rbee_scheduler.testing._fake_worker._script import Script


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rbee_scheduler.testing._fake_worker._fault import Fault
    from rbee_scheduler.testing._fake_worker._request import SeenRequest


class Scripts:
    """A queue for the next requests, then the default: one script, or a function of the request."""

    def __init__(self, default: Script | Callable[[SeenRequest], Script]) -> None:
        self.default = default
        self._queue: deque[Script] = deque()

    def enqueue(self, scripts: Iterable[Script]) -> None:
        """Add scripts for the next requests, in order."""
        self._queue.extend(scripts)

    def draw(self, request: SeenRequest) -> Script:
        """Take the script for this request."""
        if self._queue:
            return self._queue.popleft()
        return self.default if isinstance(self.default, Script) else self.default(request)

    def draw_fault(self, fault: Fault) -> bool:
        """Whether the next script has this fault; its turn is over then.

        For a fault that strikes before there is a request to draw a script for. So a function of
        the request has none.
        """
        following = self._queue[0] if self._queue else self.default
        struck = isinstance(following, Script) and following.fault is fault
        if struck and self._queue:
            self._queue.popleft()
        return struck
