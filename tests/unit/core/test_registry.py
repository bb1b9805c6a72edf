"""The registry: who comes, goes, falls silent, is busy, fails, and who is told."""

import attrs
import pytest

from rbee_scheduler import (
    Catalog,
    ConfigError,
    HeartbeatRefused,
    HiveHeartbeat,
    LivenessConfig,
    ModelInfo,
    SystemClock,
    Worker,
    WorkerHeartbeat,
    WorkerRegistry,
)
from rbee_scheduler.testing import VirtualClock, free_workers


URL = "http://10.0.0.7:8080"


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def registry(clock):
    return WorkerRegistry(clock=clock)


@pytest.fixture
def events(registry):
    told = []
    registry.subscribe(lambda e: told.append((e.kind, e.worker_id, e.reason)))
    return told


@pytest.fixture
def room(registry):
    announced = []
    registry.subscribe_capacity(lambda worker: announced.append(worker.id))
    return announced


def worker(name="w", **fields):
    return Worker(**{"id": name, "url": URL, "model": "m", **fields})


def hive_beat(registry, *workers, hive="h", **fields):
    now = registry.clock.now()
    return registry.hive_heartbeat(
        HiveHeartbeat(**{"hive_id": hive, "timestamp": now, "workers": workers, **fields})
    )


def beat(registry, made=None, **fields):
    now = registry.clock.now()
    return registry.worker_heartbeat(
        WorkerHeartbeat(**{"worker": made or worker(), "timestamp": now, **fields})
    )


def ids(workers):
    return [made.id for made in workers]


# ---- configured workers ------------------------------------------------------------------


def test_a_new_registry_is_empty_and_on_the_real_clock():
    registry = WorkerRegistry()
    assert isinstance(registry.clock, SystemClock)
    assert (len(registry), len(registry.snapshot())) == (0, 0)
    assert len(registry.catalog) == 0
    assert registry.next_recovery() is None


def test_a_worker_is_known_by_its_url(registry):
    made = registry.add_url("http://me:secret@10.0.0.7:8080/", model="m", slots=2)
    assert (made.id, made.url) == ("10.0.0.7:8080", "http://me:secret@10.0.0.7:8080")
    assert registry.add_url(URL, id="mine", model="m").id == "mine"
    assert ids(registry.snapshot().workers()) == ["10.0.0.7:8080", "mine"]


@pytest.mark.parametrize("url", ["10.0.0.7:8080", "http://[::1", ""])
def test_an_url_that_is_none_is_refused(registry, url):
    with pytest.raises(ConfigError, match=r"^\$\.(url|id): "):
        registry.add_url(url)


def test_a_configured_worker_never_expires(registry, clock):
    registry.add(worker())
    clock.advance(1e6)
    assert registry.snapshot().worker("w").online


def test_adding_a_worker_that_sent_heartbeats_makes_it_configured(registry, clock):
    hive_beat(registry, worker())
    assert registry.under_heartbeats("w")
    registry.add(worker())
    assert not registry.under_heartbeats("w")
    clock.advance(1e6)
    assert registry.snapshot().worker("w").online
    hive_beat(registry)  # it no longer belongs to the hive that leaves it out
    assert registry.snapshot().worker("w") is not None


def test_adding_replaces_the_report_and_keeps_place_and_requests(registry):
    for name in ("a", "b"):
        registry.add(worker(name))
    held = registry.reserve("a")
    made = registry.add(worker("a", model="n", slots=3))
    assert (made.in_flight, made.running, made.models) == (1, 1, ("n",))
    assert ids(registry.snapshot().workers()) == ["a", "b"]
    assert ids(registry.snapshot().with_model("m")) == ["b"]
    held.release()
    assert registry.snapshot().worker("a").in_flight == 0


def test_update_checks_and_derives(registry):
    registry.add(worker(total_vram_mb=8.0))
    assert registry.update("w", vram_mb=6.0).vram_free_mb == 2.0
    assert registry.update("w", url="http://other").host == "other"
    assert registry.update("w", model="n").models == ("n",)
    with pytest.raises(ConfigError, match=r"^\$\.slots: slots is 0"):
        registry.update("w", slots=0)
    with pytest.raises(ConfigError, match=r"^\$\.sluts: "):
        registry.update("w", sluts=2)
    with pytest.raises(ConfigError, match=r"^\$\.id: "):
        registry.update("w", id="v")
    with pytest.raises(ConfigError, match="there is no worker 'v'"):
        registry.update("v", slots=2)


