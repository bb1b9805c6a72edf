"""One version of a policy: what was deployed, when, by whom, and what became of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import attrs


__all__ = ["Version", "VersionState", "digest_of"]

VersionState = Literal["deployed", "superseded", "refused"]

SHOWN_DIGEST = 12


@attrs.frozen(kw_only=True)
class Version:
    """One version of a policy.

    Attributes:
        number: From 1, in the order in which they came.
        digest: sha256 of the text, hex.
        time: When it came: ms since 1970, by the deployment's clock.
        author: Who brought it; empty when nobody said.
        file: The file it came from.
        source: The text as it was written, Rhai or YAML.
        state: ``"deployed"`` (it decides), ``"superseded"`` or ``"refused"``.
        findings: Why it was refused, and what else was noticed; see `Review`.
    """

    number: int
    digest: str
    time: float
    author: str
    file: str
    source: str
    state: VersionState
    findings: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """How messages call it: its number and the start of its digest."""
        return f"version {self.number} ({self.digest[:SHOWN_DIGEST]})"

    @property
    def when(self) -> str:
        """The time as people write it, UTC."""
        moment = datetime.fromtimestamp(self.time / 1000.0, tz=UTC)
        return moment.strftime("%Y-%m-%d %H:%M:%S")

    def to_dict(self, *, source: bool = False) -> dict[str, Any]:
        """Return it as plain JSON values; its text only when asked for."""
        data = attrs.asdict(self)
        data["findings"] = [dict(finding) for finding in self.findings]
        if not source:
            del data["source"]
        return data


def digest_of(source: str) -> str:
    """Return the digest of a policy's text."""
    return hashlib.sha256(source.encode()).hexdigest()
