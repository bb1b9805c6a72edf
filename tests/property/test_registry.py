"""The registry against a simple model of itself: dictionaries, scanned for every answer."""

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rbee_scheduler import (
    Catalog,
    HeartbeatRefused,
    HiveHeartbeat,
    LivenessConfig,
    ModelInfo,
    Worker,
    WorkerHeartbeat,
    WorkerRegistry,
    _persistent,
)
from rbee_scheduler._entry import NOMINAL_SLOTS
from rbee_scheduler.testing import VirtualClock


IDS = ["w0", "w1", "w2", "w3", "w4", "w5"]
HIVES = ["h0", "h1"]
MODELS = ["a", "b"]
TASKS = ["text-gen", "embedding"]

ids = st.sampled_from(IDS)
hives = st.sampled_from(HIVES)
reports = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["", *MODELS]),
        "models": st.lists(st.sampled_from(MODELS), unique=True),
        "capabilities": st.lists(st.sampled_from(TASKS), min_size=1, unique=True),
        "status": st.sampled_from(["ready", "ready", "busy", "starting", "failed"]),
        "online": st.sampled_from([True, True, True, False]),
        "running": st.integers(0, 3),
        "slots": st.sampled_from([None, 1, 2]),
        "load": st.sampled_from([0.0, 0.3, 1.5]),
        "gpu_util_pct": st.sampled_from([0.0, 50.0]),
        "vram_free_mb": st.sampled_from([0.0, 1000.0]),
    }
)
changes = st.one_of(
    st.fixed_dictionaries({"labels": st.just({"rack": "7"})}),
    st.fixed_dictionaries({"running": st.integers(0, 3)}),
    st.fixed_dictionaries({"status": st.sampled_from(["ready", "busy"])}),
    st.fixed_dictionaries({"online": st.booleans()}),
    st.fixed_dictionaries({"model": st.sampled_from(MODELS)}),
)


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_persistent, "CHUNK", 2)
        yield


@attrs.define
class Known:
    """What the model knows of one worker."""

    reported: Worker
    foreign: int = 0
    in_flight: int = 0
    busy_from: int = 0
    online: bool = True
    failures: int = 0
    expires: float | None = None
    cools: float | None = None
    draining: bool = False
    beats: bool = False
    used: float = 0.0
    hive: str = ""

    def report(self, worker):
        self.reported = worker
        self.foreign = max(0, worker.running - self.in_flight)
        self.busy_from = self.in_flight
        self.online = worker.online

    def own_status(self):
        busy = self.reported.status == "busy"
        return "ready" if busy and self.in_flight < self.busy_from else self.reported.status

    def shown(self):
        running = self.foreign + self.in_flight
        slots = self.reported.slots
        load = (
            min(1.0, running / slots)
            if slots
            else max(min(1.0, self.reported.load), running / (running + NOMINAL_SLOTS))
        )
        status = self.own_status()
        status = "failed" if self.cools is not None else status
        status = "stopped" if self.draining else status
        return attrs.evolve(
            self.reported,
            running=running,
            in_flight=self.in_flight,
            load=load,
            status=status,
            online=self.online,
            last_used_at=max(self.used, self.reported.last_used_at),
        )


class RegistryMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.clock = VirtualClock()
        self.limits = LivenessConfig(failures=2)
        catalog = Catalog([ModelInfo(model_ref="a", aliases=["alpha"])])
        self.registry = WorkerRegistry(clock=self.clock, liveness=self.limits, catalog=catalog)
        self.known = {}  # worker id -> Known, in the order of registration
        self.pools = {}  # hive id -> [pool, moment of its expiry]
        self.last = {}  # source -> timestamp
        self.held = []  # (reservation, Known)
        self.kept = []  # (snapshot, what it showed)
        self.told = {}  # worker id -> (online, status) as the events have it
        self.announced = set()
        self.free_before = set()
        self.registry.subscribe(self.hear)
        self.registry.subscribe_capacity(self.capacity)

    # ---- what listeners hear -----------------------------------------------------------

    def hear(self, event):
        if event.kind == "left":
            del self.told[event.worker_id]
            return
        assert (event.kind == "came") == (event.worker_id not in self.told)
        worker = self.registry._index.worker(event.worker_id)
        seen = (worker.online, worker.status)
        before = self.told.get(event.worker_id)
        if event.kind in {"online", "offline"}:
            assert (not before[0], event.kind == "online") == (worker.online, worker.online)
        assert before != seen
        self.told[event.worker_id] = seen

    def capacity(self, worker):
        assert worker.free
        assert worker is self.registry._index.worker(worker.id)
        self.announced.add(worker.id)

    # ---- the model's own time ------------------------------------------------------------

    def tick(self):
        now = self.clock.monotonic()
        for known in self.known.values():
            if known.expires is not None and known.expires <= now:
                known.expires, known.online = None, False
            if known.cools is not None and known.cools <= now:
                known.cools = None
        for row in self.pools.values():
            if row[1] <= now:
                row[0] = attrs.evolve(row[0], status="offline")

    def believed(self, source, timestamp):
        self.tick()
        last = self.last.get(source)
        if abs(timestamp - self.clock.now()) > 30_000 or (last is not None and timestamp <= last):
            return False
        self.last[source] = timestamp
        return True

    def report(self, worker, *, beats, expires):
        known = self.known.get(worker.id)
        if known is None:
            known = self.known[worker.id] = Known(worker)
        known.report(worker)
        known.beats = beats
        known.expires = expires

    # ---- what can happen -------------------------------------------------------------------

    @rule(name=ids, report=reports)
    def add(self, name, report):
        worker = Worker(id=name, url="http://h", **report)
        self.registry.add(worker)
        self.report(worker, beats=False, expires=None)
        self.known[name].hive = ""

    @rule(name=ids, change=changes)
    def update(self, name, change):
        known = self.known.get(name)
        if known is None:
            return
        self.registry.update(name, **change)
        now = {
            "running": known.foreign + known.in_flight,
            "online": known.online,
            "status": known.own_status(),
        }
        known.report(known.reported.revised(**{**now, **change}))

    @rule(name=ids)
    def remove(self, name):
        self.registry.remove(name)
        self.known.pop(name, None)

    @rule(name=ids, report=reports, late=st.sampled_from([0, 0, 0, -10, 10, -31, 31]))
    def worker_heartbeat(self, name, report, late):
        worker = Worker(id=name, url="http://h", **report)
        heartbeat = WorkerHeartbeat(worker=worker, timestamp=self.clock.now() + 1000.0 * late)
        if self.believed(f"worker {name}", heartbeat.timestamp):
            self.registry.worker_heartbeat(heartbeat)
            if name in self.known:
                worker = worker.changed(pool_id=self.known[name].reported.pool_id)
            self.report(worker, beats=True, expires=self.clock.monotonic() + 90.0)
        else:
            self.refused(self.registry.worker_heartbeat, heartbeat)

    @rule(hive=hives, reports=st.dictionaries(ids, reports, max_size=4))
    def hive_heartbeat(self, hive, reports):
        workers = [Worker(id=name, url="http://h", **report) for name, report in reports.items()]
        heartbeat = HiveHeartbeat(hive_id=hive, timestamp=self.clock.now(), workers=workers)
        if not self.believed(f"hive {hive}", heartbeat.timestamp):
            self.refused(self.registry.hive_heartbeat, heartbeat)
            return
        owners = {self.known[name].hive for name in reports if name in self.known}
        if any(self.pools[owner][0].status != "offline" for owner in owners - {"", hive}):
            self.refused(self.registry.hive_heartbeat, heartbeat)
            return
        pool = self.registry.hive_heartbeat(heartbeat)
        self.pools.setdefault(hive, [None, 0.0])[:] = [pool, self.clock.monotonic() + 3.0]
        for name in [n for n, known in self.known.items() if known.hive == hive]:
            if name not in reports:
                del self.known[name]
        for worker in heartbeat.workers:
            expires = self.clock.monotonic() + 3.0
            self.report(worker.changed(pool_id=hive), beats=True, expires=expires)
            self.known[worker.id].hive = hive

    def refused(self, take, heartbeat):
        before = self.registry.snapshot()
        with pytest.raises(HeartbeatRefused):
            take(heartbeat)
        assert before == self.registry.snapshot()

    @rule(seconds=st.sampled_from([0.001, 0.5, 1.0, 2.999, 3.0, 10.0, 90.0]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)
        self.tick()

    @rule(seconds=st.sampled_from([-20, -1, 5]))
    def the_wall_clock_is_set(self, seconds):
        self.clock.set_wall(self.clock.now() + 1000.0 * seconds)

    @rule(name=ids)
    def reserve(self, name):
        known = self.known.get(name)
        free = known is not None and known.shown().free
        reservation = self.registry.reserve(name)
        assert free == (reservation is not None)
        if reservation is not None:
            assert known.shown() == reservation.worker
            known.in_flight += 1
            known.used = self.clock.now()
            self.held.append((reservation, known))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        reservation, known = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        assert reservation.held
        for _ in range(2):  # once is the same as twice
            reservation.release()
            assert not reservation.held
        known.in_flight -= 1  # of a worker that left, and may have come back as another
        known.used = self.clock.now()

    @rule(name=ids, unreachable=st.booleans())
    def failure(self, name, unreachable):
        self.registry.report_failure(name, unreachable=unreachable)
        known = self.known.get(name)
        if known is None or known.cools is not None:
            return
        known.failures = max(known.failures + 1, 2 if unreachable else 0)
        if known.failures >= 2:
            pause = min(2.0 ** (known.failures - 2), 30.0)
            known.cools = self.clock.monotonic() + pause

    @rule(name=ids)
    def success(self, name):
        self.registry.report_success(name)
        if name in self.known:
            self.known[name].failures = 0
            self.known[name].cools = None

    @rule(name=ids, draining=st.booleans())
    def drain(self, name, draining):
        self.registry.drain(name, draining)
        if name in self.known:
            self.known[name].draining = draining

    @precondition(lambda self: len(self.kept) < 4)
    @rule()
    def keep_a_snapshot(self):
        snapshot = self.registry.snapshot()
        self.kept.append((snapshot, everything(snapshot)))

    # ---- what always holds -------------------------------------------------------------------

    @invariant()
    def every_query_gives_the_models_answer(self):
        snapshot = self.registry.snapshot()
        workers = tuple(known.shown() for known in self.known.values())
        pools = tuple(row[0] for row in self.pools.values())
        assert expected_answers(workers, pools) == everything(snapshot)
        assert registry_answers(workers, pools) == [
            len(self.registry),
            *(call(self.registry) for call in CALLS),
        ]
        assert [(k.beats, n) for n, k in self.known.items()] == [
            (self.registry.under_heartbeats(n), n) for n in self.known
        ]

    @invariant()
    def old_snapshots_are_what_they_were(self):
        for snapshot, answers in self.kept:
            assert answers == everything(snapshot)

    @invariant()
    def listeners_know_who_is_there(self):
        assert self.told.keys() == self.known.keys()
        for name, known in self.known.items():
            assert self.told[name][0] == known.online

    @invariant()
    def whoever_became_free_was_announced(self):
        free = {name for name, known in self.known.items() if known.shown().free}
        assert free - self.free_before <= self.announced
        self.free_before = free
        self.announced = set()


def everything(snapshot):
    """All that a snapshot can be asked."""
    answers = [snapshot.workers(), snapshot.pools(), len(snapshot)]
    answers += [snapshot.worker(name) for name in IDS]
    answers += [snapshot.pool(name) for name in HIVES]
    for model in MODELS:
        answers += [snapshot.with_model(model), snapshot.count_with_model(model)]
        for task in TASKS:
            answers += [
                tuple(snapshot.free(model, task)),
                len(snapshot.free(model, task)),
                snapshot.usable(model, task),
                snapshot.count_usable(model, task),
            ]
    return [*answers, *(snapshot.with_capability(task) for task in TASKS)]


def expected_answers(workers, pools):
    answers = [workers, pools, len(workers)]
    answers += [next((w for w in workers if w.id == name), None) for name in IDS]
    answers += [next((p for p in pools if p.id == name), None) for name in HIVES]
    for model in MODELS:
        serving = tuple(w for w in workers if w.serves(model))
        answers += [serving, len(serving)]
        for task in TASKS:
            able = [w for w in serving if task in w.capabilities]
            free = tuple(w for w in able if w.free)
            usable = tuple(w for w in able if w.usable)
            answers += [free, len(free), usable, len(usable)]
    return [*answers, *(tuple(w for w in workers if t in w.capabilities) for t in TASKS)]


CALLS = [
    lambda r: r.find_best_worker_for_model("alpha"),
    lambda r: r.find_idle_workers(),
    lambda r: r.find_workers_with_model("alpha"),
    lambda r: r.find_workers_with_capacity(500.0),
    lambda r: r.list_online_workers(),
    lambda r: r.list_online_hives(),
    lambda r: r.list_available_hives(),
    lambda r: r.get_hive("h0"),
    lambda r: attrs.astuple(r.statistics()),
]


def registry_answers(workers, pools):
    online = tuple(w for w in workers if w.online)
    best = [w for w in workers if w.free and w.serves("a") and "text-gen" in w.capabilities]
    return [
        len(workers),
        min(best, key=lambda w: w.load, default=None),
        tuple(w for w in workers if w.available and not w.running and w.gpu_util_pct == 0),
        tuple(w for w in online if w.serves("a")),
        tuple(w for w in online if w.vram_free_mb >= 500.0),
        online,
        tuple(p for p in pools if p.status != "offline"),
        tuple(p for p in pools if p.status == "healthy"),
        next((p for p in pools if p.id == "h0"), None),
        (
            len(workers),
            len(online),
            sum(w.available for w in workers),
            sum(w.free for w in workers),
            sum(w.in_flight for w in workers),
            len(pools),
        ),
    ]


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
