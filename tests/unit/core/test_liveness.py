"""Alarms, the guard against replays, pauses, and listeners."""

import pytest

from rbee_scheduler import HeartbeatRefused, LivenessConfig
from rbee_scheduler._listeners import Listeners
from rbee_scheduler._liveness import Alarms, ReplayGuard


# ---- alarms -------------------------------------------------------------------------------


def test_an_alarm_goes_off_once_and_in_order():
    alarms = Alarms()
    for name, moment in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        alarms.set(name, moment)
    assert (alarms.next, len(alarms)) == (1.0, 3)
    assert list(alarms.pop_due(0.9)) == []
    assert list(alarms.pop_due(2.0)) == ["a", "b"]
    assert list(alarms.pop_due(2.0)) == []
    assert list(alarms.pop_due(9.0)) == ["c"]
    assert (alarms.next, len(alarms)) == (None, 0)


def test_an_alarm_can_be_moved_either_way_and_cleared():
    alarms = Alarms()
    alarms.set("later", 1.0)
    alarms.set("later", 5.0)
    alarms.set("sooner", 5.0)
    alarms.set("sooner", 1.0)
    alarms.set("never", 1.0)
    alarms.clear("never")
    alarms.clear("unknown")
    assert list(alarms.pop_due(1.0)) == ["sooner"]
    assert list(alarms.pop_due(4.9)) == []
    assert list(alarms.pop_due(5.0)) == ["later"]


def test_an_alarm_can_be_set_again_after_it_was_cleared_or_went_off():
    alarms = Alarms()
    alarms.set("a", 1.0)
    alarms.clear("a")
    alarms.set("a", 2.0)
    assert list(alarms.pop_due(1.5)) == []
    assert list(alarms.pop_due(2.0)) == ["a"]
    alarms.set("a", 3.0)
    assert list(alarms.pop_due(3.0)) == ["a"]


def test_moving_an_alarm_back_and_forth_keeps_the_heap_small():
    """A worker under heartbeats of its own (90 s) and of its hive (3 s)."""
    alarms = Alarms()
    for second in range(1000):
        alarms.set("w", second + 90.0)
        alarms.set("w", second + 3.0)
        assert list(alarms.pop_due(second)) == []
        assert len(alarms._heap) < 100
    assert list(alarms.pop_due(1002.0)) == ["w"]
    list(alarms.pop_due(2000.0))
    assert (alarms._heap, alarms._queued, alarms._due) == ([], {}, {})


# ---- replays and skew -----------------------------------------------------------------------


NOW = 1_700_000_000_000.0


def test_heartbeats_are_believed_in_order_once():
    guard = ReplayGuard(30.0)
    guard.check("w", NOW, NOW)
    for late in (NOW, NOW - 1):
        with pytest.raises(HeartbeatRefused, match=r"^\$\.timestamp: w sent timestamp \d+ after"):
            guard.check("w", late, NOW + 5)
    guard.check("w", NOW + 1, NOW + 5)
    guard.check("other", NOW - 1, NOW)


@pytest.mark.parametrize(
    ("skew", "text"), [(30_001, "30.0 s ahead"), (-30_001, "30.0 s behind"), (1e12, "s ahead")]
)
def test_a_clock_far_off_is_refused(skew, text):
    guard = ReplayGuard(30.0)
    with pytest.raises(HeartbeatRefused, match=text) as caught:
        guard.check("w", NOW + skew, NOW)
    assert "max_skew" in caught.value.hint
    guard.check("w", NOW, NOW)  # what was refused is not remembered


@pytest.mark.parametrize("skew", [-30_000, 30_000])
def test_a_clock_somewhat_off_is_fine(skew):
    ReplayGuard(30.0).check("w", NOW + skew, NOW)


def test_sources_are_forgotten_when_their_heartbeats_could_not_be_replayed_any_more():
    guard = ReplayGuard(30.0)
    for n in range(10_000):
        now = NOW + 1000.0 * n
        guard.check(f"w{n}", now, now)
        assert len(guard) < 200
        with pytest.raises(HeartbeatRefused):  # by its age, or because it is remembered
            guard.check(f"w{max(0, n - 40)}", now - 40_000.0, now)


# ---- limits and pauses -----------------------------------------------------------------------


def test_the_limits_are_missed_intervals():
    default = LivenessConfig()
    assert (default.worker_limit, default.hive_limit) == (90.0, 3.0)
    other = LivenessConfig(worker_interval=15, hive_interval=2, missed=4)
    assert (other.worker_limit, other.hive_limit) == (60, 8)


def test_pauses_double_up_to_the_longest():
    limits = LivenessConfig(failures=2, cooldown=1.0, max_cooldown=5.0)
    expected = [None, None, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert expected == [limits.pause(failures) for failures in range(7)]
    assert limits.pause(10**9) == 5.0


# ---- listeners ---------------------------------------------------------------------------------


def test_listeners_are_told_in_the_order_in_which_they_subscribed():
    told = []
    listeners = Listeners()
    listeners.add(lambda event: told.append(("first", event)))
    listeners.add(lambda event: told.append(("second", event)))
    listeners.tell(1)
    assert told == [("first", 1), ("second", 1)]


def test_one_function_subscribed_twice_is_told_twice_and_unsubscribes_singly():
    told = []
    listeners = Listeners()
    first = listeners.add(told.append)
    listeners.add(told.append)
    listeners.tell("a")
    first()
    first()
    listeners.tell("b")
    assert told == ["a", "a", "b"]
    assert len(listeners) == 1


def test_who_is_unsubscribed_by_another_listener_is_not_told_of_the_event_at_hand():
    told = []
    listeners = Listeners()

    def first(event):
        told.append(event)
        stop_first()
        stop_second()
        listeners.add(lambda later: told.append(("new", later)))

    stop_first = listeners.add(first)
    stop_second = listeners.add(lambda event: told.append(("second", event)))
    listeners.tell("a")
    listeners.tell("b")
    assert told == ["a", ("new", "b")]
