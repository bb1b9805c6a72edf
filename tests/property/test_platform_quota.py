"""Laws of quotas: exact limits, nothing lost, nothing leaked, whatever happens in between."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rbee_scheduler import Usage
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform import Quotas, Tenant
from rbee_scheduler_platform._gcra import MINUTE, Gcra
from rbee_scheduler_platform._quota import Booking, Denial, Estimate, QuotaBook
from rbee_scheduler_platform._quota._meters import DAY_MS


steps = st.lists(st.tuples(st.integers(0, 40_000_000), st.integers(1, 30)), max_size=60)


class TokenBucket:
    """The reference: whole tokens in ticks of 1 / window, filled as time passes."""

    def __init__(self, limit, window, burst):
        self.limit, self.window, self.most = limit, window, burst * window
        self.level, self.at = self.most, 0

    def take(self, cost, now):
        self.level = min(self.most, self.level + (now - self.at) * self.limit)
        self.at = now
        if cost * self.window > self.level:
            return False
        self.level -= cost * self.window
        return True


@given(st.integers(1, 50), st.integers(1, 50), steps)
def test_gcra_decides_as_a_token_bucket(limit, burst, steps):
    gcra, bucket = Gcra(limit, burst=burst), TokenBucket(limit, MINUTE, burst)
    now = 0
    for pause, cost in steps:
        now += pause
        admitted = cost <= burst and gcra.wait(cost, now) == 0
        if admitted:
            gcra.take(cost, now)
        assert admitted == bucket.take(cost, now)


@given(st.integers(1, 50), st.integers(1, 50), steps)
def test_in_any_window_no_more_is_admitted_than_burst_and_rate_allow(limit, burst, steps):
    gcra, now, admitted = Gcra(limit, burst=burst), 0, []
    for pause, cost in steps:
        now += pause
        if cost <= burst and gcra.wait(cost, now) == 0:
            gcra.take(cost, now)
            admitted.append((now, cost))
    for first, (begin, _) in enumerate(admitted):
        total = 0
        for end, cost in admitted[first:]:
            total += cost
            assert total * MINUTE <= burst * MINUTE + (end - begin) * limit


@given(st.integers(1, 1000), st.integers(1, 1000), steps, st.integers(1, 1000))
def test_the_wait_is_exact_to_the_microsecond(limit, burst, steps, cost):
    gcra, bucket, now = Gcra(limit, burst=burst), TokenBucket(limit, MINUTE, burst), 0
    for pause, taken in steps:
        now += pause // 10
        if bucket.take(min(taken, burst), now):
            gcra.take(min(taken, burst), now)
    cost = min(cost, burst)
    wait = gcra.wait(cost, now)
    if wait:
        assert gcra.wait(cost, now + wait - 1) > 0
        assert not bucket.take(cost, now + wait - 1)
    assert gcra.wait(cost, now + wait) == 0
    assert bucket.take(cost, now + wait)


@given(st.integers(1, 100), steps)
def test_when_more_fits_is_exact(limit, steps):
    gcra, now = Gcra(limit), 0
    for pause, cost in steps:
        now += pause // 10
        gcra.take(cost, now)  # more than the limit, too: what is used is used
        before, more = gcra.remaining(now), gcra.more(now)
        assert gcra.remaining(now + more) == before + 1
        assert gcra.remaining(now + more - 1) == before
        assert gcra.remaining(now + gcra.reset(now)) == limit


@given(steps, st.data())
def test_what_is_given_back_at_once_leaves_what_was_kept(steps, data):
    reserved, exact, now = Gcra(1000), Gcra(1000), 0
    for pause, cost in steps:
        now += pause
        extra = data.draw(st.integers(0, 500))
        reserved.give(reserved.take(cost + extra, now), extra, now)
        exact.take(cost, now)
        assert reserved.debt(now) == exact.debt(now)


class Flow(RuleBasedStateMachine):
    """A rate against a log of all that was booked and used, summed up over every window.

    Two promises, each the other's opposite: in no window is more used and reserved than burst
    and rate allow; and what would keep to that is admitted, at once or after Retry-After.
    """

    @initialize(limit=st.sampled_from([1, 7, 60, 100, 999]))
    def begin(self, limit):
        self.clock = VirtualClock(now=1_700_000_000_000.0)
        self.book = QuotaBook(self.clock)
        self.tenant = Tenant(id="t", quotas=Quotas(output_tokens_per_minute=limit))
        self.limit = limit
        self.log = []  # [us, units]: of each booking, and of what was used beyond one
        self.open = {}  # booking -> its entry in the log

    @property
    def now(self):
        return round(self.clock.monotonic() * 1e6)

    def level(self):
        """Return what counts now, in units times `MINUTE`: the fullest window that ends now."""
        total, level = 0, 0
        for at, units in reversed(self.log):
            total += units * MINUTE
            level = max(level, total - (self.now - at) * self.limit)
        return level

    @rule(part=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 1.0]))
    def request_comes(self, part):
        units = int(self.limit * part)
        excess = self.level() + (units - self.limit) * MINUTE
        answer = self.book.book(self.tenant, f"job{len(self.log)}", Estimate(output_tokens=units))
        if isinstance(answer, Denial):
            assert answer.retry_after == -(-excess // self.limit) / 1e6
        else:
            assert excess <= 0
            self.open[answer] = [self.now, units]
            self.log.append(self.open[answer])

    @precondition(lambda self: self.open)
    @rule(data=st.data(), part=st.sampled_from([None, 0.0, 0.1, 0.5, 0.9, 1.0, 1.3]))
    def request_ends(self, data, part):
        booking = data.draw(st.sampled_from(list(self.open)))
        entry = self.open.pop(booking)
        if part is None:
            entry[1] = 0
            booking.refund()
            return
        used, booked = int(entry[1] * part), entry[1]
        booking.settle(Usage(prompt_tokens=0, completion_tokens=used))
        entry[1] = min(used, booked)
        if used > booked:
            self.log.append([self.now, used - booked])

    # Whole parts of the minute, so that windows meet exactly; and odd moments.
    @rule(seconds=st.sampled_from([0.001, 1.0, 6.0, 15.0, 30.0, 60.0, 90.0, 7.123457]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(down=st.sampled_from([0.0, 5.0]))
    def process_dies(self, down):
        """The log's moments are those of the process that goes on."""
        plain = json.loads(json.dumps(self.book.snapshot()))
        entries = {booking.request_id: entry for booking, entry in self.open.items()}
        before = self.now
        self.clock = VirtualClock(now=self.clock.now() + down * 1000.0)
        self.book = QuotaBook(self.clock)
        self.open = {one: entries[one.request_id] for one in self.book.restore(plain)}
        for entry in self.log:
            entry[0] += self.now - before - round(down * 1e6)

    @invariant()
    def what_is_told_is_what_counts(self):
        if hasattr(self, "book"):
            (told,) = self.book.rate_limits(self.tenant)
            level = self.level()
            assert told.remaining == max(0, (self.limit * MINUTE - level) // MINUTE)
            assert told.reset == -(-level // self.limit) / 1e6

    @invariant()
    def no_more_layers_than_open_requests(self):
        if hasattr(self, "book"):
            states = self.book.snapshot()["tenants"]
            if "t" in states:
                *_, numbers, heights, _ = states["t"]["output_tokens_per_minute"]["state"]
                assert len(heights) <= len(self.open) + 1
                assert numbers == sorted(set(numbers))


TestFlow = Flow.TestCase
TestFlow.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


QUOTAS = Quotas(
    requests_per_minute=40,
    input_tokens_per_minute=2_000,
    output_tokens_per_minute=3_000,
    tokens_daily=20_000,
    max_concurrent_jobs=6,
    vram_bytes=1_000,
)
HELD = ("output_tokens_per_minute", "max_concurrent_jobs")
estimates = st.builds(
    Estimate,
    input_tokens=st.integers(1, 600),
    output_tokens=st.integers(1, 900),
    vram_bytes=st.integers(0, 400),
)


class Books(RuleBasedStateMachine):
    """Requests come, run, are cancelled; the process dies and another one goes on."""

    @initialize(hold=st.sampled_from([(), HELD]))
    def begin(self, hold):
        self.clock = VirtualClock(now=1_700_000_000_000.0)
        self.book = QuotaBook(self.clock)
        fields = {name: getattr(QUOTAS, name) for name in Quotas.__slots__ if name[0] != "_"}
        self.tenant = Tenant(id="t", quotas=Quotas(**(fields | {"hold": hold})))
        self.open = {}
        self.number = 0
        self.charged = {}  # by day
        self.overdrawn = bool(hold)  # a held job is charged what it took, room or not

    @property
    def day(self):
        return int(self.clock.now() // DAY_MS)

    @rule(estimate=estimates)
    def request_comes(self, estimate):
        self.number += 1
        answer = self.book.book(self.tenant, f"job{self.number}", estimate)
        if isinstance(answer, Booking):
            self.open[answer] = self.day
        else:
            assert isinstance(answer, Denial)
            self.denied(answer, estimate)

    def denied(self, denial, estimate):
        if denial.retry_after is not None:
            # Alone it fits then; `hold` lets nobody overtake, and is tested elsewhere.
            clock = VirtualClock(now=self.clock.now() + denial.retry_after * 1000.0)
            later = QuotaBook(clock)
            later.restore(self.book.snapshot())
            again = later.book(self.tenant, "again", estimate)
            assert not isinstance(again, Denial) or again.quota != denial.quota

    def pick(self, data):
        return data.draw(st.sampled_from(list(self.open)))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), tokens=st.integers(1, 50))
    def token_comes(self, data, tokens):
        booking = self.pick(data)
        if booking.ready_at() <= self.clock.monotonic():
            booking.claim()
            booking.streamed(tokens)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), counted=st.booleans(), part=st.floats(0.0, 1.2))
    def request_ends(self, data, counted, part):
        booking = self.pick(data)
        day = self.open.pop(booking)
        if booking.held:
            day = self.day
        usage = None
        if counted:
            usage = Usage(
                prompt_tokens=int(booking.estimate.input_tokens * part),
                completion_tokens=int(booking.estimate.output_tokens * part),
            )
        used = booking.settle(usage)
        self.overdrawn = (
            self.overdrawn or part > 1.0 or used.output_tokens > booking.estimate.output_tokens
        )
        self.charged[day] = self.charged.get(day, 0) + used.input_tokens + used.output_tokens
        booking.refund()
        assert booking.settle() == Estimate()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def request_is_withdrawn(self, data):
        booking = self.pick(data)
        del self.open[booking]
        booking.refund()

    @rule(seconds=st.floats(0.001, 200.0))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def night_passes(self):
        self.clock.advance(DAY_MS / 1000.0)

    @rule(down=st.floats(0.0, 100.0))
    def process_dies(self, down):
        plain = json.loads(json.dumps(self.book.snapshot()))
        days = {booking.request_id: day for booking, day in self.open.items()}
        self.clock = VirtualClock(now=self.clock.now() + down * 1000.0)
        self.book = QuotaBook(self.clock)
        self.open = {booking: days[booking.request_id] for booking in self.book.restore(plain)}
        assert len(self.open) == len(days)

    @invariant()
    def nothing_leaks(self):
        if not hasattr(self, "book"):
            return
        running = [booking for booking in self.open if "max_concurrent_jobs" not in booking.held]
        assert self.book.jobs("t") == len(running)
        vram = sum(booking.estimate.vram_bytes for booking in self.open)
        assert self.book.in_use("t").vram_bytes == vram

    @invariant()
    def the_days_books_agree(self):
        if not hasattr(self, "book"):
            return
        limits = {limit.name: limit for limit in self.book.rate_limits(self.tenant)}
        booked = sum(
            booking.estimate.input_tokens + booking.estimate.output_tokens
            for booking, day in self.open.items()
            if day == self.day
        )
        used = self.charged.get(self.day, 0) + booked
        assert limits["tokens_daily"].remaining == max(0, QUOTAS.tokens_daily - used)
        if not self.overdrawn:
            assert used <= QUOTAS.tokens_daily

    def teardown(self):
        if hasattr(self, "book"):
            for booking in list(self.open):
                booking.refund()
            assert self.book.jobs("t") == 0
            self.clock.advance(2 * DAY_MS / 1000.0)
            for n in range(3):
                self.book.book(Tenant(id=f"other{n}"), "x", Estimate()).refund()
            assert "t" not in self.book.snapshot()["tenants"]


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), estimates), max_size=60))
@settings(deadline=None)
def test_tenants_do_not_touch_each_other(steps):
    clock = VirtualClock()
    shared = QuotaBook(clock)
    tenants = [Tenant(id=f"t{n}", quotas=QUOTAS) for n in range(4)]
    alone = [QuotaBook(clock) for _ in tenants]
    for number, (passes, which, estimate) in enumerate(steps):
        if passes:
            clock.advance(1.7)
        together = shared.book(tenants[which], f"job{number}", estimate)
        by_itself = alone[which].book(tenants[which], f"job{number}", estimate)
        assert isinstance(together, Denial) == isinstance(by_itself, Denial)
        if isinstance(together, Denial):
            assert together == by_itself
