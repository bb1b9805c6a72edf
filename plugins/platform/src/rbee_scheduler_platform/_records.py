"""What is kept: jobs, charges, usage, tokens, audit records; plain data without a prompt.

Moments are wall-clock milliseconds since 1970, UTC; days are ``"2026-01-31"``, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import attrs

from rbee_scheduler import ConfigError


__all__ = [
    "AUDIT_KINDS",
    "Amounts",
    "AuditEntry",
    "AuditKind",
    "AuditRecord",
    "ChargeRecord",
    "ChargeState",
    "Denied",
    "Granted",
    "JobRecord",
    "JobState",
    "Recovered",
    "Resumable",
    "Role",
    "TokenRecord",
    "UsageRecord",
    "day_of",
]

AuditKind = Literal[
    "admission", "decision", "denial", "outcome", "token", "config", "start", "stop", "checkpoint"
]
ChargeState = Literal["open", "settled", "refunded"]
JobState = Literal["queued", "running", "ended"]
Role = Literal["tenant", "operator"]

# A checkpoint is written by `prune` alone.
AUDIT_KINDS = (
    "admission", "decision", "denial", "outcome", "token", "config", "start", "stop",
)  # fmt: skip


def day_of(at: float) -> str:
    """Return the UTC day of a moment.

    Example:
        >>> day_of(0)
        '1970-01-01'
    """
    return datetime.fromtimestamp(at / 1000.0, UTC).strftime("%Y-%m-%d")


def _counted(_: Any, attribute: Any, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise ConfigError(
            f"{attribute.name} is {value!r}",
            place=f"$.{attribute.name}",
            hint="it must be an integer from 0 to 10^15",
        )


@attrs.frozen(kw_only=True)
class Amounts:
    """How much of each quota a request takes.

    Attributes:
        requests: Requests; 1 for all but corrections.
        input_tokens: Prompt tokens.
        output_tokens: Generated tokens; when a charge is booked: `max_tokens`.
        vram_bytes: Estimated GPU memory while it is admitted and not ended.
    """

    requests: int = attrs.field(default=1, validator=_counted)
    input_tokens: int = attrs.field(default=0, validator=_counted)
    output_tokens: int = attrs.field(default=0, validator=_counted)
    vram_bytes: int = attrs.field(default=0, validator=_counted)

    @property
    def tokens(self) -> int:
        """Prompt and generated tokens."""
        return self.input_tokens + self.output_tokens


@attrs.frozen(kw_only=True)
class JobRecord:
    """A queen job, as it survives a restart.

    Attributes:
        id: The job's id.
        tenant: Who pays; empty: an operator, who pays nothing.
        gateway: Which gateway has it.
        state: ``"queued"``, ``"running"`` or ``"ended"``.
        request: What was asked, without a word of the prompt.
        prompt_sha256: sha256 of the prompt, hex.
        retry: Whether it may run again when a gateway died while it ran.
        attempts: How often it was begun.
        created_at: When it was admitted.
        started_at: When it was begun last; 0: not yet.
        ended_at: When it ended; 0: not yet.
        outcome: How it ended: an outcome's kind; empty: not yet.
        error: Stable code of what went wrong; empty: nothing.
    """

    id: str
    tenant: str
    gateway: str
    state: JobState = "queued"
    request: Mapping[str, Any] = attrs.field(factory=dict)
    prompt_sha256: str = ""
    retry: bool = False
    attempts: int = 0
    created_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    outcome: str = ""
    error: str = ""


@attrs.frozen(kw_only=True)
class ChargeRecord:
    """What a quota check booked, and what became of it.

    Attributes:
        id: Unique; a charge is booked once and ended once.
        tenant: Who pays.
        gateway: Which gateway booked it.
        job: The request's job id.
        booked: What was booked.
        state: ``"open"``, ``"settled"`` or ``"refunded"``.
        used: What was used so far (`Store.progress`), or in all, once it is settled.
        booked_at: When; its day is the day that the usage counts for.
        ended_at: When it was settled or refunded; 0: it is open.
    """

    id: str
    tenant: str
    gateway: str
    job: str = ""
    booked: Amounts = attrs.field(factory=Amounts)
    state: ChargeState = "open"
    used: Amounts = attrs.field(factory=lambda: Amounts(requests=0))
    booked_at: float = 0.0
    ended_at: float = 0.0

    @property
    def day(self) -> str:
        """The UTC day that its usage counts for."""
        return day_of(self.booked_at)


@attrs.frozen(kw_only=True)
class UsageRecord:
    """What a tenant used on one UTC day: the sum of its settled charges.

    Attributes:
        tenant: Who.
        day: The day on which the charges were booked.
        requests: Requests.
        input_tokens: Prompt tokens.
        output_tokens: Generated tokens.
    """

    tenant: str
    day: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@attrs.frozen(kw_only=True)
class Granted:
    """A reservation's yes: the charge is booked."""

    charge: ChargeRecord


