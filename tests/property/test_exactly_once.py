"""Whatever is cancelled, killed or raised in between: everything held is given back, once.

A run is drawn as data: workers that break, plugins that deny, raise or hang, and requests
that are left, cancelled or late. It is played on a virtual clock over a transport in memory,
so that hypothesis can make it smaller, and the same draw plays the same way.
"""

from collections import Counter

import anyio
import attrs
import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

from rbee_scheduler import (
    Allow,
    Deny,
    HttpCall,
    InferenceRequest,
    LimitsConfig,
    LivenessConfig,
    QueueConfig,
    RetryConfig,
    Scheduler,
    SchedulerConfig,
    SchedulerError,
    TimeoutConfig,
    Wait,
    Worker,
    WorkerCommunicationFailed,
    WorkerError,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport, completion


HOOKS = ("fine", "raises", "slow", "hangs")
ANSWERS = ("fine", "refused", "status 500", "status 400", "cut", "silent", "hangs", "bug")
WAYS = ("read", "break", "cancel", "scope", "handler")
LANES = ("", "", "", "leaves out", "wakes", "raises")


@attrs.frozen
class Ask:
    """One request, and how it is given up."""

    start: int = 0  # steps of a tenth of a second
    way: str = "read"
    step: int = 0  # the event, or the tenth of a second, at which it is given up
    session: bool = False
    resume: bool = False
    deadline: int | None = None
    hold: bool = False  # a relay holds a worker, instead of a stream of events


@attrs.frozen
class Play:
    asks: list[Ask]
    answers: list[str]  # of the workers, in the order in which they are asked
    quotas: list[str]
    reserves: list[str]
    releases: list[str]
    selects: list[str]
    lanes: list[str]  # what an order of a lane does each time it is called
    is_async: list[bool]
    slots: list[int]
    capacity: int
    leaves: int | None  # the tenth of a second at which a worker is removed


ASKS = st.builds(
    Ask,
    start=st.integers(0, 20),
    way=st.sampled_from(WAYS),
    step=st.integers(0, 12),
    session=st.booleans(),
    resume=st.booleans(),
    deadline=st.none() | st.integers(0, 4000),
    hold=st.booleans(),
)
PLAYS = st.builds(
    Play,
    asks=st.lists(ASKS, min_size=1, max_size=8),
    answers=st.lists(st.sampled_from(ANSWERS), max_size=16),
    quotas=st.lists(st.sampled_from(("fine", "fine", "fine", *HOOKS, "denies")), max_size=8),
    reserves=st.lists(st.sampled_from(HOOKS), max_size=8),
    releases=st.lists(st.sampled_from(HOOKS), max_size=8),
    selects=st.lists(st.sampled_from(("", "", "waits", "raises")), max_size=8),
    lanes=st.none().map(lambda _: ["no order"]) | st.lists(st.sampled_from(LANES), max_size=16),
    is_async=st.lists(st.booleans(), min_size=3, max_size=3),
    slots=st.lists(st.integers(1, 2), min_size=1, max_size=3),
    capacity=st.integers(-1, 2),
    leaves=st.none() | st.integers(0, 30),
)


class Charge:
    def __init__(self, failing):
        self.failing = failing
        self.ended = []

    def streamed(self, tokens):
        assert self.ended == []
        if self.failing:
            raise LookupError

    def settle(self, outcome):
        self.ended.append("settle")
        if self.failing:
            raise LookupError

    def refund(self):
        self.ended.append("refund")
        if self.failing:
            raise LookupError


class Books:
    """A plugin whose hooks do what the play says, and which books what it is told."""

    def __init__(self, number, theatre):
        self.number = number
        self.theatre = theatre
        self.charges = []

    def draw(self, acts):
        return self.theatre.draw(acts, "fine")

    def check_quota(self, request, act):
        if act == "raises":
            raise LookupError
        if act == "denies":
            return Deny("spent")
        self.charges.append((request.id, Charge(failing=self.number == 1)))
        return Allow(self.charges[-1][1])

    def reserve(self, request, worker):
        act = self.draw("reserves")
        if act == "raises":
            raise LookupError
        return act

    def note(self, what, request, worker):
        self.theatre.log.append((what, self.number, request.id, worker.id))

    async def pause(self, act):
        if act != "fine":
            await self.theatre.clock.sleep(0.3 if act == "slow" else 1e9)


class SyncBooks(Books):
    @hookimpl
    def rbee_check_quota(self, request):
        return self.check_quota(request, self.draw("quotas"))

    @hookimpl
    def rbee_reserve(self, request, worker):
        self.reserve(request, worker)
        self.note("reserve", request, worker)

    @hookimpl
    def rbee_release(self, request, worker, outcome):
        self.note("release", request, worker)
        if self.draw("releases") == "raises":
            raise LookupError


class AsyncBooks(Books):
    @hookimpl
    async def rbee_check_quota(self, request):
        act = self.draw("quotas")
        await self.pause(act if act in {"slow", "hangs"} else "fine")
        return self.check_quota(request, act)

    @hookimpl
    async def rbee_reserve(self, request, worker):
        await self.pause(self.reserve(request, worker))
        self.note("reserve", request, worker)

    @hookimpl
    async def rbee_release(self, request, worker, outcome):
        self.note("release", request, worker)
        act = self.draw("releases")
        if act == "raises":
            raise LookupError
        await self.pause(act)


class Watch:
    """A plugin that selects, and counts outcomes."""

    def __init__(self, theatre):
        self.theatre = theatre
        self.admitted = Counter()
        self.outcomes = Counter()

    @hookimpl
    def rbee_select_worker(self, request, candidates):
        act = self.theatre.draw("selects", "")
        if act == "raises":
            raise LookupError
        return Wait(retry_after=0.2) if act == "waits" else None

    @hookimpl
    def rbee_filter_workers(self, request, candidates):
        return {w.id: "pinned" for w in candidates if request.session_id and w.id != "w0"}

    @hookimpl
    def rbee_order_lane(self, wake):
        if "no order" in self.theatre.play.lanes:
            return None
        return Lane(self.theatre, wake)

    @hookimpl
    def rbee_on_event(self, event):
        if event.kind == "admitted":
            self.admitted[event.job_id] += 1
        elif event.kind == "outcome":
            self.outcomes[event.job_id] += 1


class Lane:
    """An order, newest first, which does what the play says."""

    def __init__(self, theatre, wake):
        self.theatre = theatre
        self.wake = wake
        self.jobs = {}

    def act(self):
        act = self.theatre.draw("lanes", "")
        if act == "raises":
            raise LookupError
        if act == "wakes":
            self.wake()
        return act

    def add(self, request):
        assert request.id not in self.jobs
        self.jobs[request.id] = None
        self.act()

    def remove(self, request):
        del self.jobs[request.id]
        self.act()

    def __iter__(self):
        if self.act() != "leaves out":
            yield from reversed(self.jobs)


class Theatre:
    """Plays one play."""

    def __init__(self, play):
        self.play = play
        self.acts = {name: iter(getattr(play, name)) for name in attrs.asdict(play, recurse=False)
                     if isinstance(getattr(play, name), list)}  # fmt: skip
        self.log = []
        self.endings = {}
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(
            clock=self.clock, liveness=LivenessConfig(failures=2, cooldown=0.5)
        )
        for n, slots in enumerate(play.slots):
            self.registry.add(Worker(id=f"w{n}", url=f"http://w{n}", model="m", slots=slots))
        kinds = [AsyncBooks if kind else SyncBooks for kind in play.is_async]
        self.books = [kind(number, self) for number, kind in enumerate(kinds)]
        self.watch = Watch(self)
        self.transport = MemoryTransport(self.answer)
        self.scheduler = Scheduler(
            self.registry,
            [*self.books, self.watch],
            SchedulerConfig(
                timeout=TimeoutConfig(first_token=2.0, idle=1.0, total=20.0),
                retry=RetryConfig(max_attempts=3, initial_delay=0.1),
                queue=QueueConfig(capacity=play.capacity, timeout=3.0),
                limits=LimitsConfig(hook_timeout=1.0),
            ),
            transport=self.transport,
        )

    def draw(self, acts, default):
        return next(self.acts[acts], default)

    async def answer(self, call):
        act = self.draw("answers", "fine")
        if act == "bug":
            raise LookupError("a bug in a transport")
        if act == "refused":
            raise WorkerCommunicationFailed("refused")
        if act == "hangs":
            await anyio.sleep_forever()
        if act.startswith("status"):
            return MemoryResponse(status=int(act[-3:]))
        tokens = list(completion(["a", "b"], done=act == "fine"))
        steps = [step for token in tokens for step in (lambda: self.clock.sleep(0.1), token)]
        if act == "cut":
            steps.append(WorkerCommunicationFailed("cut"))
        elif act == "silent":
            steps.append(anyio.sleep_forever)
        return MemoryResponse(steps)

    async def ask(self, number, ask):
        await self.clock.sleep(ask.start / 10)
        job_id = f"j{number}"
        request = InferenceRequest(
            job_id=job_id,
            model="m",
            prompt="Hi",
            resume=ask.resume,
            session_id="s" if ask.session else None,
            deadline_ms=ask.deadline,
        )
        kinds = self.endings[job_id] = []
        try:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    if ask.way in {"cancel", "scope"}:
                        tasks.start_soon(self.give_up, ask, job_id, scope)
                    if ask.hold:
                        await self.relay(ask, request, kinds)
                    else:
                        await self.read(ask, request, kinds)
                    tasks.cancel_scope.cancel()
        except* LookupError:
            kinds.append("raised")

    def goes_on(self, ask, kinds):
        """Return whether the caller wants more; it may raise instead."""
        if len(kinds) > ask.step and ask.way == "handler":
            raise LookupError("a handler's")
        return len(kinds) <= ask.step or ask.way != "break"

    async def read(self, ask, request, kinds):
        async with self.scheduler.stream(request) as events:
            async for event in events:
                kinds.append(event.type)
                if not self.goes_on(ask, kinds):
                    break

    async def relay(self, ask, request, kinds):
        held = self.scheduler.hold(request, on_queued=lambda _: kinds.append("queued"))
        try:
            async with held:
                while True:
                    begun = len(kinds)
                    try:
                        with held.attempt() as attempt:
                            if not await self.pass_on(ask, held, attempt, kinds):
                                return
                        break
                    except (WorkerCommunicationFailed, WorkerError) as failure:
                        await held.failed(failure, can_go_on=len(kinds) == begun or ask.resume)
                if ask.session:
                    held.succeeded()
                else:
                    held.ended(WorkerError("told in the worker's own words"))
            kinds.append("end")
        except SchedulerError:
            kinds.append("error")
        finally:
            if held.outcome is not None:
                assert self.watch.outcomes[request.id] == 1

    async def pass_on(self, ask, held, attempt, kinds):
        response = await self.transport.open(HttpCall(method="POST", url=held.worker.url))
        try:
            if response.status >= 400:
                raise WorkerError("refused", status=response.status)
            while await response.read() is not None:
                attempt.expect(1.0)
                held.streamed(1)
                kinds.append("token")
                if not self.goes_on(ask, kinds):
                    return False
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
        return True

    async def give_up(self, ask, job_id, scope):
        await self.clock.sleep(ask.step / 10)
        if ask.way == "scope":
            scope.cancel()
        else:
            self.scheduler.cancel(job_id)

    async def let_time_pass(self):
        """Jump from timer to timer; nobody may wait for something that has no limit."""
        while self.clock.next_timer is not None or await self.is_busy():
            await self.clock.run_for(self.clock.next_timer or 0.0)
        raise AssertionError("somebody waits for ever")

    async def is_busy(self):
        await self.clock.run_for(0.0)
        return self.clock.next_timer is not None

    async def run(self):
        async with anyio.create_task_group() as world:
            world.start_soon(self.let_time_pass)
            async with anyio.create_task_group() as tasks:
                for number, ask in enumerate(self.play.asks):
                    tasks.start_soon(self.ask, number, ask)
                if self.play.leaves is not None:
                    await self.clock.sleep(self.play.leaves / 10)
                    self.registry.remove("w0")
            world.cancel_scope.cancel()

    def check(self):
        workers = self.registry.snapshot().workers()
        assert {0} >= {worker.in_flight for worker in workers}
        assert len(self.scheduler._placement.queue) == 0
        assert self.scheduler._waiting._orders._kept == {}
        assert not self.scheduler._active
        assert all(response.closed == 1 for response in self.transport.responses)
        for books in self.books:
            for _, charge in books.charges:
                assert len(charge.ended) == 1
        assert set(self.watch.admitted.values()) <= {1}
        assert set(self.watch.outcomes.values()) <= {1}
        assert set(self.watch.admitted) <= set(self.watch.outcomes)
        counted = self.scheduler.statistics().outcomes
        assert sum(counted.values()) == sum(self.watch.outcomes.values())
        for kinds in self.endings.values():
            terminal = [kind for kind in kinds if kind in {"end", "error"}]
            assert len(terminal) <= 1
            assert not terminal or kinds[-1] in {*terminal, "raised"}
        for number in range(len(self.play.asks)):
            self.check_brackets([entry for entry in self.log if entry[2] == f"j{number}"])

    def check_brackets(self, log):
        """Releases match reserves, in reverse order, before the next worker is tried."""
        held = []
        for what, number, _, worker in log:
            if what == "reserve":
                assert not held or (held[-1][1] == worker and held[-1][0] < number)
                held.append((number, worker))
            else:
                assert (number, worker) == held.pop()
        assert held == []


@seed(20261123)
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(PLAYS)
def test_everything_is_given_back_once(play):
    # Both here, because a play takes as long to draw as to run.
    for backend in ("asyncio", "trio"):
        note(backend)
        theatre = Theatre(play)
        anyio.run(theatre.run, backend=backend)
        theatre.check()


CORNERS = [
    # A hook that hangs is left at its limit, and the next worker tried.
    {"reserves": ["fine", "hangs"], "is_async": [True, True, True]},
    # Its releases hang too, each for its own limit.
    {"releases": ["hangs"] * 3, "is_async": [True, True, True]},
    # Cancelled in the middle of both.
    {"reserves": ["slow"], "is_async": [True] * 3, "asks": [Ask(way="scope", step=2)]},
    {"releases": ["slow"], "is_async": [True] * 3, "asks": [Ask(way="scope", step=4)]},
    # Each worker fails in its own way, after text.
    {"answers": ["cut", "silent", "fine"], "asks": [Ask(resume=True)]},
    # The only worker leaves while jobs wait.
    {"slots": [1], "leaves": 1, "asks": [Ask()] * 3},
    # The same for relays, among them one whom the order of its lane leaves out for good.
    {"answers": ["cut", "silent", "fine"], "asks": [Ask(hold=True, resume=True)]},
    {"reserves": ["slow"], "is_async": [True] * 3, "asks": [Ask(hold=True, way="scope", step=2)]},
    {"slots": [1], "asks": [Ask(hold=True)] * 3, "lanes": ["leaves out"] * 50},
    {"slots": [1], "asks": [Ask(hold=True), Ask()] * 2, "lanes": ["", "", "raises"]},
    # A quota check is left at its limit.
    {"quotas": ["fine", "hangs"], "is_async": [True] * 3},
]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("corner", CORNERS, ids=range(len(CORNERS)))
def test_corners(corner, backend):
    plain = {
        "asks": [Ask()],
        "answers": [],
        "quotas": [],
        "reserves": [],
        "releases": [],
        "selects": [],
        "lanes": ["no order"],
        "is_async": [False] * 3,
        "slots": [1, 1],
        "capacity": -1,
        "leaves": None,
    }
    theatre = Theatre(Play(**plain | corner))
    anyio.run(theatre.run, backend=backend)
    theatre.check()
