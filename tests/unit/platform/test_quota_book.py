"""What a tenant may use: booked, settled, refunded, held."""

import json
import math
from random import Random

import pytest

from rbee_scheduler import ConfigError, InferenceRequest, Usage
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform import Quotas, Tenant
from rbee_scheduler_platform._quota import Booking, Denial, Estimate, QuotaBook, input_tokens_of


MIDNIGHT = 1_700_006_400_000.0  # 2023-11-15 00:00 UTC


@pytest.fixture
def clock():
    return VirtualClock(now=MIDNIGHT)


@pytest.fixture
def book(clock):
    return QuotaBook(clock)


def tenant(**quotas):
    return Tenant(id="acme", quotas=Quotas(**quotas))


def test_a_thousand_attempts_at_a_limit_of_a_hundred_admit_a_hundred(book):
    acme = tenant(requests_per_minute=100)
    answers = [book.book(acme, f"job-{n}", Estimate()) for n in range(1000)]
    assert sum(isinstance(answer, Booking) for answer in answers) == 100


@pytest.mark.parametrize(
    ("quotas", "estimate", "admitted"),
    [
        ({"requests_per_minute": 7}, Estimate(), 7),
        ({"input_tokens_per_minute": 700}, Estimate(input_tokens=100), 7),
        ({"output_tokens_per_minute": 700}, Estimate(output_tokens=100), 7),
        ({"tokens_daily": 700}, Estimate(input_tokens=60, output_tokens=40), 7),
        ({"max_concurrent_jobs": 7}, Estimate(), 7),
        ({"vram_bytes": 700}, Estimate(vram_bytes=100), 7),
    ],
)
def test_each_quota_counts_what_it_is_named_after(book, quotas, estimate, admitted):
    acme = tenant(**quotas)
    answers = [book.book(acme, f"job-{n}", estimate) for n in range(20)]
    assert sum(isinstance(answer, Booking) for answer in answers) == admitted
    assert answers[-1].quota == next(iter(quotas))


def test_the_same_request_fits_exactly_after_retry_after(book, clock):
    acme = tenant(input_tokens_per_minute=1000)
    book.book(acme, "first", Estimate(input_tokens=700))
    denial = book.book(acme, "second", Estimate(input_tokens=333))
    assert denial.retry_after == pytest.approx(33 * 60 / 1000)
    clock.advance(denial.retry_after - 2e-6)
    assert isinstance(book.book(acme, "second", Estimate(input_tokens=333)), Denial)
    clock.advance(2e-6)
    assert isinstance(book.book(acme, "second", Estimate(input_tokens=333)), Booking)


def test_of_several_spent_quotas_the_slowest_one_is_told(book):
    acme = tenant(requests_per_minute=60, input_tokens_per_minute=60)
    book.book(acme, "first", Estimate(input_tokens=60))
    for n in range(59):
        book.book(acme, f"job-{n}", Estimate())
    denial = book.book(acme, "last", Estimate(input_tokens=30))
    assert (denial.quota, denial.retry_after) == ("input_tokens_per_minute", 30.0)


def test_a_denied_request_leaves_nothing_behind(book):
    acme = tenant(requests_per_minute=10, tokens_daily=100)
    for n in range(20):
        assert isinstance(
            book.book(acme, f"job-{n}", Estimate(input_tokens=99, output_tokens=2)), Denial
        )
    assert [limit.remaining for limit in book.rate_limits(acme)] == [10, 100]


def test_what_never_fits_is_told_so(book):
    acme = tenant(output_tokens_per_minute=100, tokens_per_request=50)
    too_long = book.book(acme, "a", Estimate(input_tokens=20, output_tokens=31))
    assert (too_long.quota, too_long.never, too_long.retry_after) == (
        "tokens_per_request",
        True,
        None,
    )
    roomy = tenant(output_tokens_per_minute=100, hold=("output_tokens_per_minute",))
    never = book.book(roomy, "b", Estimate(output_tokens=101))
    assert (never.never, never.reason) == (
        True, "output_tokens_per_minute: the request needs 101 of 100 at most",
    )  # fmt: skip


def test_concurrency_has_no_retry_after_for_nobody_knows(book):
    acme = tenant(max_concurrent_jobs=1)
    book.book(acme, "a", Estimate())
    denial = book.book(acme, "b", Estimate())
    assert (denial.retry_after, denial.never, denial.remaining) == (None, False, 0)


