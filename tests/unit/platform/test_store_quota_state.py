"""The quotas in a store: exact, whatever ends when. The rates' own laws: test_platform_quota."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler_platform._gcra import MINUTE
from rbee_scheduler_platform._records import Amounts, Denied
from rbee_scheduler_platform._store._quota_state import QuotaState, admit, end
from rbee_scheduler_platform._tenant import Quotas


NOON = 1_769_860_800_000.0  # 2026-01-31 12:00 UTC


def booked(state, quotas, now, **amounts):
    answer = admit(state, Amounts(**amounts), quotas, now)
    assert not isinstance(answer, Denied)
    return answer


def test_what_has_drained_can_not_be_given_back_at_the_cost_of_others():
    quotas = Quotas(output_tokens_per_minute=100)
    state, first = booked(QuotaState(), quotas, NOON, output_tokens=100)
    state, _ = booked(state, quotas, NOON + 60_000, output_tokens=100)
    state = end(state, first, Amounts(requests=0), NOON + 60_000)
    denied = admit(state, Amounts(output_tokens=100), quotas, NOON + 60_000)
    assert denied.retry_after == 60.0


@pytest.mark.parametrize("seed", range(5))
def test_in_whatever_order_charges_end_only_what_was_used_counts(seed):
    quotas = Quotas(output_tokens_per_minute=60_000)
    state, bookings = QuotaState(), []
    for _ in range(15):
        state, booking = booked(state, quotas, NOON, output_tokens=4000)
        bookings.append(booking)
    Random(seed).shuffle(bookings)
    for booking in bookings:
        state = end(state, booking, Amounts(output_tokens=200), NOON)
    assert admit(state, Amounts(output_tokens=57_001), quotas, NOON).retry_after == 0.001
    booked(state, quotas, NOON, output_tokens=57_000)


def test_more_than_was_booked_is_added():
    quotas = Quotas(output_tokens_per_minute=60)
    state, booking = booked(QuotaState(), quotas, NOON, output_tokens=60)
    state = end(state, booking, Amounts(output_tokens=90), NOON)
    assert admit(state, Amounts(output_tokens=1), quotas, NOON).retry_after == 31.0


def test_a_clock_that_goes_back_drains_nothing():
    quotas = Quotas(output_tokens_per_minute=60)
    state, _ = booked(QuotaState(), quotas, NOON, output_tokens=60)
    assert admit(state, Amounts(output_tokens=60), quotas, NOON - 5000).retry_after == 60.0


def test_a_denial_books_nothing():
    quotas = Quotas(requests_per_minute=9, output_tokens_per_minute=60)
    state, _ = booked(QuotaState(), quotas, NOON, output_tokens=59)
    before = (state.requests.state(), state.output_tokens.state())
    assert isinstance(admit(state, Amounts(output_tokens=2), quotas, NOON), Denied)
    assert (state.requests.state(), state.output_tokens.state()) == before


def test_a_limit_taken_away_and_set_anew_goes_on_where_it_was():
    quotas = Quotas(output_tokens_per_minute=60)
    state, booking = booked(QuotaState(), quotas, NOON, output_tokens=60)
    state, unlimited = booked(state, Quotas(), NOON, output_tokens=60)
    state = end(state, unlimited, Amounts(requests=0), NOON)
    assert admit(state, Amounts(output_tokens=1), quotas, NOON).retry_after == 1.0
    state = end(state, booking, Amounts(requests=0), NOON)
    booked(state, quotas, NOON, output_tokens=60)


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


@given(
    limit=st.sampled_from([1, 7, 60, 999]),
    steps=st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 6_000, 15_000, 30_000, 60_000, 7_123]),
            st.sampled_from([0.0, 0.25, 0.5, 1.0]),
            st.sampled_from([None, 0, 1, 2, 3]),
            st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.3]),
        ),
        max_size=40,
    ),
)
def test_what_keeps_to_the_rate_is_admitted_and_nothing_else(limit, steps):
    """Against a log of all that was booked and used, summed up over every window."""
    quotas = Quotas(output_tokens_per_minute=limit)
    state, now, log, open_ = QuotaState(), NOON, [], []
    for pause, part, which, share in steps:
        now += pause
        units, total, excess = int(limit * part), 0, (int(limit * part) - limit) * MINUTE
        for at, used in reversed(log):
            total += used * MINUTE
            window = total - (now - at) * 1000.0 * limit
            excess = max(excess, window + (units - limit) * MINUTE)
        answer = admit(state, Amounts(output_tokens=units), quotas, now)
        assert isinstance(answer, Denied) == (units > 0 and excess > 0)
        if not isinstance(answer, Denied):
            state, booking = answer
            log.append([now, units])
            open_.append((booking, log[-1]))
        if which is not None and which < len(open_):
            booking, entry = open_.pop(which)
            used = int(entry[1] * share)
            state = end(state, booking, Amounts(output_tokens=used), now)
            if used > entry[1]:
                log.append([now, used - entry[1]])
            entry[1] = min(used, entry[1])


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
