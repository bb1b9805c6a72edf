"""The audit chain: records that each hold the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._records import AUDIT_KINDS, AuditEntry, AuditRecord
from rbee_scheduler_platform._store._database import Database, Operation


__all__ = ["append", "head_of", "link", "prune", "records_after"]

_HEAD: Final = "audit head"


def link(entry: AuditEntry, seq: int, previous: str) -> AuditRecord:
    """Return ``entry`` as number ``seq``, after the record whose hash is ``previous``.

    The body is canonical JSON: keys sorted, no blanks, ASCII, no NaN. The first record's
    ``previous`` is empty.

    Raises:
        ConfigError: The detail is no JSON.
    """
    at = int(entry.at)
    content = {
        "seq": seq,
        "previous": previous,
        "at": at,
        "kind": entry.kind,
        "gateway": entry.gateway,
        "tenant": entry.tenant,
        "job": entry.job,
        "worker": entry.worker,
        "digest": entry.digest,
        "detail": dict(entry.detail),
    }
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the detail of an audit record is no JSON: {error}") from error
    body = text.encode("ascii")
    return AuditRecord(seq=seq, at=at, body=body, hash=hashlib.sha256(body).hexdigest())


def append(entry: AuditEntry) -> Operation[int]:
    """Return the operation that appends a record; its result is the record's number.

    Raises:
        ConfigError: ``entry`` is of a kind that is not the caller's to write.
    """
    if entry.kind not in AUDIT_KINDS:
        raise ConfigError(
            f"{entry.kind!r} is no kind of audit record", hint=f"there are: {AUDIT_KINDS}"
        )
    return lambda db: _append(db, entry).seq


def head_of(db: Database) -> tuple[int, str]:
    """Return number and hash of the last record; ``(0, "")`` before the first."""
    remembered = db.memo.get(_HEAD)
    if remembered is None:
        seq, digest = db.row("SELECT seq, hash FROM audit_head") or (0, b"")
        remembered = (int(seq), digest.hex())
    found: tuple[int, str] = remembered
    return found


def records_after(seq: int, limit: int) -> Operation[tuple[list[AuditRecord], tuple[int, str]]]:
    """Return the query for up to ``limit`` records after number ``seq``, and the head."""

    def read(db: Database) -> tuple[list[AuditRecord], tuple[int, str]]:
        rows = db.rows(
            "SELECT seq, at, body, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
        )
        return [AuditRecord(seq=n, at=at, body=b, hash=h.hex()) for n, at, b, h in rows], head_of(
            db
        )

    return read


def prune(before: float, now: float, gateway: str) -> Operation[int]:
    """Return the operation that deletes records older than ``before`` (wall-clock ms).

    Only from the front: the first record that is young enough ends it. A checkpoint, itself a
    link of the chain, says up to which number and hash the chain was cut. The result is the
    number of records deleted.
    """

    def cut(db: Database) -> int:
        last, _ = head_of(db)
        (young,) = db.row("SELECT min(seq) FROM audit WHERE at >= ?", (int(before),)) or (None,)
        end = last if young is None else int(young) - 1
        kept = db.row("SELECT hash FROM audit WHERE seq = ?", (end,))
        if kept is None:
            return 0  # nothing is that old
        checkpoint = {"pruned_through": end, "hash": kept[0].hex(), "before": int(before)}
        _append(
            db,
            AuditEntry(kind="checkpoint", at=now, gateway=gateway, detail=checkpoint),
        )
        return db.change("DELETE FROM audit WHERE seq <= ?", (end,))

    return cut


def _append(db: Database, entry: AuditEntry) -> AuditRecord:
    seq, previous = head_of(db)
    record = link(entry, seq + 1, previous)
    db.change(
        "INSERT INTO audit (seq, at, body, hash) VALUES (?, ?, ?, ?)",
        (record.seq, record.at, record.body, bytes.fromhex(record.hash)),
    )
    db.memo[_HEAD] = (record.seq, record.hash)
    db.before_commit[_HEAD] = _write_head
    return record


def _write_head(db: Database) -> None:
    seq, digest = head_of(db)
    db.change("UPDATE audit_head SET seq = ?, hash = ?", (seq, bytes.fromhex(digest)))
