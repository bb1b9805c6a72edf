"""Checking the books: what must hold in every store, whatever was killed when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from rbee_scheduler_platform._store._database import Database


__all__ = ["check_books", "forget"]

# Only days whose charges are all still there can be summed up again.
_USAGE: Final = (
    "SELECT tenant, day, requests, input_tokens, output_tokens FROM usage WHERE day >= ?"
)
_CHARGED: Final = """
    SELECT tenant, day, sum(used_requests), sum(used_input_tokens), sum(used_output_tokens)
    FROM charges WHERE state = 'settled' AND day >= ? GROUP BY tenant, day"""

_COUNTS: Final = """
    SELECT s.tenant, s.concurrent, s.vram_bytes, coalesce(c.n, 0), coalesce(c.vram, 0)
    FROM quota_states s LEFT JOIN (
        SELECT tenant, count(*) AS n, sum(vram_bytes) AS vram FROM charges
        WHERE state = 'open' AND counted = 1 GROUP BY tenant
    ) c ON s.tenant = c.tenant
    WHERE s.concurrent <> coalesce(c.n, 0) OR s.vram_bytes <> coalesce(c.vram, 0)"""


def check_books(db: Database) -> list[str]:
    """Return what is wrong with the books, in words; an empty list: nothing (a query).

    * Usage of a day is the sum of the settled charges that were booked on it.
    * What counts as concurrent is the open charges, and so is the memory.
    """
    (since,) = db.row("SELECT since FROM books") or ("",)
    usage, charged = (
        {(tenant, day): tuple(map(int, sums)) for tenant, day, *sums in db.rows(query, (since,))}
        for query in (_USAGE, _CHARGED)
    )
    nothing = (0, 0, 0)
    problems = [
        f"usage of {tenant} on {day} is {usage.get((tenant, day), nothing)} (requests, input and"
        f" output tokens); its charges say {charged.get((tenant, day), nothing)}"
        for tenant, day in sorted(usage.keys() | charged.keys())
        if usage.get((tenant, day), nothing) != charged.get((tenant, day), nothing)
    ]
    problems += [
        f"{tenant} counts {n} open charges and {vram} bytes; there are {found} and {held}"
        for tenant, n, vram, found, held in db.rows(_COUNTS)
    ]
    return problems


def forget(db: Database, day: str) -> tuple[int, int]:
    """Delete ended charges and jobs of the days before ``day``; usage stays (an operation).

    Returns:
        How many charges and jobs.
    """
    charges = db.change("DELETE FROM charges WHERE state <> 'open' AND day < ?", (day,))
    moment = _midnight(day)
    jobs = db.change("DELETE FROM jobs WHERE state = 'ended' AND ended_at < ?", (moment,))
    db.change("UPDATE books SET since = ? WHERE since < ?", (day, day))
    return charges, jobs


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000.0
