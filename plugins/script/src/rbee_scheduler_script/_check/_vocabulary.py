"""The words a policy may use: fields, helpers, standard functions, entry points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

import attrs

from rbee_scheduler_script._check._answers import ANSWERS, CALLBACKS
from rbee_scheduler_script._check._shapes import OPEN_SHAPES, SHAPES


__all__ = ["Function", "Vocabulary", "nearest", "standard_vocabulary"]


@attrs.frozen(kw_only=True)
class Function:
    """A helper or standard function.

    Attributes:
        name: As scripts call it.
        arities: How many arguments it takes, the receiver included.
        answers: The type it answers; `self` is that of its receiver, `item` of an element of it.
        callback: Types of the parameters of the closure it takes.
    """

    name: str
    arities: frozenset[int]
    answers: str = "any"
    callback: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Vocabulary:
    """The words a policy may use.

    Attributes:
        shapes: Fields of each kind of map, and their types.
        open_shapes: Kinds of maps that may have other fields too.
        functions: Helpers and standard functions by name.
        entries: Entry points by name: the types of their parameters.
        roles: What each entry point has to answer: ``"select"``, ``"filter"`` or ``"score"``.
        globals: Variables that are there without a declaration.
        absent: Functions of the language that are left out on purpose.
    """

    shapes: Mapping[str, Mapping[str, str]]
    open_shapes: frozenset[str] = frozenset()
    functions: Mapping[str, Function]
    entries: Mapping[str, tuple[str, ...]]
    roles: Mapping[str, str]
    globals: Mapping[str, str] = attrs.field(factory=dict)
    absent: frozenset[str] = frozenset()

    def field(self, shape: str, name: str) -> str | None:
        """Return the type of a field; None when there is none."""
        return self.shapes.get(shape, {}).get(name)


_ENTRIES: Final = {
    "schedule_job": ("job", "[pool]", "[worker]"),
    "schedule": ("ctx",),
    "schedule_worker": ("job",),
    "filter": ("job", "worker"),
    "score": ("job", "worker"),
}
_ROLES: Final = {
    "schedule_job": "select",
    "schedule": "select",
    "schedule_worker": "select",
    "filter": "filter",
    "score": "score",
}

# Built into the language rather than listed among its functions.
_BUILT_IN: Final[Mapping[str, tuple[int, ...]]] = {
    "Fn": (1,), "call": tuple(range(1, 22)), "curry": tuple(range(2, 22)), "is_def_fn": (2,),
    "is_def_var": (1,), "is_shared": (1,), "type_of": (1,), "print": (0, 1), "debug": (0, 1),
}  # fmt: skip

# Listed by the official engine, absent here on purpose: a call fails.
_ABSENT: Final = frozenset({"eval", "sleep", "timestamp"})


def standard_vocabulary() -> Vocabulary:
    """Return the words of this plugin: its helpers and Rhai's standard library."""
    # Importing the helpers brings all of core; who checks only with words of his own is spared.
    from rbee_scheduler_script._helpers import CATALOG
    from rbee_scheduler_script.rhai._stdlib import NATIVES

    arities: dict[str, set[int]] = {name: set(counts) for name, counts in _BUILT_IN.items()}
    for name, count in NATIVES:
        if name not in _ABSENT:
            arities.setdefault(name, set()).add(count)
    for helper in CATALOG:
        counts = arities.setdefault(helper.name, set())
        counts.update(helper.arities)
        if helper.whole:
            counts.update(arity + 1 for arity in helper.arities)
    functions = {
        name: Function(
            name=name,
            arities=frozenset(counts),
            answers=ANSWERS.get(name, "any"),
            callback=CALLBACKS.get(name, ()),
        )
        for name, counts in arities.items()
    }
    return Vocabulary(
        shapes=SHAPES,
        open_shapes=OPEN_SHAPES,
        functions=functions,
        entries=_ENTRIES,
        roles=_ROLES,
        absent=_ABSENT,
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known word that looks most like ``name``; empty when none does."""
    known = list(known)
    close = get_close_matches(name, known, n=1, cutoff=0.8)
    if not close:
        # `cost` is not close to `cost_per_token` by letters, yet what was meant.
        longer = [word for word in known if f"_{name}_" in f"_{word}_"]
        close = sorted(longer, key=len) or get_close_matches(name, known, n=1, cutoff=0.6)
    return next(iter(close), "")
