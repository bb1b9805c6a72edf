"""One run of a program: its meter, what it may change in place, its output.

**Who owns a container.** Rhai copies arrays and maps on assignment. Here they are shared and copied
when first changed: `owned` holds the containers this run made by such a copy and that exactly one
variable or one owned container refers to. `own(x)` answers `x` itself when it is owned, else a
shallow copy that is; reading a variable to store it elsewhere `share`s it, which takes it (and the
owned containers inside it) out of `owned`. So a change copies the path from its variable down to
the place of the change, once, and never touches what the host passed in.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ._errors import RhaiError, arithmetic
from ._failures import not_found
from ._meter import CHUNK, STRIDE, Meter
from ._values import FnPtr, ScriptFunction


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ._limits import Limits


# Shared by all runs, never written to: `own`, `write` and `set_tag` put a new one in place first.
_NOTHING: Final[Any] = MappingProxyType({})
_NO_LINES: Final[Any] = ()


class Run(Meter):
    """What a host function gets as its first argument when it asks for it (`rhai.host`).

    Attributes:
        owned: Containers that may be changed in place, by identity.
        scope: The host's variables (`Program.eval`) and what became of them.
        constants: Global constants, for `global::NAME`.
        functions: The script's functions by name and arity.
        natives: Host and standard functions by name and arity.
        output: Lines of `print` and `debug`.
        tags: What scripts set with `x.tag = 1`, by variable.
    """

    # Until a run needs one of its own: most never do.
    owned: dict[int, Any] = _NOTHING
    scope: dict[str, Any] = _NOTHING
    constants: dict[str, Any] = _NOTHING
    tags: dict[str, int] = _NOTHING
    output: list[str] = _NO_LINES
    _output_size = 0

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        functions: Mapping[str, Mapping[int, ScriptFunction]],
        natives: Callable[[str, int], Callable[..., Any] | None],
        place: Callable[[RhaiError], None],
    ) -> None:
        self.limits = limits
        self.left = left = limits.operations
        self.look = left - STRIDE
        self._clock = clock
        self.deadline = clock() + limits.time_ms * 1e-3
        self.functions = functions
        self.natives = natives
        self.place = place

    # -- ownership

    def own(self, value: Any) -> Any:
        """The container itself when it may be changed in place, else a copy that may."""
        kind = type(value)
        if (kind is not list and kind is not dict) or id(value) in self.owned:
            return value
        copy: Any
        if kind is list:
            self.array(len(value))
            copy = list(value)
        else:
            self.map(len(value))
            copy = dict(value)
        if self.owned:
            for child in copy if kind is list else copy.values():
                if id(child) in self.owned:
                    self.disown(child)
            self.owned[id(copy)] = copy
        else:
            self.owned = {id(copy): copy}
        return copy

    def disown(self, value: Any) -> None:
        """The container is about to have a second referrer; so has everything in it."""
        pending = [value]
        while pending:
            container = pending.pop()
            if self.owned.pop(id(container), None) is not None:
                self.left -= len(container) >> 3
                inside = container if type(container) is list else container.values()
                pending += [child for child in inside if type(child) in (list, dict)]

    # -- calls of script closures by natives

    def callable(self, function: FnPtr, count: int) -> ScriptFunction | None:
        """The script function behind a pointer when called with `count` arguments, if any."""
        found = function.function
        if found is not None:
            return found
        by_arity = self.functions.get(function.name)
        if by_arity is None:
            return None
        return by_arity.get(count + len(function.curried))

    def call(self, function: FnPtr, *arguments: Any, this: list[Any] | None = None) -> Any:
        """Call a script function or closure once.

        Args:
            function: What the script passed.
            *arguments: Plain values; arrays and maps among them are shared, not copied.
            this: A one-element list holding `this`; the callee may replace the element.

        Raises:
            RhaiError: It failed, takes another number of arguments, or a limit was hit.
        """
        if type(function) is not FnPtr:
            raise not_found("call", (function, *arguments))
        target = self.callable(function, len(arguments))
        if function.curried:
            arguments = (*function.curried, *arguments)
        if target is None:
            native = self.natives(function.name, len(arguments))
            if native is None:
                raise not_found(function.name, arguments)
            self.charge(1)
            return native(self, *arguments)
        if target.arity != len(arguments):
            raise not_found(function.name, arguments)
        self.charge(target.cost)
        self.enter()
        try:
            if target.uses_this:
                return target.code(self, *arguments, this=this)
            return target.code(self, *arguments)
        finally:
            self.depth -= 1

    def chunks(self, items: Sequence[Any], cost: int) -> Iterator[Sequence[Any]]:
        """The items in slices of at most 512, each paid for (`cost` steps an item) when reached."""
        for start in range(0, len(items), CHUNK):
            part = items[start : start + CHUNK]
            self.charge(len(part) * cost + 1)
            yield part

    def map_items(  # noqa: C901, PLR0912 - one branch a shape of closure, each a tight loop
        self, function: FnPtr, items: Sequence[Any], *, start: int = 0
    ) -> list[Any]:
        """Call a closure for each item; the answers in order.

        A closure of one parameter gets the item, of two the item and its index, of none finds the
        item in `this`. The closure's own cost is charged for 512 items at a time, so an item costs
        one Python call and nothing else.

        Args:
            function: What the script passed.
            items: A list the script sees as an array.
            start: Index of the first item.

        Raises:
            RhaiError: The closure failed or takes another number of arguments, or a limit was hit.
        """
        if type(function) is not FnPtr:
            raise not_found("call", (function, items))
        if self.owned:
            self.disown(items)
        curried = function.curried
        target = self.callable(function, 1)
        if target is None:
            target = self.callable(function, 2) or self.callable(function, 0)
        if target is None:
            return [self.call(function, item) for item in items]
        code, cost = target.code, target.cost
        takes = target.arity - len(curried)
        out: list[Any] = []
        self.enter()
        try:
            if takes == 1 and not curried and len(items) <= CHUNK:
                self.charge(len(items) * cost + 1)
                return [code(self, item) for item in items]
            for part in self.chunks(items, cost):
                if takes == 1 and not curried:
                    out += [code(self, item) for item in part]
                elif takes == 1:
                    out += [code(self, *curried, item) for item in part]
                elif takes == 2:  # noqa: PLR2004 - item and index
                    out += [code(self, *curried, x, i) for i, x in enumerate(part, start)]
                elif takes == 0 and target.uses_this:
                    out += [code(self, *curried, this=[item]) for item in part]
                elif takes == 0:
                    out += [code(self, *curried) for _ in part]
                else:
                    raise not_found(function.name, (part[0], start))
                start += len(part)
        finally:
            self.depth -= 1
        self.allocate(8 * len(out))
        return out

    def filter_items(self, function: FnPtr, items: Sequence[Any]) -> list[Any]:
        """The items for which a closure answers true (anything else counts as false)."""
        answers = self.map_items(function, items)
        return [item for item, answer in zip(items, answers, strict=True) if answer is True]

    def first_item(self, function: FnPtr, items: Sequence[Any], *, wanted: bool = True) -> int:
        """Index of the first item for which a closure answers `wanted`, or -1.

        Items are asked in growing slices (8, 16, ... 512), so an early hit stays cheap.
        """
        if self.owned:
            self.disown(items)
        start, size = 0, 8
        while start < len(items):
            part = items[start : start + size]
            for index, answer in enumerate(self.map_items(function, part, start=start), start):
                if (answer is True) is wanted:
                    return index
            start += len(part)
            size = min(size * 2, CHUNK)
        return -1

    # -- output

    def write(self, line: str) -> None:
        """Keep a line of output, up to the limits."""
        self.charge(1 + (len(line) >> 6))
        room = self.limits.output_size - self._output_size
        if len(self.output) < self.limits.output_lines and room > 0:
            if not self.output:
                self.output = []
            self.output.append(line[:room])
            self._output_size += len(line)

    def fail(self, message: str) -> RhaiError:
        """An error for a host function to raise: a catchable `ErrorRuntime`."""
        return RhaiError("ErrorRuntime", message, value=message)

    def overflow(self, message: str) -> RhaiError:
        """A catchable `ErrorArithmetic` for a host function to raise."""
        return arithmetic(message, placed=True)