def test_what_was_not_used_is_given_back(book):
    acme = tenant(output_tokens_per_minute=1000, tokens_daily=2000)
    booking = book.book(acme, "a", Estimate(input_tokens=100, output_tokens=1000))
    used = booking.settle(Usage(prompt_tokens=120, completion_tokens=30))
    assert used == Estimate(input_tokens=120, output_tokens=30)
    assert [limit.remaining for limit in book.rate_limits(acme)] == [970, 1850]


def test_without_a_workers_count_the_estimate_and_the_stream_count(book):
    acme = tenant(tokens_daily=1000)
    booking = book.book(acme, "a", Estimate(input_tokens=100, output_tokens=500))
    booking.streamed(20)
    booking.streamed(5)
    assert booking.settle() == Estimate(input_tokens=100, output_tokens=25)
    assert book.rate_limits(acme)[0].remaining == 875


def test_more_than_was_booked_is_charged_too(book):
    acme = tenant(input_tokens_per_minute=100)
    booking = book.book(acme, "a", Estimate(input_tokens=50))
    booking.settle(Usage(prompt_tokens=160, completion_tokens=1))
    limit = book.rate_limits(acme)[0]
    assert (limit.remaining, limit.reset) == (0, 96.0)


def test_a_refund_is_as_if_it_had_never_been(book):
    acme = tenant(requests_per_minute=5, tokens_daily=100, max_concurrent_jobs=1, vram_bytes=10)
    before = book.rate_limits(acme)
    booking = book.book(acme, "a", Estimate(input_tokens=10, output_tokens=10, vram_bytes=9))
    assert (book.jobs("acme"), book.in_use("acme").vram_bytes) == (1, 9)
    booking.refund()
    assert book.rate_limits(acme) == before


def test_a_late_refund_gives_nothing_of_what_others_hold(book, clock):
    acme = tenant(output_tokens_per_minute=100)
    first = book.book(acme, "a", Estimate(output_tokens=100))
    clock.advance(60.0)  # what it had booked has drained, and was free for others
    book.book(acme, "b", Estimate(output_tokens=100))
    first.refund()
    assert book.book(acme, "c", Estimate(output_tokens=100)).retry_after == 60.0


def test_an_earlier_refund_leaves_less_to_give_back(book, clock):
    acme = tenant(output_tokens_per_minute=100)
    first, second = (book.book(acme, name, Estimate(output_tokens=50)) for name in "ab")
    first.refund()
    clock.advance(30.0)
    book.book(acme, "c", Estimate(output_tokens=100))
    second.refund()
    assert book.book(acme, "d", Estimate(output_tokens=50)).retry_after == 30.0


@pytest.mark.parametrize("seed", range(5))
def test_in_whatever_order_they_end_only_what_was_used_counts(book, clock, seed):
    acme = tenant(output_tokens_per_minute=60_000)
    bookings = [book.book(acme, f"job-{n}", Estimate(output_tokens=4000)) for n in range(15)]
    Random(seed).shuffle(bookings)
    for booking in bookings:
        booking.settle(Usage(completion_tokens=200))
    assert book.rate_limits(acme)[0].remaining == 60_000 - 15 * 200


def test_what_drained_while_others_ran_is_not_lost_for_them(book, clock):
    acme = tenant(output_tokens_per_minute=6000)
    first, second = (book.book(acme, name, Estimate(output_tokens=3000)) for name in "ab")
    clock.advance(30.0)
    first.settle(Usage(completion_tokens=500))
    second.settle(Usage(completion_tokens=500))
    # 1,000 tokens were used half a minute ago: that has drained long since.
    assert book.rate_limits(acme)[0].remaining == 6000


@pytest.mark.parametrize("quota", ["output_tokens_per_minute", "tokens_daily"])
def test_a_limit_set_anew_gets_nothing_back_of_what_it_did_not_count(book, quota):
    limited = tenant(**{quota: 100})
    before = book.book(limited, "before", Estimate(output_tokens=100))
    book.book(tenant(), "unlimited", Estimate(output_tokens=100))
    book.book(limited, "after", Estimate(output_tokens=100))
    before.refund()
    assert isinstance(book.book(limited, "more", Estimate(output_tokens=1)), Denial)


def test_a_worker_that_counts_below_nothing_gives_back_no_more_than_was_booked(book):
    acme = tenant(output_tokens_per_minute=100)
    book.book(acme, "a", Estimate(output_tokens=50))
    odd = book.book(acme, "b", Estimate(output_tokens=50))
    assert odd.settle(Usage(prompt_tokens=-9, completion_tokens=-50)) == Estimate()
    assert book.rate_limits(acme)[0].remaining == 50


