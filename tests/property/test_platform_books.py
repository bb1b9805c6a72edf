"""Whatever is cancelled, refused, cut or lost in between: the platform's books balance.

A run is drawn as data, and played on a virtual clock through the real scheduler with the
platform's plugin, over a store in memory that fails when the play says so.
"""

import logging
import sqlite3
from contextlib import aclosing, closing, suppress
from random import Random

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbee_scheduler import (
    InferenceRequest,
    RetryConfig,
    Scheduler,
    SchedulerConfig,
    SchedulerError,
    TimeoutConfig,
    Worker,
    WorkerCommunicationFailed,
    WorkerRegistry,
)
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport, completion
from rbee_scheduler_platform import Platform, PlatformOptions, Quotas, Tenant
from rbee_scheduler_platform._errors import StoreUnavailable
from rbee_scheduler_platform._lifespan import at_work
from rbee_scheduler_platform._store._books import check_books
from rbee_scheduler_platform._store._schema import migrate
from rbee_scheduler_platform._store._seal import Sealer, new_key
from rbee_scheduler_platform._store._sql_store import SqlStore
from rbee_scheduler_platform._store._sqlite import SqliteDatabase
from rbee_scheduler_platform._store._writer import Ticket


WAYS = ("read", "break", "cancel", "scope")
ANSWERS = ("fine", "fine", "refused", "status 500", "cut", "hangs")
HELD = ("requests_per_minute", "max_concurrent_jobs", "output_tokens_per_minute")


@attrs.frozen
class Ask:
    """One request, and how it is given up."""

    tenant: int = 0
    start: int = 0  # tenths of a second
    way: str = "read"
    step: int = 0
    priority: str = "interactive"
    only_asked: bool = False  # `Scheduler.schedule`: nothing runs


@attrs.frozen
class Play:
    asks: list[Ask]
    answers: list[str]
    failures: list[bool]  # of the store, change by change
    slots: list[int]
    rate: int
    most: int
    hold: tuple[str, ...]


PLAYS = st.builds(
    Play,
    asks=st.lists(
        st.builds(
            Ask,
            tenant=st.integers(0, 2),
            start=st.integers(0, 20),
            way=st.sampled_from(WAYS),
            step=st.integers(0, 12),
            priority=st.sampled_from(("interactive", "batch")),
            only_asked=st.booleans(),
        ),
        min_size=1,
        max_size=10,
    ),
    answers=st.lists(st.sampled_from(ANSWERS), max_size=12),
    failures=st.lists(st.booleans(), max_size=30) | st.just([]),
    slots=st.lists(st.integers(1, 2), min_size=1, max_size=2),
    rate=st.integers(1, 6),
    most=st.integers(1, 3),
    hold=st.lists(st.sampled_from(HELD), unique=True, max_size=2).map(tuple),
)


class MemoryStore(SqlStore):
    """A store whose changes are made at once, or fail."""

    def __init__(self, failures):
        super().__init__(lambda *, write: None, Sealer(key=new_key()))
        connection = sqlite3.connect(":memory:", isolation_level=None)
        self.database = SqliteDatabase(connection, "memory")
        migrate(self.database, "sqlite", "memory")
        self.failures = iter(())
        self.planned = failures
        self.platform = None

    def fail_from_now_on(self):
        self.failures = iter(self.planned)

    def fail_no_more(self):
        self.failures = iter(())

    def post(self, operation):
        ticket = Ticket(operation)
        if next(self.failures, False):
            result = StoreUnavailable("the disk is full")
        else:
            (result,) = self.database.transact([operation])
        unheard = ticket.end(result)
        if unheard is not None:
            self.platform.store_failed(unheard)
        return ticket

    async def read(self, query):
        return self.database.read(query)