@attrs.frozen(kw_only=True)
class Denied:
    """A reservation's no: nothing is booked.

    Attributes:
        quota: The field of `Quotas` that is spent.
        limit: Its value.
        retry_after: Seconds until the same request fits, when nothing else is booked
            meanwhile; None: that depends on requests that run, or it never fits.
        never: Whether the request is larger than the quota, so that it never fits.
    """

    quota: str
    limit: int
    retry_after: float | None = None
    never: bool = False


@attrs.frozen(kw_only=True)
class TokenRecord:
    """A bearer token, without its secret.

    Attributes:
        id: Public part of the token.
        tenant: Whom it stands for; empty for an operator without a tenant.
        role: ``"tenant"``, or ``"operator"``: may see and change all tenants.
        name: For people.
        hash: argon2 hash of the secret.
        previous_hash: Of the secret before the last rotation; empty: none.
        previous_until: Until when that one is good.
        created_at: When it was made.
        rotated_at: When it got another secret; 0: never.
        expires_at: From when it is no good; 0: never.
        revoked_at: When it was revoked; 0: it was not.
    """

    id: str
    tenant: str = ""
    role: Role = "tenant"
    name: str = ""
    hash: str = attrs.field(default="", repr=False)
    previous_hash: str = attrs.field(default="", repr=False)
    previous_until: float = 0.0
    created_at: float = 0.0
    rotated_at: float = 0.0
    expires_at: float = 0.0
    revoked_at: float = 0.0

    def good_at(self, now: float) -> bool:
        """Return whether it is neither revoked nor expired at ``now`` (wall-clock ms)."""
        return not self.revoked_at and not 0 < self.expires_at <= now


@attrs.frozen(kw_only=True)
class AuditEntry:
    """What is to be recorded; the writer adds number and hash.

    Attributes:
        kind: What happened.
        at: When.
        gateway: Who records it.
        tenant: About whom.
        job: About which job.
        worker: Which worker.
        digest: Digest of the scheduler that decided.
        detail: Anything else that is JSON; never a prompt.
    """

    kind: AuditKind
    at: float
    gateway: str = ""
    tenant: str = ""
    job: str = ""
    worker: str = ""
    digest: str = ""
    detail: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class AuditRecord:
    """One link of the audit chain.

    Attributes:
        seq: 1, 2, 3, ... without a gap.
        at: When, whole ms.
        body: Canonical JSON of the record, ASCII; it holds `seq`, `at` and the previous hash.
        hash: sha256 of `body`, hex.
    """

    seq: int
    at: int
    body: bytes
    hash: str


@attrs.frozen(kw_only=True)
class Resumable:
    """A job to run again, with what it was sealed with.

    Attributes:
        job: The job; it is queued, and this gateway's.
        payload: What was sealed when it was added.
    """

    job: JobRecord
    payload: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Recovered:
    """What `Store.recover` found and did.

    Attributes:
        resumable: Jobs to run: those that were queued, and those that ran and may run again.
        failed: Jobs that ran, or whose payload can't be unsealed, and have now ended.
        settled: Charges settled by what is known of them.
        refunded: Charges refunded, because their jobs never ran.
        gateways: Gateways whose work was taken over.
    """

    resumable: tuple[Resumable, ...] = ()
    failed: tuple[JobRecord, ...] = ()
    settled: tuple[ChargeRecord, ...] = ()
    refunded: tuple[ChargeRecord, ...] = ()
    gateways: tuple[str, ...] = ()
