"""Verification: walks the chain from its beginning, and names the first bad record.

What is found: a record that was altered, is missing, was inserted or moved; a front that was
deleted without a checkpoint; a tail that was deleted, by the head that is kept beside the chain
and by an anchor, a copy of the head elsewhere. Who can write both the store and the anchor can
write another history: keep the anchor where the service can't write.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import attrs

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._records import AuditRecord
from rbee_scheduler_platform._store._protocol import Store


__all__ = ["Anchor", "Verification", "read_anchor", "verify", "write_anchor"]

_PAGE: Final = 1000


@attrs.frozen
class Anchor:
    """Number and hash of a record that was the last one when somebody looked."""

    seq: int
    hash: str


@attrs.frozen(kw_only=True)
class Verification:
    """What a walk along the chain has found.

    Attributes:
        checked: Records that are sound, up to the first bad one.
        first: Number of the first record there is; greater than 1 after `prune`.
        head: The last sound record.
        bad: Number of the first bad record; None: all are sound.
        reason: What is wrong with it.
    """

    checked: int
    first: int
    head: Anchor
    bad: int | None = None
    reason: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.bad is None


class _Bad(Exception):
    """Something wrong at a record."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq


class _Walk:
    """Where a walk is: the last sound record, and what it has to find yet."""

    __slots__ = ("anchor", "checked", "cut", "first", "hash", "seq")

    def __init__(self, anchor: Anchor | None) -> None:
        self.anchor = anchor
        self.checked = 0
        self.first = 1
        self.seq = 0
        self.hash = ""
        self.cut: Anchor | None = None  # the front was cut here; a checkpoint must say so

    def step(self, record: AuditRecord) -> None:
        body = _content(record)
        if not self.checked:
            self._begin(record, body)
        if record.seq != self.seq + 1:
            raise _Bad(self.seq + 1, f"it is missing; number {record.seq} follows")
        if hashlib.sha256(record.body).hexdigest() != record.hash:
            raise _Bad(record.seq, "its content is not what its hash says")
        if (body.get("seq"), body.get("at")) != (record.seq, record.at):
            raise _Bad(record.seq, "its number or its time is not what its content says")
        if body.get("previous") != self.hash:
            raise _Bad(record.seq, "it does not follow the record before it")
        if self.anchor is not None and record.seq == self.anchor.seq:
            if record.hash != self.anchor.hash:
                raise _Bad(record.seq, "it is not the record of the anchor")
            self.anchor = None
        if body.get("kind") == "checkpoint" and self.cut is not None:
            detail = body.get("detail") or {}
            if (detail.get("pruned_through"), detail.get("hash")) == (self.cut.seq, self.cut.hash):
                self.cut = None
        self.seq, self.hash = record.seq, record.hash
        self.checked += 1

    def end(self, head: tuple[int, str]) -> None:
        if (self.seq, self.hash) != head:
            raise _Bad(self.seq + 1, f"it is missing; the last one should be number {head[0]}")
        if self.cut is not None:
            raise _Bad(1, f"it is missing, and so are all up to {self.cut.seq}: no checkpoint")
        if self.anchor is not None and self.anchor.seq > self.seq:
            raise _Bad(self.seq + 1, f"it is missing; the anchor is at number {self.anchor.seq}")

    def _begin(self, record: AuditRecord, body: dict[str, Any]) -> None:
        self.first = record.seq
        if record.seq > 1:
            self.seq, self.hash = record.seq - 1, str(body.get("previous"))
            self.cut = Anchor(self.seq, self.hash)
            # An anchor before the cut has nothing left to be compared with.
            if self.anchor is not None and self.anchor.seq <= self.seq:
                self.anchor = None

    def found(self, bad: _Bad | None) -> Verification:
        return Verification(
            checked=self.checked,
            first=self.first,
            head=Anchor(self.seq, self.hash),
            bad=None if bad is None else bad.seq,
            reason="" if bad is None else str(bad),
        )


async def verify(store: Store, *, anchor: Anchor | None = None, page: int = _PAGE) -> Verification:
    """Walk the chain; memory does not grow with it.

    Args:
        store: Where it is; open. Records may be appended meanwhile.
        anchor: A head of before, kept elsewhere: that record must still be there.
        page: Records read at once.

    Returns:
        What was found; `Verification.head` is the next anchor when it is sound.

    Example::

        found = await verify(store)
        if not found.sound:
            print(f"record {found.bad}: {found.reason}")
    """
    walk = _Walk(anchor)
    seq = 0
    try:
        while True:
            # Rows and head are of one snapshot: what is appended later comes with a later page.
            records, head = await store.audit_page(seq, page)
            for record in records:
                walk.step(record)
            if len(records) < page:
                walk.end(head)
                return walk.found(None)
            seq = records[-1].seq
    except _Bad as bad:
        return walk.found(bad)


def read_anchor(file: Path) -> Anchor | None:
    """Return the anchor in a file; None when there is no file.

    Raises:
        ConfigError: It is no anchor.
    """
    try:
        number, digest = file.read_text("ascii").split()
        return Anchor(int(number), digest)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"it is no anchor: {getattr(error, 'strerror', None) or 'not a number and a hash'}",
            place=str(file),
            hint="name the file that `audit verify --anchor` has written",
        ) from error


def write_anchor(file: Path, anchor: Anchor) -> None:
    """Replace the file by another anchor.

    Raises:
        ConfigError: It can't be written.
    """
    part = None
    try:
        handle, part = tempfile.mkstemp(prefix=f".{file.name}-", suffix=".part", dir=file.parent)
        with os.fdopen(handle, "w", encoding="ascii") as writable:
            writable.write(f"{anchor.seq} {anchor.hash}\n")
            writable.flush()
            os.fsync(writable.fileno())
        Path(part).replace(file)
    except OSError as error:
        raise ConfigError(
            f"the anchor can't be written: {error.strerror or error}",
            place=str(file),
            hint="its folder must exist and be writable",
        ) from error
    finally:
        if part is not None:
            Path(part).unlink(missing_ok=True)


def _content(record: AuditRecord) -> dict[str, Any]:
    try:
        body = json.loads(record.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _Bad(record.seq, "its content is no JSON object")
    return body
