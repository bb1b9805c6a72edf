"""Rate limits as HTTP fields: both families that clients know.

* ``RateLimit-Policy`` and ``RateLimit``: draft-ietf-httpapi-ratelimit-headers-11, structured
  fields (RFC 9651). ``q`` quota, ``w`` window in seconds, ``qu`` unit; ``r`` remaining, ``t``
  seconds until there is more.
* ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``: OpenAI's, times as Go prints them.
* ``Retry-After``: whole seconds (RFC 9110, section 10.2.3), rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rbee_scheduler_platform._quota._booking import RateLimit


__all__ = ["go_duration", "rate_limit_headers"]

# The draft registers requests (the default), content-bytes and concurrent-requests.
_UNITS = {
    "input_tokens_per_minute": "tokens",
    "output_tokens_per_minute": "tokens",
    "tokens_daily": "tokens",
    "max_concurrent_jobs": "concurrent-requests",
    "vram_bytes": "memory-bytes",
}
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "requests": ("requests_per_minute",),
    "tokens": ("input_tokens_per_minute", "output_tokens_per_minute", "tokens_daily"),
}


def rate_limit_headers(
    limits: Sequence[RateLimit], *, retry_after: float | None = None
) -> dict[str, str]:
    """Return the fields of an answer.

    Where several quotas count tokens, the x-ratelimit fields tell of the one with the least
    left of its limit: those clients know one number.

    Args:
        limits: From `QuotaBook.rate_limits`.
        retry_after: Seconds, of an answer that refuses.

    Example:
        >>> limit = RateLimit(name="requests_per_minute", limit=9, remaining=4, reset=33.5, more=6)
        >>> rate_limit_headers([limit])["RateLimit"]
        '"requests_per_minute";r=4;t=6'
        >>> rate_limit_headers([limit])["x-ratelimit-reset-requests"]
        '33.5s'
    """
    headers = {}
    if limits:
        headers["RateLimit-Policy"] = ", ".join(map(_policy, limits))
        headers["RateLimit"] = ", ".join(map(_state, limits))
    for family, names in _FAMILIES.items():
        known = [limit for limit in limits if limit.name in names]
        if known:
            tightest = min(known, key=lambda limit: limit.remaining / limit.limit)
            headers[f"x-ratelimit-limit-{family}"] = str(tightest.limit)
            headers[f"x-ratelimit-remaining-{family}"] = str(tightest.remaining)
            headers[f"x-ratelimit-reset-{family}"] = go_duration(tightest.reset)
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return headers


def _policy(limit: RateLimit) -> str:
    unit = f';qu="{_UNITS[limit.name]}"' if limit.name in _UNITS else ""
    window = f";w={limit.window}" if limit.window else ""
    return f'"{limit.name}";q={limit.limit}{unit}{window}'


def _state(limit: RateLimit) -> str:
    more = f";t={math.ceil(limit.more)}" if limit.more else ""
    return f'"{limit.name}";r={limit.remaining}{more}'


def go_duration(seconds: float) -> str:
    """Return a time as Go's ``Duration.String`` prints it, rounded up to a millisecond.

    Example:
        >>> [go_duration(seconds) for seconds in (0, 0.012, 1.5, 360, 3661)]
        ['0s', '12ms', '1.5s', '6m0s', '1h1m1s']
    """
    ms = math.ceil(round(seconds * 1000.0, 3))
    if ms == 0:
        return "0s"
    if ms < 1000:  # noqa: PLR2004 - Go's own border
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    text = f"{rest / 1000:g}s"
    if minutes >= 60:  # noqa: PLR2004 - minutes of an hour
        return f"{minutes // 60}h{minutes % 60}m{text}"
    return f"{minutes}m{text}" if minutes else text
