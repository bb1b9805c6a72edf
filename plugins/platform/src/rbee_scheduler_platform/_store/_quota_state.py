"""What a tenant has booked, and whether more fits: the decision of `Store.reserve`, pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from rbee_scheduler_platform._gcra import Gcra
from rbee_scheduler_platform._records import Amounts, Denied, day_of
from rbee_scheduler_platform._tenant import Quotas


__all__ = ["Booking", "QuotaState", "admit", "end"]

# Field of QuotaState and of Amounts -> the quota that limits it.
_RATES: Final = (
    ("requests", "requests_per_minute"),
    ("input_tokens", "input_tokens_per_minute"),
    ("output_tokens", "output_tokens_per_minute"),
)


@attrs.frozen(kw_only=True)
class QuotaState:
    """What one tenant has booked.

    `admit` and `end` use it up: what they return has its rates, for a copy of many open
    bookings would cost more than the decision.

    Attributes:
        concurrent: Open charges.
        vram_bytes: Memory of the open charges.
        day: The day that `day_tokens` counts; empty: none yet.
        day_tokens: Tokens booked on that day and not given back.
        requests: Rate of requests; None: it was never limited.
        input_tokens: Rate of prompt tokens.
        output_tokens: Rate of generated tokens.
    """

    concurrent: int = 0
    vram_bytes: int = 0
    day: str = ""
    day_tokens: int = 0
    requests: Gcra | None = None
    input_tokens: Gcra | None = None
    output_tokens: Gcra | None = None


@attrs.frozen(kw_only=True)
class Booking:
    """What an open charge has booked, and its layers in its tenant's rates; None: no limit."""

    booked: Amounts
    day: str
    at_requests: int | None = None
    at_input_tokens: int | None = None
    at_output_tokens: int | None = None


def admit(
    state: QuotaState, amounts: Amounts, quotas: Quotas, now: float, *, enforce: bool = True
) -> tuple[QuotaState, Booking] | Denied:
    """Book ``amounts``, or say which quota is spent.

    Args:
        state: What is booked; used up unless the answer is no.
        amounts: What is to be booked; all of it or nothing.
        quotas: The limits.
        now: Wall-clock ms.
        enforce: False: book even what does not fit; for a request that was admitted before.

    Returns:
        The new state and the booking; or the quota that takes longest to have room.
    """
    today = day_of(now)
    day_tokens = state.day_tokens if state.day == today else 0
    denials: list[Denied] = []

    def check(quota: str, over: bool, retry_after: float | None, never: bool = False) -> None:
        if over:
            limit = getattr(quotas, quota)
            denials.append(Denied(quota=quota, limit=limit, retry_after=retry_after, never=never))

    def bounded(quota: str, amount: int, booked: int, retry_after: float | None = None) -> None:
        limit = getattr(quotas, quota)
        if limit is not None:
            never = amount > limit
            check(quota, booked + amount > limit, None if never else retry_after, never)

    moment = int(now * 1000.0)
    gates: dict[str, Gcra | None] = {}
    layers: dict[str, int | None] = {}
    for name, quota in _RATES:
        limit, amount = getattr(quotas, quota), getattr(amounts, name)
        gates[name] = gate = getattr(state, name)
        if limit is not None:
            limit = max(1, int(limit))
            gates[name] = gate = gate or Gcra(limit)
            gate.resize(limit, limit, moment)
            wait = gate.wait(amount, moment) / 1e6 if amount else 0.0
            never = amount > limit
            check(quota, wait > 0, None if never else wait, never)
    bounded("tokens_per_request", amounts.tokens, 0)
    bounded("tokens_daily", amounts.tokens, day_tokens, _until_midnight(now))
    bounded("max_concurrent_jobs", 1, state.concurrent)
    bounded("vram_bytes", amounts.vram_bytes, state.vram_bytes)
    if denials and enforce:
        return max(denials, key=_severity)
    for name, quota in _RATES:
        gate, limited = gates[name], getattr(quotas, quota) is not None
        taken = gate.take(getattr(amounts, name), moment) if gate and limited else None
        layers[f"at_{name}"] = taken
    booked = QuotaState(
        concurrent=state.concurrent + 1,
        vram_bytes=state.vram_bytes + amounts.vram_bytes,
        day=today,
        day_tokens=day_tokens + amounts.tokens,
        **gates,
    )
    return booked, Booking(booked=amounts, day=today, **layers)


def end(state: QuotaState, booking: Booking, used: Amounts, now: float) -> QuotaState:
    """Return the state after a charge has ended.

    Args:
        state: What is booked; used up.
        booking: What the charge had booked.
        used: What was used; ``Amounts(requests=0)`` for a refund.
        now: Wall-clock ms.
    """
    for name, _ in _RATES:
        gate: Gcra | None = getattr(state, name)
        layer = getattr(booking, f"at_{name}")
        if gate is not None and layer is not None:
            unused = getattr(booking.booked, name) - max(0, getattr(used, name))
            gate.give(layer, unused, int(now * 1000.0))
    correction = used.tokens - booking.booked.tokens if booking.day == state.day else 0
    return attrs.evolve(
        state,
        concurrent=max(0, state.concurrent - 1),
        vram_bytes=max(0, state.vram_bytes - booking.booked.vram_bytes),
        day_tokens=max(0, state.day_tokens + correction),
    )


def _severity(denial: Denied) -> tuple[bool, float]:
    # What never fits comes first; then the longest wait that is known.
    return denial.never, -1.0 if denial.retry_after is None else denial.retry_after


def _until_midnight(now: float) -> float:
    moment = datetime.fromtimestamp(now / 1000.0, UTC)
    midnight = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - moment).total_seconds()