def test_a_booking_ends_once(book):
    acme = tenant(tokens_daily=100)
    booking = book.book(acme, "a", Estimate(input_tokens=10, output_tokens=10))
    booking.settle(Usage(prompt_tokens=10, completion_tokens=5))
    assert booking.settle(Usage(prompt_tokens=10, completion_tokens=5)) == Estimate()
    booking.refund()
    booking.claim()
    assert book.rate_limits(acme)[0].remaining == 85


def test_a_day_ends_at_midnight_utc(book, clock):
    acme = tenant(tokens_daily=100)
    clock.advance(86_400 - 10)
    yesterdays = book.book(acme, "a", Estimate(input_tokens=80, output_tokens=20))
    assert book.book(acme, "b", Estimate(input_tokens=1)).retry_after == 10.0
    clock.advance(10)
    assert isinstance(book.book(acme, "c", Estimate(input_tokens=50)), Booking)
    yesterdays.refund()  # belongs to yesterday: today has 50 left all the same
    assert book.rate_limits(acme)[0].remaining == 50


def test_a_wall_clock_set_back_opens_no_new_day(book, clock):
    acme = tenant(tokens_daily=100)
    book.book(acme, "a", Estimate(input_tokens=100))
    clock.set_wall(MIDNIGHT - 3_600_000)
    assert isinstance(book.book(acme, "b", Estimate(input_tokens=1)), Denial)


def test_a_quota_that_holds_lets_the_request_wait(book, clock):
    acme = tenant(requests_per_minute=60, hold=("requests_per_minute",))
    free = [book.book(acme, f"free-{n}", Estimate()) for n in range(60)]
    held = book.book(acme, "held", Estimate())
    assert ([one.held for one in free], held.held) == ([()] * 60, ("requests_per_minute",))
    assert book.ready_at("free-1") == -math.inf
    assert book.ready_at("held") == clock.monotonic() + 1.0
    clock.advance(1.0)
    assert book.ready_at("held") <= clock.monotonic()
    book.claim("held")
    assert (held.held, book.ready_at("held")) == ((), -math.inf)
    assert book.rate_limits(acme)[0].remaining == 0


@pytest.mark.parametrize("quota", ["output_tokens_per_minute", "tokens_daily", "vram_bytes"])
def test_a_held_request_that_a_lower_limit_never_fits_goes_when_all_of_it_is_free(
    book, clock, quota
):
    estimate = Estimate(output_tokens=80, vram_bytes=80)
    running = book.book(tenant(**{quota: 100}, hold=(quota,)), "a", estimate)
    assert book.book(tenant(**{quota: 100}, hold=(quota,)), "b", estimate).held == (quota,)
    book.rate_limits(tenant(**{quota: 50}, hold=(quota,)))  # the operator lowers it
    assert book.ready_at("b") > clock.monotonic()
    running.refund()
    assert book.ready_at("b") <= clock.monotonic()


def test_two_held_requests_of_one_name_leave_nothing_behind(book):
    acme = tenant(requests_per_minute=1, hold=("requests_per_minute",))
    running = book.book(acme, "a", Estimate())
    twice = [book.book(acme, "b", Estimate()) for _ in range(2)]
    for booking in [*twice, running]:
        booking.refund()
    assert book.book(acme, "c", Estimate()).held == ()


def test_nobody_overtakes_those_that_are_held(book, clock):
    acme = tenant(max_concurrent_jobs=1, hold=("max_concurrent_jobs",))
    running = book.book(acme, "a", Estimate())
    waiting = book.book(acme, "b", Estimate())
    running.settle()
    assert book.book(acme, "c", Estimate()).held == ("max_concurrent_jobs",)
    assert book.ready_at("b") == -math.inf
    waiting.claim()
    assert book.ready_at("c") == math.inf


def test_a_tenant_of_whom_a_request_waits_is_not_forgotten(book, clock):
    acme = tenant(max_concurrent_jobs=1, hold=("max_concurrent_jobs",))
    running = book.book(acme, "a", Estimate())
    waiting = book.book(acme, "b", Estimate())
    running.settle()
    for n in range(10):
        book.book(Tenant(id=f"other{n}"), f"job{n}", Estimate()).settle()
    waiting.claim()
    assert book.jobs("acme") == 1


