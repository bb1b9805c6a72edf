"""The block of one try: what ends it, and when silence is noticed."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler import Attempt, Cancelled, DeadlineExceeded, SystemClock, WorkerTimeout
from rbee_scheduler._patience import Patience
from rbee_scheduler.testing import VirtualClock


def silent():
    return WorkerTimeout("silent")


class Timed:
    """An attempt on a virtual clock, in a task that waits in its block."""

    def __init__(self, seconds=8.0, total=100.0):
        self.clock = VirtualClock()
        self.patience = Patience(self.clock, total)
        self.attempt = Attempt(self.patience, self.clock, seconds, silent)
        self.raised = None

    async def run(self):
        try:
            with self.attempt:
                await anyio.sleep_forever()
        except (Cancelled, DeadlineExceeded, WorkerTimeout) as error:
            self.raised = error

    async def expect_after(self, *moments, seconds):
        """Say `expect` at each of the moments; return when the block has ended."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.run)
            await self.clock.run_for(0.0)
            for moment in moments:
                await self.clock.run_for(moment - self.clock.monotonic())
                assert self.raised is None
                self.attempt.expect(seconds)
            while self.raised is None:
                await self.clock.run_for(self.clock.next_timer)
        assert self.clock.next_timer is None  # no timer is left behind
        return self.clock.monotonic()


async def test_the_first_piece_must_come_in_time():
    at = Timed(seconds=8.0)
    assert await at.expect_after(seconds=4.0) == 8.0
    assert isinstance(at.raised, WorkerTimeout)


@pytest.mark.parametrize(
    ("moments", "ends"),
    [
        ((1.0,), 7.0),  # 7 s are left: more than 6, so the shorter limit holds from now on
        ((3.0,), 8.0),  # 5 s are left, between 4 and 6: it stays
        ((5.0,), 11.0),  # 3 s are left: put off to 6
        ((5.0, 6.0, 7.0), 11.0),  # as long as 4 are left, nothing is moved
        ((5.0, 7.5), 13.5),
    ],
)
async def test_silence_is_noticed_after_1_to_1_5_times_its_limit(moments, ends):
    at = Timed(seconds=8.0)
    assert await at.expect_after(*moments, seconds=4.0) == ends
    assert 4.0 <= ends - moments[-1] <= 6.0
    assert isinstance(at.raised, WorkerTimeout)


async def test_the_requests_own_end_is_not_put_off():
    at = Timed(seconds=8.0, total=9.0)
    assert await at.expect_after(7.0, 8.0, 8.5, seconds=4.0) == 9.0
    assert isinstance(at.raised, DeadlineExceeded)


async def test_the_requests_own_end_comes_before_the_first_piece():
    at = Timed(seconds=8.0, total=3.0)
    assert await at.expect_after(seconds=4.0) == 3.0
    assert isinstance(at.raised, DeadlineExceeded)


@given(
    pieces=st.lists(st.floats(0.001, 3.9), max_size=30),
    seconds=st.floats(4.0, 20.0),
    first=st.floats(4.0, 20.0),
)
def test_law_of_the_bound(pieces, seconds, first):
    """Pieces that come in time never end it, and silence does within 1 to 1.5 times."""

    async def play():
        at = Timed(seconds=first, total=1e6)
        moments = [sum(pieces[: n + 1]) for n in range(len(pieces))]
        ended = await at.expect_after(*moments, seconds=seconds)
        if moments:
            silence = ended - moments[-1]
            assert seconds - 1e-6 <= silence <= 1.5 * seconds + 1e-6
        assert isinstance(at.raised, WorkerTimeout)

    anyio.run(play)


@pytest.mark.parametrize("when", ["before", "in", "late"])
async def test_it_is_cancelled(when):
    at = Timed(total=0.0 if when == "late" else 100.0)
    if when != "in":
        at.patience.cancel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(at.run)
        await at.clock.run_for(0.0)
        at.patience.cancel()
    assert isinstance(at.raised, Cancelled)
    assert at.raised.__suppress_context__  # not the backend's own exception


async def test_a_block_that_has_ended_is_not_cancelled_any_more():
    at = Timed()
    with at.attempt:
        pass
    at.patience.cancel()
    await anyio.lowlevel.checkpoint()
    assert at.clock.next_timer is None


@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_exception_of_the_block_comes_through(cancelled):
    at = Timed()
    with pytest.raises(LookupError), at.attempt:  # noqa: PT012 - the block is what is tested
        if cancelled:
            at.patience.cancel()
        raise LookupError


async def test_somebody_elses_cancellation_comes_through():
    at = Timed()
    with anyio.CancelScope() as scope:
        with at.attempt:
            scope.cancel()
            await anyio.sleep_forever()
        pytest.fail("went on")
    assert scope.cancelled_caught
    assert at.raised is None


async def test_the_real_clock_puts_off_too():
    clock = SystemClock()
    patience = Patience(clock, clock.monotonic() + 1000)
    with Attempt(patience, clock, 500.0, silent) as attempt:
        attempt.expect(200.0)
        left = attempt._scope.deadline - anyio.current_time()
        assert 299.0 < left <= 300.0
    attempt = Attempt(patience, clock, 1000.0, silent)
    with pytest.raises(WorkerTimeout), attempt:  # noqa: PT012 - the block is what is tested
        attempt.expect(0.0)  # due at once
        await anyio.sleep_forever()