def test_update_is_no_sign_of_life(registry, clock):
    hive_beat(registry, worker())
    clock.advance(3.0)
    assert not registry.update("w", labels={"rack": "7"}).online
    assert registry.update("w", online=True).online


def test_update_brings_back_no_load_of_long_ago(registry):
    registry.add(worker())
    held = [registry.reserve("w"), registry.reserve("w")]
    registry.update("w", running=3)  # one is somebody else's
    for reservation in held:
        reservation.release()
    assert registry.snapshot().worker("w").running == 1
    assert registry.update("w", labels={"rack": "7"}).running == 1


def test_a_removed_worker_is_gone(registry, events):
    registry.add(worker())
    registry.remove("w", "sold")
    registry.remove("w")
    assert (
        len(registry),
        registry.snapshot().worker("w"),
        registry.snapshot().with_model("m"),
    ) == (0, None, ())
    assert events == [("came", "w", ""), ("left", "w", "sold")]


def test_which_protocols_are_spoken_is_known_at_any_time(registry):
    protocols = registry.protocols
    assert not protocols
    registry.add(worker("a"))
    registry.add(worker("b", protocol="queen"))
    registry.add(worker("c", protocol="queen"))
    assert set(registry.protocols) == {"openai", "queen"}
    registry.drain("b")
    registry.remove("c")
    assert set(registry.protocols) == {"openai", "queen"}
    registry.update("b", protocol="openai")
    assert set(registry.protocols) == {"openai"}
    beat(registry, worker("b", protocol="queen"))
    registry.remove("a")
    assert set(registry.protocols) == {"queen"}
    registry.remove("b")
    assert not protocols
    assert registry.protocols is protocols


def test_what_is_unknown_changes_nothing(registry, events):
    registry.report_failure("w", unreachable=True)
    registry.report_success("w")
    registry.drain("w")
    registry.remove("w")
    assert registry.reserve("w") is None
    assert not registry.under_heartbeats("w")
    assert (events, len(registry)) == ([], 0)


# ---- heartbeats and liveness -------------------------------------------------------------


def test_a_worker_is_offline_after_three_missed_heartbeats(registry, clock, events):
    beat(registry)
    clock.advance(89.999)
    assert registry.snapshot().worker("w").online
    clock.advance(0.001)
    assert not registry.snapshot().worker("w").online
    assert registry.under_heartbeats("w")
    beat(registry)
    assert registry.snapshot().worker("w").online
    reason = "no heartbeat in time"
    assert [("came", "w", ""), ("offline", "w", reason), ("online", "w", "")] == events


def test_a_hive_and_its_workers_are_offline_after_three_missed_heartbeats(registry, clock):
    hive_beat(registry, worker("a"), worker("b"))
    clock.advance(2.999)
    hive_beat(registry, worker("a"), worker("b"))
    clock.advance(2.999)
    assert (
        len(registry.list_online_workers()),
        ids(registry.list_online_hives()),
    ) == (2, ["h"])
    clock.advance(0.001)
    assert (
        registry.list_online_workers(),
        registry.list_online_hives(),
        registry.list_available_hives(),
    ) == ((), (), ())
    assert registry.get_hive("h").status == "offline"
    hive_beat(registry, worker("a"), worker("b"))
    assert (
        len(registry.list_online_workers()),
        ids(registry.list_available_hives()),
    ) == (2, ["h"])


def test_the_limits_are_configurable(clock):
    limits = LivenessConfig(worker_interval=10, hive_interval=5, missed=2)
    registry = WorkerRegistry(clock=clock, liveness=limits)
    beat(registry, worker("own"))
    hive_beat(registry, worker("hives"))
    clock.advance(10.0)
    assert ids(registry.list_online_workers()) == ["own"]
    clock.advance(10.0)
    assert registry.list_online_workers() == ()


