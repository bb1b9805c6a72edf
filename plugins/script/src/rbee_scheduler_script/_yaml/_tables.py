"""The words of YAML rules, as tables: the reader, the JSON Schema and the docs use the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from rbee_scheduler_script._check._kinds import bare, field_of
from rbee_scheduler_script._check._shapes import SHAPES


__all__ = [
    "ALWAYS",
    "COMBINERS",
    "EVICTIONS",
    "MODEL_MATCHES",
    "OPERATORS",
    "ROOTS",
    "SELECTIONS",
    "Operator",
    "field_paths",
]  # fmt: skip


@attrs.frozen(kw_only=True)
class Operator:
    """How a field is compared.

    Attributes:
        name: As written.
        about: What it asks, for the docs.
        takes: What stands behind it: ``"scalar"``, ``"text"``, ``"list"``, ``"ordered"`` (a number
            or a text) or ``"flag"``.
        fields: Families of fields that it may ask about; empty: any.
    """

    name: str
    about: str
    takes: str
    fields: frozenset[str] = frozenset()


_TEXT: Final = frozenset({"text"})
_ORDERED: Final = frozenset({"text", "number"})

OPERATORS: Final[Mapping[str, Operator]] = {
    operator.name: operator
    for operator in (
        Operator(name="equals", about="is this value", takes="scalar"),
        Operator(name="not_equals", about="is another value, or absent", takes="scalar"),
        Operator(
            name="contains",
            about="a text has this part; a list has this element",
            takes="text",
            fields=frozenset({"text", "array"}),
        ),
        Operator(name="starts_with", about="starts with this text", takes="text", fields=_TEXT),
        Operator(name="ends_with", about="ends with this text", takes="text", fields=_TEXT),
        Operator(name="in", about="is one of these values", takes="list"),
        Operator(name="gt", about="is greater", takes="ordered", fields=_ORDERED),
        Operator(name="gte", about="is greater or equal", takes="ordered", fields=_ORDERED),
        Operator(name="lt", about="is less", takes="ordered", fields=_ORDERED),
        Operator(name="lte", about="is less or equal", takes="ordered", fields=_ORDERED),
        Operator(name="exists", about="`true`: is there; `false`: is absent", takes="flag"),
        Operator(
            name="matches_glob",
            about="the whole text matches; `*` is any text, `?` any one character",
            takes="text",
            fields=_TEXT,
        ),
    )
}

COMBINERS: Final[Mapping[str, str]] = {
    "all": "every one of these conditions holds",
    "any": "at least one of these conditions holds",
    "not": "this condition does not hold",
}

# What a condition may be instead of a map.
ALWAYS: Final = (True, "always")

# Where a field path starts; without one of these words it is a field of the job.
ROOTS: Final = ("job", "metrics")

# `worker_selection`: what is called on the candidates.
SELECTIONS: Final[Mapping[str, str]] = {
    "cheapest": 'min_by("cost_per_token")',
    "fastest": 'max_by("avg_tokens_per_sec")',
    "first": "first()",
    "first-available": "first()",
    "least-loaded": "least_loaded()",
    "most-vram-free": "most_vram_free()",
    "random": "random()",
    "round-robin": "round_robin()",
}

MODEL_MATCHES: Final[Mapping[str, str]] = {
    "any": "every candidate",
    "required": "candidates that can serve the job's model",
    "preferred": "candidates that have the model loaded, or else every candidate",
}

EVICTIONS: Final[Mapping[str, str]] = {
    "lru": "find_worker_to_evict_lru()",
    "lfu": "find_worker_to_evict_lfu()",
}


def field_paths(root: str) -> dict[str, str]:
    """Return the field paths below a root word and their types; maps on the way are left out."""
    out: dict[str, str] = {}

    def gather(shape: str, prefix: str, absent: str) -> None:
        for name, kind in SHAPES[shape].items():
            inner = bare(kind)
            maybe = absent or ("?" if kind.endswith("?") else "")
            if inner in SHAPES:
                if maybe:
                    # Whether it is there at all may be asked.
                    out[f"{prefix}{name}"] = "map?"
                gather(inner, f"{prefix}{name}.", maybe)
            # A list of maps, or a map of anything, is nothing a rule could compare.
            elif field_of(kind) != "map" and inner != "[map]":
                out[f"{prefix}{name}"] = inner + maybe

    gather(root, "", "")
    return out
