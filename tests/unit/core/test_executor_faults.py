"""Every way in which a worker can be broken, in both protocols, through the whole scheduler."""

import tracemalloc
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint

from rbee_scheduler import (
    InferenceRequest,
    LimitsConfig,
    LivenessConfig,
    Scheduler,
    SchedulerConfig,
    TimeoutConfig,
    WorkerRegistry,
)
from rbee_scheduler.testing import Dialect, FakeWorker, Fault, Script, VirtualClock


TEXT = Script().text
FIRST_TOKEN, IDLE = 60.0, 20.0
PROTOCOLS = {"openai": Dialect.LLAMACPP, "queen": Dialect.QUEEN}

# The text arrives in full although something is wrong.
HARMLESS = {
    Fault.INFORMATIONAL,
    Fault.HTTP_1_0,
    Fault.CRLF,
    Fault.CR,
    Fault.MULTI_LINE_DATA,
    Fault.COMMENTS_AND_FIELDS,
    Fault.BOM,
    Fault.NO_DONE,
    Fault.TWO_TERMINAL_EVENTS,
    Fault.INVALID_UTF8,
    # [DONE] is there before the framing turns out to be wrong.
    Fault.NO_LAST_CHUNK,
    Fault.LENGTH_TOO_BIG,
    # The chunk swallows the framing of those behind it: lines that no event knows.
    Fault.CHUNK_TOO_BIG,
}

# Strike at the token, and so perhaps after the first one.
AT_TOKEN = {
    Fault.SILENCE_MID_STREAM,
    Fault.CLOSE_MID_STREAM,
    Fault.RESET_MID_STREAM,
    Fault.CHUNK_TOO_SMALL,
    Fault.CHUNK_GARBAGE,
    Fault.CHUNK_TRUNCATED,
    Fault.ENDLESS_LINE,
    Fault.ENDLESS_COMMENTS,
    Fault.ERROR_IN_STREAM,
    Fault.BAD_JSON,
    Fault.WRONG_SHAPE,
}

# Always cut the stream in the middle.
MIDDLE = {Fault.LENGTH_TOO_SMALL}

# Strike before the first token wherever they are put.
BEFORE = set(Fault) - HARMLESS - AT_TOKEN - MIDDLE

SILENT = {
    Fault.SILENCE_BEFORE_HEADERS,
    Fault.SILENCE_AFTER_HEADERS,
    Fault.SILENCE_MID_STREAM,
    Fault.ENDLESS_COMMENTS,
    Fault.SLOW_DRIP,
}

