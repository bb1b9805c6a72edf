"""The meter of a store's rate quotas: exact, and never below what was really used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler_platform._records import Amounts, Denied
from rbee_scheduler_platform._store._meter import MINUTE, Meter
from rbee_scheduler_platform._store._quota_state import QuotaState, admit, end
from rbee_scheduler_platform._tenant import Quotas


NOON = 1_769_860_800_000.0  # 2026-01-31 12:00 UTC

limits = st.integers(1, 10**6)


@given(limit=limits, now=st.integers(0, 2**41))
def test_at_one_moment_exactly_the_limit_fits(limit, now):
    meter = Meter().drain(now, limit=limit).fill(limit - 1)
    assert meter.wait(1) == 0.0
    assert meter.fill(1).wait(1) > 0.0


@given(limit=limits, booked=st.integers(1, 10**6), units=st.integers(1, 10**6))
def test_the_wait_is_exact_to_the_millisecond(limit, booked, units):
    booked, units = min(booked, limit), min(units, limit)
    meter = Meter().drain(0, limit=limit).fill(booked)
    wait = round(meter.wait(units) * 1000)
    assert meter.drain(wait, limit=limit).wait(units) == 0.0
    if wait:
        assert meter.drain(wait - 1, limit=limit).wait(units) > 0.0


@given(limit=limits, steps=st.lists(st.integers(0, 200_000), max_size=60))
def test_in_any_span_no_more_get_in_than_the_limit_and_what_drained(limit, steps):
    meter, now, admitted = Meter(), 0, []
    for step in steps:
        now += step % 3_000
        meter = meter.drain(now, limit=limit)
        if meter.wait(1) == 0.0:
            meter = meter.fill(1)
            admitted.append(now)
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            span = admitted[last] - admitted[first]
            assert (last - first + 1) * MINUTE <= limit * MINUTE + span * limit


@given(
    limit=st.integers(1, 200),
    steps=st.lists(
        st.tuples(st.integers(0, 40_000), st.integers(1, 200), st.floats(0, 1.2)), max_size=30
    ),
    data=st.data(),
)
def test_whatever_is_given_back_the_meter_is_never_below_what_was_used(limit, steps, data):
    """The law in the docstring of `_meter`; bookings end in any order, at any time."""
    meter, now, level, at = Meter(), 0, 0, 0
    open_ = []
    history = []  # (moment of the booking, units used)
    for pause, booked, share in steps:
        now += pause
        meter = meter.drain(now, limit=limit)
        open_.append((meter.filled, booked, int(booked * min(share, 1.0))))
        meter = meter.fill(booked)
        history.append((now, int(booked * min(share, 1.0))))
        if data.draw(st.booleans()) and open_:
            position, taken, used = open_.pop(data.draw(st.integers(0, len(open_) - 1)))
            now += data.draw(st.integers(0, 90_000))
            meter = meter.drain(now, limit=limit).correct(position, taken, used)
        level = at = 0
        for moment, used in history:
            level = max(0, level - (moment - at) * limit) + used * MINUTE
            at = moment
        level = max(0, level - (now - at) * limit)
        assert meter.filled - meter.drained >= level


def test_what_has_drained_can_not_be_given_back_at_the_cost_of_others():
    meter = Meter().drain(0, limit=100)
    first = meter.filled
    meter = meter.fill(100).drain(60_000, limit=100).fill(100)
    assert meter.correct(first, 100, 0).wait(1) > 0.0


def test_more_than_was_booked_is_added():
    meter = Meter().drain(0, limit=60).fill(60)
    assert meter.correct(0, 60, 90).wait(1) == 31.0


def test_a_clock_that_goes_back_drains_nothing():
    meter = Meter().drain(1000, limit=60).fill(60)
    assert meter.drain(0, limit=60) == meter


def test_the_meter_starts_over_when_nothing_is_open():
    state, booking = admit(
        QuotaState(), Amounts(output_tokens=10), Quotas(output_tokens_per_minute=10), NOON
    )
    state = end(state, booking, Amounts(output_tokens=10), NOON)
    assert (state.output_tokens.drained, state.output_tokens.wait(1)) == (0, 6.0)


def test_tokens_of_a_day_are_counted_anew_the_day_after():
    quotas = Quotas(tokens_daily=10)
    state, booking = admit(QuotaState(), Amounts(output_tokens=10), quotas, NOON)
    denied = admit(state, Amounts(output_tokens=1), quotas, NOON)
    assert denied == Denied(quota="tokens_daily", limit=10, retry_after=43_200.0)
    tomorrow, _ = admit(state, Amounts(output_tokens=9), quotas, NOON + 43_200_000)
    assert tomorrow.day_tokens == 9
    # What was booked yesterday and not used changes nothing of today.
    assert end(tomorrow, booking, Amounts(requests=0), NOON + 43_200_001).day_tokens == 9


@pytest.mark.parametrize(
    ("quotas", "quota"),
    [
        (Quotas(requests_per_minute=1, max_concurrent_jobs=1), "requests_per_minute"),
        (Quotas(requests_per_minute=1, tokens_daily=1), "tokens_daily"),
        (Quotas(tokens_daily=1, tokens_per_request=1), "tokens_per_request"),
    ],
    ids=["known-before-unknown", "longest", "never-before-all"],
)
def test_of_several_quotas_the_one_that_takes_longest_is_named(quotas, quota):
    state, _ = admit(QuotaState(), Amounts(output_tokens=1), quotas, NOON)
    more = 2 if quota == "tokens_per_request" else 1
    assert admit(state, Amounts(output_tokens=more), quotas, NOON).quota == quota


amounts = st.builds(
    Amounts,
    input_tokens=st.integers(0, 50),
    output_tokens=st.integers(0, 50),
    vram_bytes=st.integers(0, 50),
)


@given(
    steps=st.lists(st.tuples(st.integers(0, 30_000), amounts, st.sampled_from("abcr")), max_size=40)
)
def test_nothing_leaks_and_no_level_is_exceeded_whatever_ends_when(steps):
    quotas = Quotas(
        requests_per_minute=5, output_tokens_per_minute=200, max_concurrent_jobs=3, vram_bytes=100,
        tokens_daily=400,
    )  # fmt: skip
    state, now, open_ = QuotaState(), NOON, []
    for pause, asked, end_of in steps:
        now += pause
        answer = admit(state, asked, quotas, now)
        if not isinstance(answer, Denied):
            state, booking = answer
            open_.append((booking, asked))
        elif open_:  # make room, the way that the letter says
            booking, booked = open_.pop(0 if end_of in "ar" else -1)
            used = Amounts(requests=0) if end_of == "r" else booked
            state = end(state, booking, used, now)
        assert state.concurrent == len(open_) <= 3
        assert state.vram_bytes == sum(booked.vram_bytes for _, booked in open_) <= 100
        assert state.day_tokens <= 400
    for booking, _ in open_:
        state = end(state, booking, Amounts(requests=0), now)
    assert (state.concurrent, state.vram_bytes) == (0, 0)