def test_a_worker_may_speak_for_itself_and_through_its_hive(registry, clock):
    hive_beat(registry, worker())
    beat(registry, worker(slots=2))
    assert registry.snapshot().worker("w").pool_id == "h"  # it does not say so itself
    clock.advance(80.0)
    assert registry.snapshot().worker("w").online  # by its own word, though the hive is silent
    assert registry.get_hive("h").status == "offline"


def test_a_hive_says_all_of_its_pool(registry, clock):
    pool = hive_beat(registry, worker("a"), worker("b"), region="eu", cached_models=["m"])
    assert (
        pool.id, pool.region, pool.worker_ids, pool.cached_models,
    ) == ("h", "eu", ("a", "b"), ("m",))  # fmt: skip
    assert clock.now() == pool.last_heartbeat_ms
    assert pool == registry.snapshot().pool("h") == registry.get_hive("h")
    assert {"h"} == {made.pool_id for made in registry.snapshot().workers()}
    clock.advance(1.0)
    hive_beat(registry, worker("a", pool_id="rack-7"), status="degraded")
    assert registry.snapshot().worker("a").pool_id == "rack-7"
    assert (
        ids(registry.list_available_hives()),
        ids(registry.list_online_hives()),
    ) == ([], ["h"])


def test_workers_come_and_leave_with_their_hives_heartbeats(registry, clock, events):
    hive_beat(registry, worker("a"), worker("b"))
    clock.advance(1.0)
    hive_beat(registry, worker("b"), worker("c"))
    assert ids(registry.snapshot().workers()) == ["b", "c"]
    gone = "no longer reported by hive h"
    expected = [("came", "a", ""), ("came", "b", ""), ("left", "a", gone), ("came", "c", "")]
    assert expected == events


@pytest.mark.parametrize("late", [0.0, -1.0, -29_000.0])
@pytest.mark.parametrize("take", [beat, hive_beat])
def test_a_replayed_or_late_heartbeat_never_makes_a_worker_look_fresher(registry, take, late):
    clock = registry.clock
    sent = clock.now()
    take(registry, worker())
    clock.advance(2.0)
    with pytest.raises(HeartbeatRefused, match=r"^\$\.timestamp: .*(worker w|hive h)"):
        take(registry, worker(status="busy"), timestamp=sent + late)
    assert registry.snapshot().worker("w").status == "ready"
    clock.advance(88.0)
    assert not registry.snapshot().worker("w").online


@pytest.mark.parametrize("take", [beat, hive_beat])
@pytest.mark.parametrize("skew", [-30_001.0, 30_001.0])
def test_a_heartbeat_from_a_clock_far_off_is_refused_and_changes_nothing(registry, take, skew):
    with pytest.raises(HeartbeatRefused, match=r"the clock of .* is 30\.0 s (ahead|behind)"):
        take(registry, worker(), timestamp=registry.clock.now() + skew)
    assert len(registry) == 0
    assert registry.snapshot().pools() == ()


def test_a_heartbeat_of_a_worker_that_left_can_not_be_replayed(registry, clock):
    sent = clock.now()
    beat(registry)
    clock.advance(1.0)
    registry.remove("w")
    with pytest.raises(HeartbeatRefused):
        beat(registry, timestamp=sent)
    assert len(registry) == 0
    assert beat(registry).online


def test_setting_the_wall_clock_back_does_not_disturb_liveness(registry, clock):
    beat(registry)
    registry.report_failure("w", unreachable=True)
    clock.set_wall(clock.now() - 3_600_000.0)
    clock.advance(1.0)
    assert registry.snapshot().worker("w").available  # the pause is over all the same
    clock.advance(88.999)
    assert registry.snapshot().worker("w").online
    clock.advance(0.001)
    assert not registry.snapshot().worker("w").online


# ---- one id, two hives -------------------------------------------------------------------