# Queen workers send bare text: there is no JSON to be broken, and what comes is the text.
QUEEN_TEXT = {
    Fault.BAD_JSON: lambda token: token[: len(token) // 2],
    Fault.WRONG_SHAPE: lambda _: '{"choices":{"0":["delta",null]},"token":[],"job_id":{}}',
    Fault.MULTI_LINE_DATA: None,
}


# Of what the collector finds, trio, asyncio and sockets warn; and warnings are errors.
pytestmark = pytest.mark.usefixtures("nothing_left_to_the_garbage_collector")


class House:
    """A scheduler on a virtual clock, with a broken worker before a sound one."""

    def __init__(self, protocol, script, stack):
        self.clock = VirtualClock()
        self.protocol = protocol
        self.broken = FakeWorker(
            script, dialect=PROTOCOLS[protocol], sleep=self.clock.sleep, model="m"
        )
        self.sound = FakeWorker(rest_of_the_story, dialect=PROTOCOLS[protocol], model="m")
        self.registry = WorkerRegistry(clock=self.clock, liveness=LivenessConfig(failures=1))
        self.config = SchedulerConfig(
            timeout=TimeoutConfig(first_token=FIRST_TOKEN, idle=IDLE, cancel=1.0),
            limits=LimitsConfig(max_line_bytes=64 * 1024, max_answer_bytes=64 * 1024),
        )
        self.scheduler = Scheduler(self.registry, [], self.config)
        self.outcomes = []
        self.stack = stack

    async def open(self):
        await self.stack.enter_async_context(self.broken)
        await self.stack.enter_async_context(self.sound)
        await self.stack.enter_async_context(self.scheduler)
        for name, worker in (("broken", self.broken), ("sound", self.sound)):
            self.registry.add_url(worker.url, id=name, model="m", slots=2, protocol=self.protocol)

    async def run(self, *, silent=False, tokens=0, **fields):
        """Run a request; time passes only while the broken worker keeps silent."""
        request = InferenceRequest(
            job_id="j", model="m", prompt="Tell!", max_tokens=100, temperature=0, **fields
        )
        events = []
        async with anyio.create_task_group() as tasks:
            if silent:
                tasks.start_soon(self.let_time_pass, events, tokens)
            async with self.scheduler.stream(request) as stream:
                async for event in stream:
                    events.append(event)  # noqa: PERF401 - others look at it meanwhile
            tasks.cancel_scope.cancel()
        return events

    async def let_time_pass(self, events, tokens):
        """From so many tokens on until the scheduler gives up; the sound worker costs no time."""
        await self.broken.wait_for_requests(1)
        while sum(event.type == "token" for event in events) < tokens:
            await checkpoint()
        while len(started(events)) < 2 and not ended(events):
            self.clock.advance(1.0)
            for _ in range(4):
                await checkpoint()

    def check_all_is_given_back(self):
        assert [
            self.registry.snapshot().worker(name).in_flight for name in ("broken", "sound")
        ] == [0, 0]
        assert not self.scheduler._active
        assert len(self.scheduler._placement.queue) == 0
        assert sum(self.scheduler.statistics().outcomes.values()) == 1


def rest_of_the_story(seen):
    """What a model would answer: what is missing after the prompt."""
    told = seen.json["prompt"].removeprefix("Tell!")
    tokens = list(Script().tokens)
    while told:
        told = told.removeprefix(tokens.pop(0))
    return Script(tokens=tuple(tokens))


@asynccontextmanager
async def house(protocol, **script):
    async with AsyncExitStack() as stack:
        opened = House(protocol, Script(**script), stack)
        await opened.open()
        yield opened


def slow(fault):
    return {"delay": 1.0} if fault is Fault.SLOW_DRIP else {}


def ended(events):
    return bool(events) and events[-1].type in {"end", "error"}


def text_of(events):
    return "".join(event.text for event in events if event.type == "token")


def started(events):
    return [event.worker_id for event in events if event.type == "started"]


def check_order(events):
    """started (+ token* metrics*)+ and exactly one terminal event."""
    kinds = [event.type for event in events]
    assert kinds[0] in {"queued", "started"}
    assert kinds[-1] in {"end", "error"}
    assert not {"end", "error"} & set(kinds[:-1])
    assert kinds.index("started") < min(
        (kinds.index(kind) for kind in ("token", "metrics") if kind in kinds), default=99
    )


def queen_text(fault, tokens, place):
    tokens = list(tokens)
    if fault is Fault.MULTI_LINE_DATA:
        return "".join(token[:1] + "\n" + token[1:] for token in tokens)
    tokens[place] = QUEEN_TEXT[fault](tokens[place])
    return "".join(tokens)


def expected_text(fault, protocol, place):
    tokens = list(Script().tokens)
    if fault is Fault.INVALID_UTF8:
        tokens[place] = "\ufffd" + tokens[place]
    if protocol == "queen" and fault in QUEEN_TEXT:
        return queen_text(fault, tokens, place)
    return "".join(tokens)


def is_harmless(fault, protocol):
    return fault in HARMLESS or (protocol == "queen" and fault in QUEEN_TEXT)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fault", [f for f in Fault if f not in MIDDLE], ids=lambda f: f.name)
async def test_before_the_first_token_another_worker_takes_over(fault, protocol):
    async with house(protocol, fault=fault, fault_after=0, **slow(fault)) as at:
        events = await at.run(silent=fault in SILENT)
        check_order(events)
        assert events[-1].type == "end", events[-1]
        if is_harmless(fault, protocol):
            assert started(events) == ["broken"]
            assert expected_text(fault, protocol, 0) == text_of(events)
        else:
            assert started(events) == ["broken", "sound"]
            assert text_of(events) == TEXT
            assert events[-1].outcome.attempts == 2
            assert (
                at.registry.snapshot().worker("broken").status == "failed"
            )  # LivenessConfig.failures=1
        assert events[-1].outcome.worker_id == started(events)[-1]
        await at.broken.wait_until_idle()
        at.check_all_is_given_back()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fault", [f for f in Fault if f not in BEFORE], ids=lambda f: f.name)
async def test_after_the_first_token_the_stream_ends_with_one_error(fault, protocol):
    async with house(protocol, fault=fault, fault_after=2) as at:
        events = await at.run(silent=fault in SILENT, tokens=2)
        check_order(events)
        assert started(events) == ["broken"]
        if is_harmless(fault, protocol):
            assert events[-1].type == "end", events[-1]
            assert expected_text(fault, protocol, 2) == text_of(events)
        else:
            assert events[-1].type == "error"
            told = text_of(events)
            assert TEXT.startswith(told)
            assert told != TEXT
            assert told == " once upon" or fault in MIDDLE
            assert events[-1].error.worker_id == "broken"
            assert events[-1].outcome.error is events[-1].error
            wanted = "timeout" if fault in SILENT else "error"
            assert events[-1].outcome.kind == wanted
        assert len(at.sound.requests) == 0
        await at.broken.wait_until_idle()
        at.check_all_is_given_back()


@pytest.mark.parametrize(
    ("fault", "protocol"),
    [
        (fault, protocol)
        for fault in sorted(AT_TOKEN | MIDDLE, key=str)
        for protocol in PROTOCOLS
        if not is_harmless(fault, protocol)
    ],
    ids=lambda value: getattr(value, "name", value),
)
async def test_after_the_first_token_another_worker_goes_on_where_it_may(fault, protocol):
    async with house(protocol, fault=fault, fault_after=2) as at:
        events = await at.run(silent=fault in SILENT, tokens=2, resume=True)
        check_order(events)
        assert text_of(events) == TEXT
        assert events[-1].type == "end"
        assert started(events) == ["broken", "sound"]
        # Six pieces in all; what came before is not asked for again.
        before = [event.type for event in events][1:].index("started")
        body = at.sound.requests[0].json
        assert body["max_tokens"] == 100 - before
        if protocol == "openai":
            assert events[-1].outcome.usage.completion_tokens == 6
        at.check_all_is_given_back()


@pytest.mark.parametrize("fault", Fault, ids=lambda f: f.name)
async def test_a_job_that_can_not_be_handed_in_goes_to_another_worker(fault):
    """The queen protocol's first answer is broken; its stream would be fine."""
    async with house("queen", fault=fault, fault_after=0, on_submit=True, **slow(fault)) as at:
        events = await at.run(silent=fault in SILENT)
        check_order(events)
        assert text_of(events) == TEXT
        assert events[-1].type == "end"
        fine = HARMLESS - {
            Fault.INVALID_UTF8,
            Fault.NO_LAST_CHUNK,
            Fault.LENGTH_TOO_BIG,
            Fault.CHUNK_TOO_BIG,
        }
        assert started(events) == (["broken"] if fault in fine else ["broken", "sound"])
        at.check_all_is_given_back()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "fault",
    [Fault.ENDLESS_LINE, Fault.ENDLESS_COMMENTS, Fault.ERROR_ENDLESS, Fault.HUGE_HEADERS],
    ids=lambda f: f.name,
)
async def test_a_hostile_worker_costs_no_memory(fault, protocol):
    async with house(protocol, fault=fault, fault_after=0) as at:
        await at.run(silent=fault in SILENT)  # imports, caches
        at.registry.report_success("broken")
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            events = await at.run(silent=fault in SILENT)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert text_of(events) == TEXT
        assert peak - before < 4 * 1024 * 1024


def test_the_table_has_every_fault():
    assert len(Fault) == 43
    assert not HARMLESS & AT_TOKEN
