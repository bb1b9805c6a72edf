"""The watch: static workers stay fresh, go and come back; on a virtual clock, without sockets."""

import json
from random import Random

import anyio
import pytest

from rbee_scheduler import (
    WorkerCommunicationFailed,
    WorkerHeartbeat,
    WorkerRegistry,
    WorkerTimeout,
)
from rbee_scheduler._watch import AT_ONCE, SILENT_ROUNDS, watch_workers
from rbee_scheduler.testing import VirtualClock


URL = "http://w:1"


class Answer:
    headers, close_delimited = {}, False

    def __init__(self, status, body):
        self.status = status
        self._body = body.encode()

    async def read(self):
        body, self._body = self._body, b""
        return body or None

    async def aclose(self):
        pass


class Fleet:
    """A transport whose workers are told what to answer."""

    def __init__(self):
        self.running = 0
        self.model = "m"
        self.failure = None
        self.during = lambda: None
        self.asked = []
        self.at_once = self.most_at_once = 0

    async def open(self, call):
        path = "/" + call.url.split("/", 3)[3]
        self.asked.append(path)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await anyio.lowlevel.checkpoint()
        self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        if path == "/slots":
            self.during()
        bodies = {
            "/health": '{"status":"ok"}',
            "/v1/models": json.dumps({"data": [{"id": self.model}]}),
            "/slots": json.dumps([{"is_processing": n < self.running} for n in range(4)]),
        }
        return Answer(200, bodies[path]) if path in bodies else Answer(404, "")

    async def aclose(self):
        pass


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def registry(clock):
    registry = WorkerRegistry(clock=clock)
    registry.add_url(URL, id="w")
    return registry


@pytest.fixture
def fleet():
    return Fleet()


def seen(registry):
    return registry.snapshot().worker("w")


async def test_the_block_begins_when_all_were_asked(registry, fleet):
    assert seen(registry).models == ()
    async with watch_workers(registry, fleet):
        assert (seen(registry).models, seen(registry).slots) == (("m",), 4)
        assert registry.snapshot().free("m")


async def test_rounds_come_at_the_interval_less_some_chance(registry, fleet, clock):
    async with watch_workers(registry, fleet, interval=10.0, rng=Random(1)):
        chance = Random(1)
        for _ in range(3):
            fleet.asked.clear()
            pause = 10.0 * (1 - 0.2 * chance.random())
            await clock.run_for(pause - 0.001)
            assert fleet.asked == []
            await clock.run_for(0.001)
            assert "/health" in fleet.asked


async def test_what_a_worker_does_not_have_is_asked_once(registry, fleet):
    async with watch_workers(registry, fleet) as watch:
        assert "/metrics" in fleet.asked
        fleet.asked.clear()
        await watch.look()
        assert sorted(fleet.asked) == ["/health", "/slots", "/v1/models"]


async def test_a_worker_that_dies_goes_offline_and_comes_back(registry, fleet):
    events = []
    registry.subscribe(lambda event: events.append((event.kind, event.reason)))
    async with watch_workers(registry, fleet) as watch:
        fleet.failure = WorkerCommunicationFailed("refused")
        registry.report_failure("w", unreachable=True)
        await watch.look()
        assert (seen(registry).online, seen(registry).free) == (False, False)
        await watch.look()
        fleet.failure, fleet.model = None, "other"
        fleet.asked.clear()
        await watch.look()
        assert (seen(registry).online, seen(registry).status) == (True, "ready")
        assert seen(registry).models == ("other",)
        assert "/metrics" in fleet.asked  # it may be another server by now
    assert [kind for kind, _ in events] == ["changed", "offline", "online", "changed"]


async def test_a_worker_that_was_never_there_is_offline(registry, fleet):
    fleet.failure = WorkerTimeout("too late")
    async with watch_workers(registry, fleet) as watch:
        assert not seen(registry).online
        fleet.failure = None
        await watch.look()
        assert seen(registry).available


