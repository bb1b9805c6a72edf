"""Quotas: what a tenant may use, exactly."""

from __future__ import annotations

from rbee_scheduler_platform._quota._book import QuotaBook
from rbee_scheduler_platform._quota._booking import Booking, Denial, RateLimit
from rbee_scheduler_platform._quota._estimate import Estimate, input_tokens_of
from rbee_scheduler_platform._quota._headers import rate_limit_headers


__all__ = [
    "Booking",
    "Denial",
    "Estimate",
    "QuotaBook",
    "RateLimit",
    "input_tokens_of",
    "rate_limit_headers",
]
