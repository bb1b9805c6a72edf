"""Clocks: the virtual one keeps order and leaves nothing behind, on asyncio and on trio."""

import time

import anyio
import pytest

from rbee_scheduler import SystemClock
from rbee_scheduler.testing import VirtualClock


@pytest.fixture
def clock():
    return VirtualClock()


async def sleeper(clock, seconds, woken):
    await clock.sleep(seconds)
    woken.append((seconds, clock.monotonic()))


# ---- the two times -----------------------------------------------------------------------


def test_time_moves_only_when_told():
    clock = VirtualClock(now=5000.0)
    assert (clock.now(), clock.monotonic()) == (5000.0, 0.0)
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic()) == (6500.0, 1.5)


def test_setting_the_wall_clock_does_not_move_the_monotonic_one(clock):
    clock.advance(10.0)
    clock.set_wall(1000.0)
    assert (clock.now(), clock.monotonic()) == (1000.0, 10.0)
    clock.advance(1.0)
    assert (clock.now(), clock.monotonic()) == (2000.0, 11.0)


def test_time_never_goes_back(clock):
    clock.advance(5.0)
    clock.advance(-3.0)
    assert clock.monotonic() == 5.0


# ---- sleeping ----------------------------------------------------------------------------


async def test_sleepers_wake_in_the_order_of_their_moments(clock):
    woken = []
    async with anyio.create_task_group() as tasks:
        for seconds in (3.0, 1.0, 2.0, 1.0):
            tasks.start_soon(sleeper, clock, seconds, woken)
        await clock.run_for(10.0)
    assert woken == [(1.0, 1.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]
    assert (clock.monotonic(), clock.next_timer) == (10.0, None)


async def test_run_for_stops_at_its_end(clock):
    woken = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper, clock, 1.0, woken)
        tasks.start_soon(sleeper, clock, 1.001, woken)
        await clock.run_for(1.0)
        assert woken == [(1.0, 1.0)]
        assert clock.next_timer == pytest.approx(0.001)
        await clock.run_for(0.001)
    assert len(woken) == 2


async def test_run_for_wakes_those_who_begin_to_sleep_on_the_way(clock):
    woken = []

    async def three_times():
        for _ in range(3):
            await sleeper(clock, 1.0, woken)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(three_times)
        await clock.run_for(3.0)
        assert woken == [(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]


async def test_advance_wakes_all_at_once_at_the_end(clock):
    woken = []
    async with anyio.create_task_group() as tasks:
        for seconds in (2.0, 1.0):
            tasks.start_soon(sleeper, clock, seconds, woken)
        await anyio.wait_all_tasks_blocked()
        clock.advance(5.0)
        assert clock.next_timer is None
    assert sorted(woken) == [(1.0, 5.0), (2.0, 5.0)]


@pytest.mark.parametrize("seconds", [0, -1])
async def test_sleeping_for_no_time_is_a_checkpoint(clock, seconds):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await clock.sleep(seconds)
        pytest.fail("no checkpoint")
    await clock.sleep(seconds)
    assert clock.next_timer is None


async def test_a_cancelled_sleeper_leaves_nothing_behind(clock):
    woken = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper, clock, 1.0, woken)
        tasks.start_soon(sleeper, clock, 2.0, woken)
        await anyio.wait_all_tasks_blocked()
        assert clock.next_timer == 1.0
        tasks.cancel_scope.cancel()
    assert (clock.next_timer, woken, clock._timers) == (None, [], [])


# ---- time limits -------------------------------------------------------------------------


async def test_a_scope_is_cancelled_when_its_time_is_up(clock):
    scopes = []

    async def limited(seconds):
        with clock.move_on_after(seconds) as scope:
            scopes.append(scope)
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(limited, 2.0)
        await clock.run_for(1.999)
        assert [scope.cancelled_caught for scope in scopes] == [False]
        await clock.run_for(0.001)
        assert [scope.cancelled_caught for scope in scopes] == [True]
    assert clock.next_timer is None


@pytest.mark.parametrize("seconds", [0, -1.0])
async def test_no_time_at_all_is_up_at_once(clock, seconds):
    with clock.move_on_after(seconds) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert clock.next_timer is None


async def test_no_limit_is_never_up(clock):
    with clock.move_on_after(None) as scope:
        await clock.run_for(1e9)
    assert not scope.cancel_called
    assert clock.next_timer is None


async def test_who_is_done_in_time_leaves_no_timer_behind(clock):
    with clock.move_on_after(1.0) as scope:
        assert clock.next_timer == 1.0
    assert clock.next_timer is None
    clock.advance(2.0)
    assert not scope.cancel_called


async def test_a_failure_inside_leaves_no_timer_behind(clock):
    with pytest.raises(ValueError, match="inside"), clock.move_on_after(1.0):
        raise ValueError("inside")
    assert clock.next_timer is None


@pytest.mark.parametrize(("outer", "inner"), [(1.0, 2.0), (2.0, 1.0)])
async def test_of_nested_limits_the_shorter_one_counts(clock, outer, inner):
    seen = []

    async def nested():
        with clock.move_on_after(outer) as outer_scope:
            with clock.move_on_after(inner) as inner_scope:
                await anyio.sleep_forever()
            seen.append("between")
        seen.append((outer_scope.cancelled_caught, inner_scope.cancelled_caught))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(nested)
        await clock.run_for(1.0)
    assert seen == ([(True, False)] if outer < inner else ["between", (False, True)])
    assert clock.next_timer is None


async def test_a_limit_and_a_sleep_of_the_same_length_go_by_who_came_first(clock):
    with clock.move_on_after(1.0) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.run_for, 1.0)
            await clock.sleep(1.0)
    assert scope.cancelled_caught


# ---- jumping by itself -------------------------------------------------------------------


async def test_autojump_runs_hours_in_no_time(clock):
    woken = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.autojump)
        for hours in (3, 1, 2):
            await sleeper(clock, 3600.0 * hours, woken)
        tasks.cancel_scope.cancel()
    assert [moment for _, moment in woken] == [10_800.0, 14_400.0, 21_600.0]


async def test_autojump_waits_while_nobody_sleeps(clock):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.autojump)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert clock.monotonic() == 0.0
        await clock.sleep(5.0)
        tasks.cancel_scope.cancel()
    assert clock.monotonic() == 5.0


# ---- the real clock ----------------------------------------------------------------------


async def test_the_system_clock_is_the_machines():
    clock = SystemClock()
    before = time.time() * 1000.0, time.monotonic()
    now = clock.now(), clock.monotonic()
    after = time.time() * 1000.0, time.monotonic()
    assert before[0] <= now[0] <= after[0]
    assert before[1] <= now[1] <= after[1]
    with clock.move_on_after(None) as scope:
        await clock.sleep(0)
    assert not scope.cancel_called
    with clock.move_on_after(0) as scope:
        await clock.sleep(60)
    assert scope.cancelled_caught