class Theatre:
    """Plays one play."""

    def __init__(self, play):
        self.play = play
        self.answers = iter(play.answers)
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(clock=self.clock)
        for n, slots in enumerate(play.slots):
            self.registry.add(Worker(id=f"w{n}", url=f"http://w{n}", model="m", slots=slots))
        self.store = MemoryStore(play.failures)
        options = PlatformOptions(store="memory", token_memory_kib=8, token_passes=1)
        self.platform = self.store.platform = Platform("platform", options)
        self.scheduler = Scheduler(
            self.registry,
            [self.platform],
            SchedulerConfig(
                timeout=TimeoutConfig(first_token=2.0, idle=1.0, total=20.0),
                retry=RetryConfig(max_attempts=3, initial_delay=0.1),
            ),
            transport=MemoryTransport(self.answer),
        )

    def close(self):
        self.store.database.close()

    async def answer(self, _):
        act = next(self.answers, "fine")
        if act == "refused":
            raise WorkerCommunicationFailed("refused")
        if act == "hangs":
            await anyio.sleep_forever()
        if act.startswith("status"):
            return MemoryResponse(status=500)
        tokens = list(completion(["a", "b"], done=act == "fine"))
        steps = [step for token in tokens for step in (lambda: self.clock.sleep(0.1), token)]
        if act == "cut":
            steps.append(WorkerCommunicationFailed("cut"))
        return MemoryResponse(steps)

    async def ask(self, number, ask):
        await self.clock.sleep(ask.start / 10)
        request = InferenceRequest(
            job_id=f"j{number}",
            model="m",
            prompt="Hi",
            max_tokens=4,
            tenant_id=f"t{ask.tenant}",
            priority=ask.priority,
        )
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                if ask.way in {"cancel", "scope"}:
                    tasks.start_soon(self.give_up, ask, request.job_id, scope)
                if ask.only_asked:
                    await self.only_ask(request)
                else:
                    await self.read(ask, request)
                tasks.cancel_scope.cancel()

    async def only_ask(self, request):
        with suppress(SchedulerError):  # how it ends is not the point
            await self.scheduler.schedule(request)

    async def read(self, ask, request):
        async with self.scheduler.stream(request) as events, aclosing(aiter(events)) as each:
            seen = 0
            async for _ in each:
                if ask.way == "break" and seen == ask.step:
                    break
                seen += 1

    async def give_up(self, ask, job_id, scope):
        await self.clock.sleep(ask.step / 10)
        if ask.way == "scope":
            scope.cancel()
        else:
            self.scheduler.cancel(job_id)

    async def play_it(self):
        quotas = Quotas(
            requests_per_minute=self.play.rate,
            output_tokens_per_minute=40,
            tokens_daily=1000,
            max_concurrent_jobs=self.play.most,
            hold=self.play.hold,
        )
        for n in range(3):
            await self.store.put_tenant(Tenant(id=f"t{n}", weight=n + 1.0, quotas=quotas))
        async with at_work(
            self.platform, self.store, clock=self.clock, rng=Random(1), digest="d"
        ) as runtime:
            self.store.fail_from_now_on()
            async with anyio.create_task_group() as jump:
                jump.start_soon(self.clock.autojump)
                async with anyio.create_task_group() as tasks:
                    for number, ask in enumerate(self.play.asks):
                        tasks.start_soon(self.ask, number, ask)
                jump.cancel_scope.cancel()
            self.store.fail_no_more()
            await runtime.sign_of_life()
            runtime.ledger.look()
            self.check(runtime)
        await self.scheduler.aclose()
        await self.check_store()

    def check(self, runtime):
        assert runtime.charges == {}
        assert len(runtime.capacity.flights) == 0
        assert runtime.order._running == {}
        assert runtime.order._weights == 0.0
        assert runtime.book.snapshot()["bookings"] == []
        for n in range(3):
            assert runtime.book.jobs(f"t{n}") == 0
            for priority in ("interactive", "batch"):
                assert runtime.order.waiting(priority, f"t{n}") == 0
        assert [worker.in_flight for worker in self.registry.snapshot().workers()] == [
            0 for _ in self.play.slots
        ]
        daily = {
            f"t{n}": 1000 - limit.remaining
            for n in range(3)
            for limit in runtime.book.rate_limits(runtime.directory.view.tenants[f"t{n}"])
            if limit.name == "tokens_daily"
        }
        for record in self.database_usage():
            tokens = record[2] + record[3]
            assert daily[record[0]] == tokens  # memory and store say the same

    def database_usage(self):
        return self.store.database.read(
            lambda db: db.rows("SELECT tenant, requests, input_tokens, output_tokens FROM usage")
        )

    async def check_store(self):
        database = self.store.database
        assert await self.store.charges(state="open") == []
        assert database.read(check_books) == []
        charges = await self.store.charges()
        records = database.read(lambda db: db.rows("SELECT body FROM audit ORDER BY seq"))
        kinds = [body.split(b'"kind":"')[1].split(b'"')[0] for (body,) in records]
        assert kinds.count(b"admission") == len(charges)
        assert kinds.count(b"outcome") >= len(charges)
        database.close()


@pytest.fixture(autouse=True)
def quiet(caplog):
    logging.getLogger("rbee_scheduler").setLevel("CRITICAL")
    logging.getLogger("rbee_scheduler.platform").setLevel("CRITICAL")
    yield
    logging.getLogger("rbee_scheduler").setLevel("NOTSET")
    logging.getLogger("rbee_scheduler.platform").setLevel("NOTSET")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60)
@given(play=PLAYS)
def test_the_books_balance(backend, play):
    with closing(Theatre(play)) as theatre:
        anyio.run(theatre.play_it, backend=backend)


def test_a_play_admits_and_denies():
    """The plays above are no empty ones."""
    play = Play(
        asks=[Ask(start=n) for n in range(4)],
        answers=[],
        failures=[],
        slots=[1],
        rate=2,
        most=3,
        hold=(),
    )
    kept = []
    with closing(Theatre(play)) as theatre:

        async def check_store():
            kept.extend(await theatre.store.charges())

        theatre.check_store = check_store
        anyio.run(theatre.play_it)
    assert [charge.state for charge in kept] == ["settled", "settled"]
    assert kept[0].used.output_tokens == 2