def test_listeners_hear_that_usage_fell(book):
    heard = []
    book.on_fall(heard.append)
    booking = book.book(tenant(max_concurrent_jobs=1), "a", Estimate())
    booking.refund()
    booking.refund()
    assert heard == ["acme"]


def test_a_settled_booking_that_was_held_is_charged(book):
    acme = tenant(tokens_daily=10, hold=("tokens_daily",))
    book.book(acme, "a", Estimate(input_tokens=10))
    held = book.book(acme, "b", Estimate(input_tokens=4))
    held.settle(Usage(prompt_tokens=4, completion_tokens=0))
    assert book.rate_limits(acme)[0].remaining == 0
    assert book.snapshot()["tenants"]["acme"]["tokens_daily"]["state"][1] == 14


def test_a_changed_limit_holds_from_the_next_request_on(book):
    book.book(tenant(requests_per_minute=10), "a", Estimate())
    assert book.rate_limits(tenant(requests_per_minute=4))[0].remaining == 3
    assert book.rate_limits(tenant()) == []


def test_jobs_are_counted_before_there_is_a_limit(book):
    book.book(tenant(), "a", Estimate())
    assert isinstance(book.book(tenant(max_concurrent_jobs=1), "b", Estimate()), Denial)


def test_tenants_that_are_idle_are_forgotten(book, clock):
    for n in range(1000):
        one = Tenant(id=f"t{n}", quotas=Quotas(requests_per_minute=60))
        book.book(one, f"job-{n}", Estimate()).settle()
        clock.advance(0.1)
    # Each owes for a second: of the last ten something must be known.
    assert 10 <= len(book) <= 30


def test_requests_that_end_leave_nothing_behind_of_a_tenant_that_goes_on(book, clock):
    acme = tenant(output_tokens_per_minute=10**6, hold=("output_tokens_per_minute",))
    rng, open_ = Random(4), []
    for n in range(5_000):
        open_.append(book.book(acme, f"job-{n}", Estimate(output_tokens=100)))
        clock.advance(0.001)
        if len(open_) > 20:
            ending = open_.pop(rng.randrange(len(open_)))
            ending.refund() if n % 3 else ending.settle(Usage(completion_tokens=n % 150))
    plain = book.snapshot()
    *_, numbers, _, _ = plain["tenants"]["acme"]["output_tokens_per_minute"]["state"]
    assert (len(plain["bookings"]), len(numbers) <= 21) == (20, True)


def test_a_restart_goes_on(clock):
    book = QuotaBook(clock)
    acme = tenant(requests_per_minute=60, tokens_daily=500, max_concurrent_jobs=2)
    for n in range(60):
        book.book(acme, f"job-{n}", Estimate(input_tokens=1)).settle()
    open_one = book.book(acme, "open", Estimate(input_tokens=1))
    assert isinstance(open_one, Denial)
    clock.advance(1.0)
    open_one = book.book(acme, "open", Estimate(input_tokens=100, output_tokens=100))
    open_one.streamed(7)
    plain = json.loads(json.dumps(book.snapshot()))

    later = VirtualClock(now=clock.now() + 2000)  # another process, 2 s later
    again = QuotaBook(later)
    (restored,) = again.restore(plain)
    assert (restored.request_id, again.jobs("acme")) == ("open", 1)
    limits = {limit.name: limit.remaining for limit in again.rate_limits(acme)}
    assert limits == {"requests_per_minute": 2, "tokens_daily": 240, "max_concurrent_jobs": 1}
    assert restored.settle() == Estimate(input_tokens=100, output_tokens=7)
    assert again.jobs("acme") == 0


def test_only_an_unused_book_takes_a_snapshot(book):
    with pytest.raises(ConfigError, match="no snapshot"):
        book.restore({"version": 2})
    plain = book.snapshot()
    book.book(tenant(), "a", Estimate())
    with pytest.raises(ConfigError, match="into a new book"):
        book.restore(plain)


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"prompt": "x"}, 1),
        ({"prompt": "x" * 9}, 3),
        ({"messages": ({"role": "user", "content": "x" * 8},)}, 2),
        ({"messages": ({"role": "user", "content": [{"type": "text", "text": "x" * 40}]},)}, 10),
        ({"messages": ({"role": "user", "content": None},)}, 1),
    ],
)
def test_a_prompt_is_a_token_for_every_four_characters(fields, tokens):
    assert input_tokens_of(InferenceRequest(job_id="j", model="m", **fields)) == tokens
