"""Rate limits as clients read them."""

import pytest

from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform import Quotas, Tenant
from rbee_scheduler_platform._quota import Estimate, QuotaBook, RateLimit, rate_limit_headers
from rbee_scheduler_platform._quota._headers import go_duration


def test_every_quota_is_in_the_standard_fields():
    acme = Tenant(
        id="acme",
        quotas=Quotas(requests_per_minute=100, tokens_daily=5000, max_concurrent_jobs=3),
    )
    book = QuotaBook(VirtualClock(now=0.0))
    book.book(acme, "a", Estimate(input_tokens=50, output_tokens=50))
    headers = rate_limit_headers(book.rate_limits(acme))
    assert headers["RateLimit-Policy"] == (
        '"requests_per_minute";q=100;w=60, "tokens_daily";q=5000;qu="tokens";w=86400, '
        '"max_concurrent_jobs";q=3;qu="concurrent-requests"'
    )
    assert headers["RateLimit"] == (
        '"requests_per_minute";r=99;t=1, "tokens_daily";r=4900;t=86400, "max_concurrent_jobs";r=2'
    )


def test_clients_of_openai_read_the_tightest_token_limit():
    limits = [
        RateLimit(name="requests_per_minute", limit=10, remaining=10, window=60),
        RateLimit(name="input_tokens_per_minute", limit=100, remaining=50, reset=30, window=60),
        RateLimit(name="output_tokens_per_minute", limit=1000, remaining=100, reset=54, window=60),
    ]
    headers = rate_limit_headers(limits)
    assert {name: value for name, value in headers.items() if name.startswith("x-")} == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "10",
        "x-ratelimit-reset-requests": "0s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "100",
        "x-ratelimit-reset-tokens": "54s",
    }


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2")])
def test_retry_after_is_whole_seconds_and_never_too_early(seconds, header):
    assert rate_limit_headers([], retry_after=seconds) == {"Retry-After": header}


def test_more_never_comes_later_than_retry_after():
    acme = Tenant(id="acme", quotas=Quotas(input_tokens_per_minute=1000))
    clock = VirtualClock()
    book = QuotaBook(clock)
    for n in range(12):
        book.book(acme, f"job-{n}", Estimate(input_tokens=87))
        clock.advance(0.37)
    denial = book.book(acme, "last", Estimate(input_tokens=500))
    assert book.rate_limits(acme)[0].more <= denial.retry_after


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "1ms"), (0.999, "999ms"), (0.9999, "1s"), (59.5, "59.5s"), (60, "1m0s"),
        (90.25, "1m30.25s"), (3600, "1h0m0s"), (86_399.999, "23h59m59.999s"),
    ],
)  # fmt: skip
def test_times_are_written_as_go_writes_them(seconds, text):
    assert go_duration(seconds) == text
