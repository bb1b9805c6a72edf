"""The demo's report: what was promised, and what came of it."""

from __future__ import annotations

from typing import Final

import attrs


__all__ = ["DemoReport", "Refused", "Share"]

# Shares may be this far off: a few requests, of a demo's few hundred.
TOLERANCE: Final = 0.03

_TOO_MANY: Final = 429
_SERVED: Final = 200


@attrs.frozen(kw_only=True)
class Share:
    """What a tenant got of the workers' service.

    Attributes:
        tenant: Who.
        weight: Its weight.
        requests: Its requests that were served.
        share: Its part of the service, 0 to 1.
        wanted: Its part of the weights.
    """

    tenant: str
    weight: float
    requests: int
    share: float
    wanted: float


@attrs.frozen(kw_only=True)
class Refused:
    """A request that a quota refused, and the next try.

    Attributes:
        tenant: Whose.
        status: Status of the refusal.
        code: Its code.
        retry_after: Seconds that it said to wait.
        status_after: Status of the try after that time.
    """

    tenant: str
    status: int
    code: str
    retry_after: int
    status_after: int


@attrs.frozen(kw_only=True)
class DemoReport:
    """How the demo went.

    Attributes:
        shares: What each tenant got.
        refused: The request that a quota refused.
        audit_records: Records of the audit trail.
        audit_sound: Whether none is missing or changed.
        digest: What decided.
    """

    shares: tuple[Share, ...]
    refused: Refused
    audit_records: int
    audit_sound: bool
    digest: str

    @property
    def good(self) -> bool:
        """Whether all of it is as promised."""
        fair = all(abs(one.share - one.wanted) <= TOLERANCE for one in self.shares)
        statuses = (self.refused.status, self.refused.status_after)
        return fair and statuses == (_TOO_MANY, _SERVED) and self.audit_sound
