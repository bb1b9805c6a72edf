"""One timer for all attempts: each ends at its own moment, and none is left behind."""

from contextlib import asynccontextmanager

import anyio
import pytest

from rbee_scheduler import Attempt, Cancelled, DeadlineExceeded, WorkerTimeout
from rbee_scheduler._patience import Patience
from rbee_scheduler._timekeeper import Timekeeper
from rbee_scheduler.testing import VirtualClock


def silent():
    return WorkerTimeout("silent")


class Watched:
    """Attempts under a timekeeper, on a virtual clock."""

    def __init__(self, tasks):
        self.tasks = tasks
        self.clock = VirtualClock()
        self.keeper = Timekeeper(self.clock)
        self.ended = []

    def begin(self, name, seconds, total=1000.0):
        """Begin an attempt that waits until something ends it."""
        patience = Patience(self.clock, total)
        attempt = Attempt(patience, self.clock, seconds, silent, self.keeper)
        self.tasks.start_soon(self._run, name, attempt)
        return attempt, patience

    async def _run(self, name, attempt):
        try:
            with attempt:
                await anyio.sleep_forever()
        except (Cancelled, DeadlineExceeded, WorkerTimeout) as error:
            self.ended.append((name, self.clock.monotonic(), type(error)))


@asynccontextmanager
async def watched():
    async with anyio.create_task_group() as tasks:
        one = Watched(tasks)
        await tasks.start(one.keeper.run)
        yield one
        assert not one.keeper.attempts  # none is left behind
        tasks.cancel_scope.cancel()
    assert not one.keeper.running


async def test_each_ends_at_its_own_moment_whatever_the_order():
    async with watched() as at:
        at.begin("long", 9.0)
        at.begin("short", 3.0)
        at.begin("late", 50.0, total=5.0)
        await at.clock.run_for(20.0)
        assert at.ended == [
            ("short", 3.0, WorkerTimeout),
            ("late", 5.0, DeadlineExceeded),
            ("long", 9.0, WorkerTimeout),
        ]


async def test_one_that_comes_later_with_an_earlier_limit_is_seen():
    async with watched() as at:
        at.begin("first", 100.0)
        await at.clock.run_for(10.0)
        at.begin("second", 5.0)
        await at.clock.run_for(200.0)
        assert [(name, when) for name, when, _ in at.ended] == [("second", 15.0), ("first", 100.0)]


@pytest.mark.parametrize(("seconds", "ends"), [(2.0, 4.0), (40.0, 61.0)])
async def test_a_limit_is_put_off_and_brought_forward(seconds, ends):
    async with watched() as at:
        attempt, _ = at.begin("one", 10.0)
        await at.clock.run_for(1.0)
        attempt.expect(seconds)  # 1.5 times that, from now on
        await at.clock.run_for(100.0)
        assert at.ended == [("one", ends, WorkerTimeout)]


async def test_a_cancelled_request_ends_at_once_and_the_others_go_on():
    async with watched() as at:
        _, patience = at.begin("one", 10.0)
        at.begin("other", 10.0)
        await at.clock.run_for(1.0)
        patience.cancel()
        await at.clock.run_for(1.0)
        assert at.ended == [("one", 1.0, Cancelled)]
        await at.clock.run_for(20.0)


async def test_attempts_that_came_in_time_leave_it_asleep():
    async with watched() as at:
        for _ in range(100):
            with Attempt(Patience(at.clock, 1000.0), at.clock, 60.0, silent, at.keeper):
                await at.clock.run_for(0.1)
        looks = 0
        while at.clock.next_timer is not None and looks < 3:
            await at.clock.run_for(at.clock.next_timer)
            looks += 1
        assert looks == 1  # at the limit of the first one; nothing was left to look at


async def test_without_it_an_attempt_has_a_timer_of_its_own():
    clock = VirtualClock()
    attempt = Attempt(Patience(clock, 1000.0), clock, 7.0, silent, Timekeeper(clock))
    async with anyio.create_task_group() as tasks:

        async def run():
            with pytest.raises(WorkerTimeout), attempt:
                await anyio.sleep_forever()

        tasks.start_soon(run)
        await clock.run_for(7.0)
    assert clock.monotonic() == 7.0