def test_a_second_hive_with_the_same_worker_id_is_refused_as_a_whole(registry, clock):
    hive_beat(registry, worker("w", url="http://first"), hive="h1")
    with pytest.raises(HeartbeatRefused, match="hive h1 has a worker 'w' already") as caught:
        hive_beat(registry, worker("v"), worker("w", url="http://second"), hive="h2")
    assert caught.value.place == "$.workers[1].id"
    assert registry.snapshot().worker("w").host == "first"
    assert (len(registry), ids(registry.snapshot().pools())) == (1, ["h1"])


def test_a_worker_may_move_to_another_hive(registry, clock):
    hive_beat(registry, worker("w"), hive="h1")
    clock.advance(1.0)
    hive_beat(registry, hive="h1")
    assert hive_beat(registry, worker("w"), hive="h2").worker_ids == ("w",)
    clock.advance(1.0)
    hive_beat(registry, hive="h1")
    assert registry.snapshot().worker("w").pool_id == "h2"


def test_a_silent_hives_worker_may_be_taken_over(registry, clock):
    hive_beat(registry, worker("w"), hive="h1")
    clock.advance(3.0)
    hive_beat(registry, worker("w"), hive="h2")
    with pytest.raises(HeartbeatRefused):
        hive_beat(registry, worker("w"), hive="h1")  # back, but too late
    hive_beat(registry, hive="h1", timestamp=clock.now() + 1)
    assert registry.snapshot().worker("w").pool_id == "h2"


def test_a_hive_may_take_over_a_configured_worker(registry, clock):
    registry.add(worker())
    hive_beat(registry, worker())
    clock.advance(3.0)
    assert not registry.snapshot().worker("w").online


# ---- our own count -----------------------------------------------------------------------


def test_a_slot_is_held_once_and_given_back_once(registry):
    registry.add(worker(slots=1))
    held = registry.reserve("w")
    assert held.held
    assert held.worker.in_flight == 0  # as it was when the slot was taken
    assert registry.reserve("w") is None
    shown = registry.snapshot().worker("w")
    assert (shown.in_flight, shown.running, shown.load, shown.free) == (1, 1, 1.0, False)
    for _ in range(2):
        held.release()
        assert not held.held
    shown = registry.snapshot().worker("w")
    assert (shown.in_flight, shown.running, shown.load, shown.free) == (0, 0, 0.0, True)


@pytest.mark.parametrize(
    "fields",
    [{"status": "busy"}, {"status": "failed"}, {"online": False}, {"slots": 1, "running": 1}],
)
def test_who_is_not_free_can_not_be_reserved(registry, fields):
    registry.add(worker(**fields))
    assert registry.reserve("w") is None


def test_a_worker_of_unknown_slots_is_never_full(registry):
    registry.add(worker())
    for _ in range(8):
        assert registry.reserve("w") is not None
    shown = registry.snapshot().worker("w")
    assert (shown.running, shown.load, shown.free) == (8, 0.5, True)
    assert registry.update("w", load=7.0).load == 1.0


def test_requests_of_others_count_beside_ours(registry, clock):
    registry.add(worker(slots=3))
    held = registry.reserve("w")
    beat(registry, worker(slots=3, running=3))  # ours and two more
    assert registry.snapshot().worker("w").running == 3
    assert registry.reserve("w") is None
    held.release()
    assert registry.snapshot().worker("w").running == 2
    clock.advance(1.0)
    assert beat(registry, worker(slots=3, running=0)).running == 0


def test_a_heartbeat_from_before_our_request_does_not_hide_it(registry):
    registry.add(worker())
    registry.reserve("w")
    assert attrs.astuple(
        beat(registry), filter=lambda a, _: a.name in {"running", "in_flight"}
    ) == (1, 1)


def test_a_busy_worker_has_room_again_when_a_request_of_ours_ends(registry, clock, room):
    """Its next heartbeat may be 30 s away."""
    registry.add(worker())
    held = registry.reserve("w")
    assert beat(registry, worker(status="busy", running=1)).status == "busy"
    room.clear()
    held.release()
    assert registry.snapshot().worker("w").free
    assert room == ["w"]
    again = registry.reserve("w")
    assert registry.snapshot().worker("w").status == "busy"
    again.release()
    clock.advance(1.0)
    assert beat(registry, worker(status="busy")).status == "busy"  # with others' requests


