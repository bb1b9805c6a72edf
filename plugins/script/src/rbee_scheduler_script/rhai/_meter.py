"""What a run has left: steps, time, memory, depth, output.

Nothing counts single steps. The code generator knows what a stretch of code costs and charges it
in one subtraction; natives charge by the length of what they are about to walk. The clock is
looked at whenever `left` falls below `look`, which is every 2,048 steps or so (about 0.2 ms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from ._errors import LimitError, too_large


if TYPE_CHECKING:
    from collections.abc import Callable

    from ._limits import Limits


STRIDE: Final = 2_048
# Elements walked between two looks at the meter.
CHUNK: Final = 512


class Meter:
    """The budget of one run.

    What starts out the same in every run is a class attribute: a run is made for each call of a
    policy, and making one is a good part of a small call.

    Attributes:
        left: Steps left.
        look: When `left` falls below this, `check` must be called.
        allocated: Bytes allocated so far.
        depth: Nested calls right now.
        limits: What it started from.
        deadline: When the run must end, by its clock.
    """

    allocated = 0
    depth = 0
    _over: str | None = None

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.left = left = limits.operations
        self.look = left - STRIDE
        self._clock = clock
        self.deadline = clock() + limits.time_ms * 1e-3

    def charge(self, steps: int) -> None:
        """Pay for work about to be done."""
        self.left -= steps
        if self.left < self.look:
            self.check()

    def check(self) -> None:
        """Look at the budget and the clock; once over, a run stays over."""
        if self._over is None:
            if self.left < 0:
                self._over = "ErrorTooManyOperations"
            elif self._clock() > self.deadline:
                self._over = "ErrorTerminated"
            else:
                self.look = max(self.left - STRIDE, 0)
                return
        self.left = min(self.left, -1)
        self.look = 0
        self.fail_limit(self._over)

    def fail_limit(self, kind: str) -> NoReturn:
        """Raise the limit error of that kind."""
        messages = {
            "ErrorTooManyOperations": "Too many operations",
            "ErrorTerminated": f"Script ran longer than {self.limits.time_ms:g} ms",
            "ErrorStackOverflow": "Stack overflow",
        }
        raise LimitError(kind, messages[kind])

    def enter(self) -> None:
        """One call deeper; pair with `depth -= 1` in a `finally`."""
        if self.depth >= self.limits.call_depth:
            self.fail_limit("ErrorStackOverflow")
        self.depth += 1

    def allocate(self, size: int) -> None:
        """Pay for bytes about to be allocated."""
        self.allocated += size
        if self.allocated > self.limits.memory:
            raise too_large("Memory of this run")

    def text(self, size: int) -> None:
        """Pay for a string of that many characters, before it is built."""
        if size > self.limits.string_size:
            raise too_large("Length of string")
        if size > 128:  # noqa: PLR2004 - a short string is covered by the step that makes it
            self.charge(size >> 6)
            self.allocate(size)

    def array(self, size: int) -> None:
        """Pay for an array of that many elements, before it is built."""
        if size > self.limits.array_size:
            raise too_large("Size of array/BLOB")
        self.charge(size >> 2)
        self.allocate(56 + 8 * size)

    def map(self, size: int) -> None:
        """Pay for a map of that many entries, before it is built."""
        if size > self.limits.map_size:
            raise too_large("Size of object map")
        self.charge(size)
        self.allocate(64 + 100 * size)

    def nested(self, depth: int) -> None:
        """Refuse to walk arrays and maps nested deeper than the limit."""
        if depth > self.limits.nesting:
            raise too_large("Nesting of arrays and object maps")
