"""Entry points: which function of a script decides, and what it wants to see."""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from rbee_scheduler import PolicyError
from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers import CATALOG
from rbee_scheduler_script._job_data import COSTLY_FIELDS
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["BATCH_NAMES", "CTX_FIELDS", "ROLES", "Entry", "find_entry", "with_batches"]

CTX_FIELDS: Final = (
    "queue", "pools", "workers", "hives", "tenants", "metrics", "config", "catalog",
)  # fmt: skip

# Role -> the functions that play it: name and number of parameters, the first found is taken.
ROLES: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "select": (("schedule_job", 3), ("schedule", 1), ("schedule_worker", 1)),
    "filter": (("filter", 2),),
    "soft-filter": (("filter", 2),),
    "score": (("score", 2),),
}
_AS_WRITTEN: Final = {
    "schedule_job": "fn schedule_job(job, pools, workers)",
    "schedule": "fn schedule(ctx)",
    "schedule_worker": "fn schedule_worker(job)",
    "filter": "fn filter(job, worker)",
    "score": "fn score(job, worker)",
}

# `filter` and `score` are written for one worker and run for all of them in one call: a call of the
# engine costs 2 us, an element of `map` a tenth of that, and the time limit holds for all together.
BATCH_NAMES: Final = {"filter": "filter_all_rbee", "score": "score_all_rbee"}

# Answers that mean something when nobody is free, as a script writes them. In a comment they make a
# script be asked for nothing, no more.
_UNSERVED: Final = re.compile(r"[\"`](?:wait|reject|start_worker|evict_worker)[\"`]|\breject\s*\(")

# What a script may call on `registry` without anyone looking at the value of `registry`.
_ON_WHOLE: Final = frozenset(helper.name for helper in CATALOG if helper.whole)


@attrs.frozen(kw_only=True)
class Entry:
    """The function of a script that decides.

    Attributes:
        role: ``"select"``, ``"filter"``, ``"soft-filter"`` or ``"score"``.
        name: The function as it is written.
        call: The function that is called; another one when it is run for all workers at once.
        line: Line of its definition.
        column: Column of its definition.
        reads: What it reads of its context: fields of `ctx`, or ``{"pools"}``.
        costly: Costly fields of jobs that the script reads.
        unserved: Whether the script says anything of a job that nobody is free for.
    """

    role: str
    name: str
    call: str
    line: int
    column: int
    reads: frozenset[str]
    costly: tuple[str, ...]
    unserved: bool


def with_batches(source: str) -> str:
    """Return a script with a function behind it that runs `filter` or `score` for all workers."""
    added = [
        f"fn {batch}(job, workers) {{ workers.map(|worker| {name}(job, worker)) }}"
        for name, batch in BATCH_NAMES.items()
        if re.search(rf"\bfn\s+{name}\s*\(", source)
    ]
    # Behind a line break, which ends a comment, and a semicolon, which ends a last statement.
    return "\n".join([source, ";", *added]) if added else source


def find_entry(program: rhai.Program, source: str, role: str, file: str) -> Entry:
    """Return the function of ``program`` that decides.

    Args:
        program: The compiled script.
        source: The script as it was written.
        role: What it is wanted for; empty: the first role it has a function for.
        file: Name of the script, for messages.

    Raises:
        PolicyError: It has no such function.
    """
    known = program.functions()
    for candidate in [role] if role else list(ROLES):
        for name, arity in ROLES[candidate]:
            if arity in known.get(name, ()):
                node = next(
                    f
                    for f in program.script.functions
                    if f.name == name and len(f.parameters) == arity
                )
                call = BATCH_NAMES.get(name, name)
                if call not in known:
                    raise PolicyError(
                        "its last comment has no end", place=file, hint="close it with */"
                    )
                return Entry(
                    role=candidate,
                    name=name,
                    call=call,
                    line=node.line,
                    column=node.column,
                    reads=_reads(node),
                    costly=tuple(field for field in COSTLY_FIELDS if field in source),
                    unserved=candidate == "select" and _UNSERVED.search(source) is not None,
                )
    raise _no_entry(known, role, file)


def _no_entry(known: dict[str, tuple[int, ...]], role: str, file: str) -> PolicyError:
    wanted = [_AS_WRITTEN[name] for name, _ in ROLES[role or "select"]]
    there = sorted(
        f"{name}/{arity}"
        for name, arities in known.items()
        for arity in arities
        if name not in BATCH_NAMES.values()
    )
    return PolicyError(
        f"has no function that {'decides' if not role else f'can be a {role}'}; "
        f"its functions: {', '.join(there) or 'none'}",
        place=file,
        hint=f"write {', or '.join(wanted)}",
    )


def _reads(node: tree.FunctionDefinition) -> frozenset[str]:
    """Return what the function reads of its context, so that nothing else is made.

    Pools with their workers, the queue and metrics cost the size of the fleet; most policies never
    look at them.
    """
    if node.name == "schedule":
        return _fields_of(node, node.parameters[0])
    if node.name == "schedule_job":
        return _uses_of(node, node.parameters[1])
    return frozenset()


def _fields_of(node: tree.Node, ctx: tree.Binding) -> frozenset[str]:
    """Return the fields of `ctx` that are read; all when it is used as a whole."""
    fields: set[str] = set()
    named: set[int] = set()
    for part in tree.walk(node):
        if isinstance(part, tree.Property) and _is(part.target, ctx):
            fields.add(part.name)
            named.add(id(part.target))
        elif isinstance(part, tree.Call) and part.name == "platform_schedule":
            named.update(map(id, part.arguments))
        elif (_is(part, ctx) and id(part) not in named) or (
            isinstance(part, tree.Call) and part.in_scope
        ):
            return frozenset(CTX_FIELDS)
    return frozenset(fields)


def _uses_of(node: tree.Node, second: tree.Binding) -> frozenset[str]:
    """Return ``{"pools"}`` when the value of the second parameter matters."""
    nameless: set[int] = set()
    for part in tree.walk(node):
        if (
            isinstance(part, tree.MethodCall)
            and part.name in _ON_WHOLE
            and _is(part.target, second)
        ):
            nameless.add(id(part.target))
        elif _in_scope(part) or (_is(part, second) and id(part) not in nameless):
            return frozenset({"pools"})
    return frozenset()


def _is(node: Any, binding: tree.Binding) -> bool:
    return isinstance(node, tree.Variable) and node.binding is binding


def _in_scope(node: tree.Node) -> bool:
    """Whether ``f!()`` shows all variables to a function."""
    return isinstance(node, tree.Call) and node.in_scope
