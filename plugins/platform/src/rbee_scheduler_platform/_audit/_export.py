"""Export: the chain as JSON lines, each a record with its hash."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rbee_scheduler_platform._store._protocol import Store


__all__ = ["export_lines"]

_PAGE = 1000


async def export_lines(
    store: Store, *, since: float = 0.0, until: float | None = None
) -> AsyncIterator[str]:
    """Yield each record as one line of JSON, oldest first, without the newline.

    A line is the record's canonical JSON and, last, its ``hash``: the sha256 of the line
    without ``,"hash":"..."``. So an export can be verified without the store.

    Args:
        store: Where the chain is; open.
        since: Only records of this moment or later, wall-clock ms.
        until: Only records of before this moment, wall-clock ms.
    """
    seq = 0
    while True:
        records, _ = await store.audit_page(seq, _PAGE)
        for record in records:
            if record.at >= since and (until is None or record.at < until):
                yield f'{record.body[:-1].decode()},"hash":"{record.hash}"}}'
        if len(records) < _PAGE:
            return
        seq = records[-1].seq