async def test_a_worker_that_is_slow_to_answer_has_some_patience(registry, fleet):
    async with watch_workers(registry, fleet) as watch:
        fleet.failure = WorkerTimeout("too late")
        for _ in range(SILENT_ROUNDS - 1):
            await watch.look()
            assert seen(registry).available
        await watch.look()
        assert not seen(registry).online


async def test_a_server_that_still_loads_becomes_ready(registry, fleet):
    class Loading(Fleet):
        async def open(self, call):
            return Answer(503, '{"error":{"message":"Loading model"}}')

    async with watch_workers(registry, Loading()):
        assert (seen(registry).online, seen(registry).status) == (True, "starting")
    async with watch_workers(registry, fleet):
        assert seen(registry).available


# ---- load -----------------------------------------------------------------------------------


async def test_our_own_requests_are_no_foreign_load(registry, fleet):
    async with watch_workers(registry, fleet) as watch:
        reservation = registry.reserve("w")
        fleet.running = 1
        await watch.look()
        assert (seen(registry).running, seen(registry).in_flight) == (1, 1)
        reservation.release()
        assert seen(registry).running == 0


async def test_foreign_load_counts_at_once_at_first_and_then_when_seen_twice(registry, fleet):
    fleet.running = 2
    async with watch_workers(registry, fleet) as watch:
        assert seen(registry).running == 2
        fleet.running = 4
        await watch.look()
        assert (seen(registry).running, seen(registry).free) == (2, True)
        await watch.look()
        assert (seen(registry).running, seen(registry).free) == (4, False)
        fleet.running = 0
        await watch.look()
        assert seen(registry).running == 0


async def test_a_request_that_ends_during_the_probe_is_not_taken_for_foreign(registry, fleet):
    async with watch_workers(registry, fleet) as watch:
        reservation = registry.reserve("w")
        fleet.running = 1
        fleet.during = reservation.release
        await watch.look()
        assert (seen(registry).running, seen(registry).in_flight) == (0, 0)


# ---- who is watched ---------------------------------------------------------------------------


async def test_a_worker_under_heartbeats_is_left_alone(registry, fleet, clock):
    told = seen(registry).changed(model="told", models=("told",))
    registry.worker_heartbeat(WorkerHeartbeat(worker=told, timestamp=clock.now()))
    async with watch_workers(registry, fleet) as watch:
        assert fleet.asked == []
        clock.advance(1000.0)
        await watch.look()
        assert fleet.asked == []
        assert (seen(registry).online, seen(registry).models) == (False, ("told",))


async def test_a_heartbeat_during_the_probe_wins(registry, fleet, clock):
    told = seen(registry).changed(model="told", models=("told",))
    fleet.during = lambda: registry.worker_heartbeat(
        WorkerHeartbeat(worker=told, timestamp=clock.now())
    )
    async with watch_workers(registry, fleet):
        assert seen(registry).models == ("told",)


async def test_workers_may_leave_and_come_meanwhile(registry, fleet):
    fleet.during = lambda: registry.remove("w")
    async with watch_workers(registry, fleet) as watch:
        assert seen(registry) is None
        fleet.during = lambda: None
        registry.add_url(URL, id="w", model="mine")
        await watch.look()
        assert (seen(registry).models, seen(registry).slots) == (("mine",), 4)


async def test_a_fleet_is_not_asked_all_at_once(registry, fleet):
    for number in range(2 * AT_ONCE):
        registry.add_url(f"http://w{number}:1")
    async with watch_workers(registry, fleet):
        assert registry.statistics().available == 2 * AT_ONCE + 1
    assert fleet.most_at_once <= 8 * AT_ONCE


# ---- the end ------------------------------------------------------------------------------------


async def test_what_the_block_raises_comes_out_as_it_is(registry, fleet):
    with pytest.raises(ZeroDivisionError):
        async with watch_workers(registry, fleet):
            1 / 0  # noqa: B018


async def test_the_block_can_be_cancelled(registry, fleet):
    with anyio.CancelScope() as scope:
        async with watch_workers(registry, fleet):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