def test_last_use_outlives_a_heartbeat(registry, clock):
    registry.add(worker())
    held = registry.reserve("w")
    clock.advance(1.0)
    held.release()
    used = clock.now()
    clock.advance(1.0)
    assert used == beat(registry, worker(last_used_at=5.0)).last_used_at
    clock.advance(1.0)
    assert beat(registry, worker(last_used_at=clock.now())).last_used_at == clock.now()


def test_a_worker_that_leaves_and_comes_back_keeps_nothing(registry, clock):
    hive_beat(registry, worker(slots=2, running=1))
    held = registry.reserve("w")
    for _ in range(3):
        registry.report_failure("w")
    registry.drain("w")
    clock.advance(1.0)
    hive_beat(registry)
    clock.advance(1.0)
    hive_beat(registry, worker(slots=2))
    shown = registry.snapshot().worker("w")
    assert (shown.in_flight, shown.running, shown.load, shown.status) == (0, 0, 0.0, "ready")
    again = registry.reserve("w")
    held.release()  # of its former life
    assert registry.snapshot().worker("w").in_flight == 1
    again.release()
    assert registry.snapshot().worker("w").in_flight == 0


# ---- failures, pauses, draining ----------------------------------------------------------


def pauses(registry, count, **how):
    """How long each of the next pauses of worker ``w`` is."""
    found = []
    for _ in range(count):
        while registry.snapshot().worker("w").available:
            registry.report_failure("w", **how)
        began = registry.clock.monotonic()
        registry.clock.advance(registry.next_recovery() - began)
        assert registry.snapshot().worker("w").available
        found.append(registry.clock.monotonic() - began)
    return found


def test_three_failures_in_a_row_make_a_pause(registry):
    registry.add(worker())
    for _ in range(2):
        registry.report_failure("w")
        assert registry.snapshot().worker("w").free
    registry.report_failure("w")
    assert registry.snapshot().worker("w").status == "failed"
    assert registry.reserve("w") is None


def test_pauses_double_until_it_serves_a_request(registry):
    registry.add(worker())
    assert pytest.approx(pauses(registry, 7)) == [1, 2, 4, 8, 16, 30, 30]
    registry.report_success("w")
    assert pytest.approx(pauses(registry, 2, unreachable=True)) == [1, 2]


def test_requests_that_fail_during_a_pause_do_not_lengthen_it(registry, clock):
    registry.add(worker())
    for _ in range(50):  # all that were under way when it died
        registry.report_failure("w", unreachable=True)
    assert registry.next_recovery() == clock.monotonic() + 1.0
    assert pytest.approx(pauses(registry, 2)) == [1.0, 2.0]


def test_a_success_ends_the_pause_and_forgives_what_was(registry, events):
    registry.add(worker())
    registry.report_failure("w", unreachable=True)
    registry.report_success("w")
    assert registry.snapshot().worker("w").free
    assert events[1:] == [
        ("changed", "w", "failed; left alone for 1 s"),
        ("changed", "w", "works again"),
    ]
    registry.report_failure("w")
    assert registry.snapshot().worker("w").free


def test_a_failure_now_and_then_is_no_reason(registry):
    registry.add(worker())
    for _ in range(10):
        registry.report_failure("w")
        registry.report_failure("w")
        registry.report_success("w")
    assert registry.snapshot().worker("w").free


def test_a_heartbeat_does_not_end_a_pause(registry, clock):
    registry.add(worker())
    registry.report_failure("w", unreachable=True)
    assert beat(registry).status == "failed"
    clock.advance(1.0)
    assert registry.snapshot().worker("w").free


def test_a_worker_removed_during_its_pause_comes_back_without_it(registry, clock, events):
    registry.add(worker())
    registry.report_failure("w", unreachable=True)
    registry.remove("w")
    registry.add(worker())
    assert registry.snapshot().worker("w").free
    del events[:]
    clock.advance(5.0)
    registry.tick()
    assert events == []


