"""The quotas, in one table: what each is metered by, what it books, what it charges."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rbee_scheduler_platform._quota._estimate import Estimate
from rbee_scheduler_platform._quota._meters import DailyMeter, LevelMeter, Meter, RateMeter


__all__ = ["QUOTAS", "QuotaKind"]


class QuotaKind(NamedTuple):
    """One kind of quota.

    `booked` is charged when the request is admitted, `used` when it has run: the difference
    is given back. What is in use only while a request runs has used nothing afterwards.
    """

    name: str
    meter: Callable[[int | None], Meter]
    booked: Callable[[Estimate], int]
    used: Callable[[Estimate], int]
    always: bool = False  # counted without a limit, too


def _one(_: Estimate) -> int:
    return 1


def _nothing(_: Estimate) -> int:
    return 0


def _input(estimate: Estimate) -> int:
    return estimate.input_tokens


def _output(estimate: Estimate) -> int:
    return estimate.output_tokens


def _tokens(estimate: Estimate) -> int:
    return estimate.input_tokens + estimate.output_tokens


def _vram(estimate: Estimate) -> int:
    return estimate.vram_bytes


QUOTAS = (
    QuotaKind("requests_per_minute", RateMeter, _one, _one),
    QuotaKind("input_tokens_per_minute", RateMeter, _input, _input),
    QuotaKind("output_tokens_per_minute", RateMeter, _output, _output),
    QuotaKind("tokens_daily", DailyMeter, _tokens, _tokens),
    QuotaKind("max_concurrent_jobs", LevelMeter, _one, _nothing, always=True),
    QuotaKind("vram_bytes", LevelMeter, _vram, _nothing, always=True),
)
