"""Who is next among equals: the one place where ties are broken."""

from __future__ import annotations

from collections.abc import Sequence

from rbee_scheduler import Worker


__all__ = ["NAMED", "from_place", "in_turn"]

# As many as a request makes attempts by default; core looks at no more.
NAMED = 5


def from_place(candidates: Sequence[Worker], first: int) -> list[str]:
    """Return the ids of the candidate at ``first`` and of those after it, round the end.

    By index and not by slice: a slice of a large fleet walks to where it begins.
    """
    size = len(candidates)
    if size <= NAMED:
        return [worker.id for worker in (*candidates[first:], *candidates[:first])]
    return [candidates[(first + n) % size].id for n in range(min(size, NAMED))]


def in_turn(
    candidates: Sequence[Worker], values: Sequence[float], best: float, turn: int
) -> list[str]:
    """Return the ids of the candidates whose value is ``best``, another one first each turn.

    An idle fleet is all ties. The earliest registered would get every request, and with it
    all the heat, while the others' caches go cold.

    Args:
        candidates: The workers.
        values: The value of each, in the same order.
        best: One of the values.
        turn: The snapshot's turn.
    """
    count = values.count(best)
    if count == len(values):
        return from_place(candidates, turn % count)
    if count == 1:
        return [candidates[values.index(best)].id]
    equal = [worker for worker, value in zip(candidates, values, strict=True) if value == best]
    return from_place(equal, turn % count)