def test_a_draining_worker_gets_nothing_new_and_ends_what_it_has(registry, events):
    registry.add(worker(slots=2))
    held = registry.reserve("w")
    registry.drain("w")
    registry.drain("w")
    assert registry.reserve("w") is None
    assert beat(registry, worker(slots=2)).status == "stopped"
    held.release()
    assert registry.snapshot().worker("w").in_flight == 0
    registry.drain("w", draining=False)
    assert registry.reserve("w") is not None
    assert [reason for _, _, reason in events] == ["", "draining", "drain ended"]


# ---- who is told -------------------------------------------------------------------------


def test_listeners_are_told_once_of_each_change_of_state(registry, clock, events):
    registry.add(worker(slots=1))
    registry.add(worker(slots=1))  # nothing new
    registry.reserve("w").release()  # our own requests are no change of state
    beat(registry, worker(slots=1, running=1, load=1.0))
    clock.advance(1.0)
    beat(registry, worker(status="busy"))
    clock.advance(1.0)
    beat(registry, worker(status="busy", online=False))
    clock.advance(200.0)
    registry.tick()  # it was offline already
    assert [kind for kind, _, _ in events] == ["came", "changed", "offline"]


def test_listeners_hear_of_the_room_that_a_request_of_ours_left(registry, clock, events):
    registry.add(worker())
    held = registry.reserve("w")
    beat(registry, worker(status="busy", running=1))
    held.release()
    clock.advance(1.0)
    beat(registry, worker(status="ready"))
    assert [kind for kind, _, _ in events] == ["came", "changed", "changed"]


def test_an_event_has_the_time_and_the_worker_is_in_the_snapshot(registry, clock):
    seen = []
    registry.subscribe(lambda e: seen.append((e.at, registry.snapshot().worker(e.worker_id))))
    registry.add(worker())
    registry.remove("w")
    assert [(clock.now(), "w"), (clock.now(), None)] == [(at, w and w.id) for at, w in seen]


def test_unsubscribing_inside_a_callback(registry):
    told = []

    def once(event):
        told.append(event.kind)
        stop()

    stop = registry.subscribe(once)
    registry.add(worker())
    registry.remove("w")
    stop()
    assert told == ["came"]


def test_room_is_announced_when_there_is_some(registry, clock, room):
    def said():
        told, room[:] = list(room), []
        return told

    registry.add(worker("full", slots=1, running=1))
    assert said() == []
    registry.add(worker("w", slots=1))
    assert said() == ["w"]  # a worker came
    held = registry.reserve("w")
    assert said() == []
    held.release()
    assert said() == ["w"]  # a slot got free
    registry.report_failure("w", unreachable=True)
    assert said() == []
    clock.advance(1.0)
    registry.tick()
    assert said() == ["w"]  # a pause ended
    registry.report_failure("w", unreachable=True)
    registry.report_success("w")
    assert said() == ["w"]  # it works again
    registry.drain("w")
    registry.drain("w", draining=False)
    assert said() == ["w"]
    beat(registry, worker("b"))
    clock.advance(90.0)
    registry.tick()
    assert said() == ["b"]
    beat(registry, worker("b"))
    assert said() == ["b"]  # it came back
    registry.update("full", running=0)
    assert said() == ["full"]


def test_a_release_leaves_a_full_or_gone_worker_unannounced(registry, room):
    registry.add(worker("w", slots=1))
    held = registry.reserve("w")
    beat(registry, worker("w", slots=1, running=2))
    del room[:]
    held.release()
    registry.add(worker("v", slots=1))
    held = registry.reserve("v")
    registry.remove("v")
    held.release()
    assert room == ["v"]


def test_who_is_told_of_room_may_take_it(registry):
    taken = []
    registry.subscribe_capacity(lambda w: taken.append(registry.reserve(w.id)))
    made = registry.add(worker(slots=1))
    assert (len(taken), made.in_flight) == (1, 1)
    made = beat(registry, worker(slots=2))
    assert (len(taken), made.in_flight) == (2, 2)


def test_room_that_a_listener_took_away_is_not_announced(registry, room):
    registry.subscribe(lambda e: e.kind == "came" and registry.remove(e.worker_id))
    assert registry.add(worker()).id == "w"
    assert (len(registry), room) == (0, [])


# ---- queries -----------------------------------------------------------------------------


def test_queries_answer_in_the_order_of_registration():
    catalog = Catalog([ModelInfo(model_ref="m", aliases=["short"])])
    registry = WorkerRegistry(clock=VirtualClock(), catalog=catalog)
    fleet = [
        worker("z", slots=4, running=2, vram_free_mb=10.0),
        worker("off", online=False, vram_free_mb=99.0),
        worker("a", slots=4, running=1, vram_free_mb=20.0),
        worker("other", model="n", gpu_util_pct=5.0),
        worker("b", slots=4, running=1),
        worker("idle", model="n"),
    ]
    for made in fleet:
        registry.add(made)
    assert registry.find_best_worker_for_model("m").id == "a"
    assert registry.find_best_worker_for_model("short").id == "a"
    assert registry.find_best_worker_for_model("none") is None
    assert ids(registry.find_idle_workers()) == ["idle"]
    assert ids(registry.find_workers_with_model("m")) == ["z", "a", "b"]
    assert ids(registry.find_workers_with_model("short")) == ["z", "a", "b"]
    assert ids(registry.find_workers_with_capacity(10.0)) == ["z", "a"]
    assert ids(registry.list_online_workers()) == ["z", "a", "other", "b", "idle"]
    assert ids(registry.snapshot().workers()) == [made.id for made in fleet]
    assert registry.find_workers_with_model("m") == registry.snapshot().find_workers_with_model("m")


def test_a_returning_worker_goes_to_the_end_of_the_line(registry):
    for name in ("a", "b"):
        registry.add(worker(name))
    registry.remove("a")
    registry.add(worker("a"))
    assert ids(registry.snapshot().free("m")) == ["b", "a"]


def test_statistics_count_by_state(registry, clock):
    hive_beat(registry, worker("a", slots=1), worker("b", status="busy"))
    registry.add(worker("c", online=False))
    registry.reserve("a")
    expected = {
        "workers": 3, "online": 2, "available": 1, "free": 0, "in_flight": 1, "pools": 1,
    }  # fmt: skip
    assert expected == attrs.asdict(registry.statistics())
    assert registry.statistics() == registry.snapshot().statistics()


def test_a_snapshot_has_the_time_and_the_chance_of_its_decision(registry, clock):
    registry.add(worker())
    snapshot = registry.snapshot(turn=3, seed=7)
    assert (clock.now(), 3, 7, 1) == (snapshot.now, snapshot.turn, snapshot.seed, len(snapshot))
    assert snapshot.random().random() == snapshot.random().random()
    assert registry.catalog is snapshot.catalog


# ---- cost, counted -----------------------------------------------------------------------


def chunks(snapshot):
    """The pieces of which a snapshot's collections are made."""
    fleet = snapshot._fleet
    for by_id in (fleet.by_id, fleet.pools):
        yield from by_id._buckets
    yield from pieces(fleet.order)
    for groups in (fleet.free, fleet.usable, fleet.by_model, fleet.by_capability):
        for bucket in groups._buckets:
            yield bucket
            for group in bucket.values():
                yield from pieces(group)


def pieces(sequence):
    return getattr(sequence, "_chunks", [sequence])


@pytest.mark.parametrize("size", [300, 30_000])
def test_a_change_copies_a_few_chunks_however_large_the_fleet_and_a_snapshot_none(clock, size):
    registry = WorkerRegistry(clock=clock)
    for made in free_workers(size, slots=2):
        registry.add(made)
    held = []
    for change, most in (
        (lambda: beat(registry, worker("w150", slots=2, gpu_util_pct=50.0)), 3),
        (lambda: held.append(registry.reserve("w150")), 3),
        (lambda: held.pop().release(), 3),
        (lambda: registry.report_failure("w150", unreachable=True), 6),
        (lambda: registry.remove("w150"), 12),
        (lambda: registry.add(worker("new")), 12),
    ):
        before = registry.snapshot()
        assert before._fleet is registry.snapshot()._fleet
        shared = set(map(id, chunks(before)))
        change()
        after = registry.snapshot()
        assert after._fleet is not before._fleet
        assert 0 < sum(id(chunk) not in shared for chunk in chunks(after)) <= most
