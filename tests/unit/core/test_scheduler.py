"""The scheduler as its users see it."""

import json
import logging

import anyio
import pytest

from rbee_scheduler import (
    Allow,
    Catalog,
    ConfigError,
    DeadlineExceeded,
    Deny,
    InferenceRequest,
    InvalidRequest,
    LimitsConfig,
    LivenessConfig,
    ModelInfo,
    NoWorkersAvailable,
    PromptTooLarge,
    QuotaExceeded,
    Rejected,
    RetryConfig,
    Scheduler,
    SchedulerConfig,
    ScheduleResult,
    TimeoutConfig,
    Usage,
    Worker,
    WorkerCommunicationFailed,
    WorkerError,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import Dialect, FakeWorker, Fault, Gate, Script, VirtualClock
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport, completion
from rbee_scheduler_simple import SimpleScheduler


# Of what the collector finds, trio, asyncio and sockets warn; and warnings are errors.
pytestmark = pytest.mark.usefixtures("nothing_left_to_the_garbage_collector")


def request(**fields):
    return InferenceRequest(**{"job_id": "job-123", "model": "m", "prompt": "Hi"} | fields)


async def run(scheduler, asked=None):
    async with scheduler.stream(asked or request()) as events:
        return [event async for event in events]


def answering(*responses):
    """A transport that gives these answers in turn, exceptions included."""
    following = iter(responses)

    async def answer(call):
        response = next(following)
        if isinstance(response, Exception):
            raise response
        return response

    return MemoryTransport(answer)


def memory(*responses, workers=1, plugins=(), clock=None, liveness=None, **config):
    """A scheduler over workers in memory."""
    registry = WorkerRegistry(clock=clock or VirtualClock(), liveness=liveness)
    for n in range(workers):
        registry.add(Worker(id=f"w{n}", url=f"http://w{n}", model="m", slots=2))
    return Scheduler(
        registry, list(plugins), SchedulerConfig(**config), transport=answering(*responses)
    )


def story(**options):
    return MemoryResponse(completion(["a", "b"]), **options)


# As the seed writes it


async def test_the_seeds_usage(capsys):
    async with FakeWorker(model="meta-llama/Llama-3-8b") as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="meta-llama/Llama-3-8b", device="cuda:0")
        scheduler = SimpleScheduler(registry)
        asked = InferenceRequest(
            job_id="job-123",
            model="meta-llama/Llama-3-8b",
            prompt="Hello!",
            max_tokens=20,
            temperature=0.7,
        )
        result = await scheduler.schedule(asked)
        outcome = await scheduler.execute_inference(result, asked, print)
        await scheduler.aclose()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(Script().tokens) + 3  # the reason for ending, usage, [DONE]
    assert all(line.startswith("{") for line in lines[:-1])
    assert lines[-1] == "[DONE]"
    assert (outcome.kind, outcome.worker_id) == ("success", f"127.0.0.1:{worker.port}")
    assert outcome.usage == Usage(prompt_tokens=7, completion_tokens=6)
    assert outcome.finish_reason == "stop"
    assert {
        "worker_id": f"127.0.0.1:{worker.port}",
        "worker_url": worker.url,
        "worker_port": worker.port,
        "model": "meta-llama/Llama-3-8b",
        "device": "cuda:0",
        "fallbacks": (),
        "strategy": "simple",
        "selected_by": "simple",
    } == {name: getattr(result, name) for name in result.__class__.__slots__ if name[0] != "_"}


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_handler_gets_every_line_of_a_queen_worker(kind):
    lines = []

    async def later(line):
        await anyio.lowlevel.checkpoint()
        lines.append(line)

    script = Script(tokens=["Hello", '{"type": "metrics", "n": 1}', '{"text": "!"}'])
    async with FakeWorker(script, dialect=Dialect.QUEEN) as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="m", protocol="queen")
        async with SimpleScheduler(registry) as scheduler:
            result = await scheduler.schedule(request())
            handler = lines.append if kind == "sync" else later
            await scheduler.execute_inference(result, request(), handler)
        assert worker.requests[0].headers["x-correlation-id"] == "job-123"
    assert lines == ["Hello", '{"type": "metrics", "n": 1}', '{"text": "!"}', "[DONE]"]


async def test_a_handler_sees_a_chats_first_line_too():
    async with FakeWorker(Script(tokens=["a"])) as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="m")
        async with Scheduler(registry, []) as scheduler:
            asked = request(prompt="", messages=[{"role": "user", "content": "Hi"}])
            lines = []
            await scheduler.execute_inference(await scheduler.schedule(asked), asked, lines.append)
    assert ['"role"' in line for line in lines] == [True, False, False, False, False]


async def test_a_whole_answer_is_one_line():
    body = b'{"choices": [{"text": "all"}]}'
    scheduler = memory(MemoryResponse([body], headers={"content-type": "application/json"}))
    lines = []
    result = await scheduler.schedule(request())
    await scheduler.execute_inference(result, request(), lines.append)
    assert lines == [body.decode()]


async def test_execute_inference_raises_what_went_wrong():
    scheduler = memory(MemoryResponse(status=400))
    result = await scheduler.schedule(request())
    with pytest.raises(WorkerError, match="the worker answered 400"):
        await scheduler.execute_inference(result, request(), print)


async def test_the_scheduled_worker_is_taken_although_another_would_be_now():
    scheduler = memory(story(), workers=2)
    result = await scheduler.schedule(request())
    assert (result.worker_id, result.fallbacks) == ("w0", ("w1",))
    scheduler.registry.drain("w0")
    second = await scheduler.schedule(request())
    scheduler.registry.drain("w0", draining=False)
    outcome = await scheduler.execute_inference(second, request(), lambda _: None)
    assert outcome.worker_id == "w1"


@pytest.mark.parametrize("why", ["gone", "full", "another model"])
async def test_when_the_scheduled_worker_can_not_the_next_one_serves(why):
    scheduler = memory(story(), workers=2)
    result = await scheduler.schedule(request())
    if why == "gone":
        scheduler.registry.remove("w0")
    elif why == "full":
        scheduler.registry.update("w0", running=2)
    else:
        scheduler.registry.update("w0", model="n", models=["n"])
    outcome = await scheduler.execute_inference(result, request(), lambda _: None)
    assert outcome.worker_id == "w1"


async def test_scheduling_holds_nothing_and_tells_nobody():
    books = Books(Allow(Charge()))
    scheduler = memory(plugins=[books])
    await scheduler.schedule(request())
    assert scheduler.registry.snapshot().worker("w0").in_flight == 0
    assert books.answer.charge.ended == ["refund"]
    assert books.events == []
    assert scheduler.statistics().outcomes == {}


# Events


async def test_the_events_of_a_stream():
    scheduler = memory(story())
    events = await run(scheduler)
    assert [event.type for event in events] == ["started", "token", "token", "end"]
    assert [event.text for event in events[1:3]] == ["a", "b"]
    assert events[-1].data == "[DONE]"
    assert scheduler.statistics().outcomes == {"success": 1}
    assert scheduler.statistics().decisions == 1


async def test_metrics_come_after_the_tokens():
    async with FakeWorker() as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="m")
        async with Scheduler(registry, []) as scheduler:
            events = await run(scheduler)
    assert [event.type for event in events] == ["started", *["token"] * 6, *["metrics"] * 2, "end"]
    assert events[-3].values["predicted_n"] == 6
    assert (
        events[-2].usage == events[-1].outcome.usage == Usage(prompt_tokens=7, completion_tokens=6)
    )


async def test_a_stream_can_be_left_and_taken_up_again():
    scheduler = memory(story())
    async with scheduler.stream(request()) as events:
        assert (await anext(events)).type == "started"
        async for event in events:
            assert event.text == "a"
            break
        assert await events.text() == "b"
        assert [event async for event in events] == []


async def test_what_is_at_hand_is_not_given_after_the_cancellation():
    """Many tokens in one chunk: after `cancel` none of them comes any more."""
    scheduler = memory(MemoryResponse([b"".join(completion("x" * 50))]))
    kinds = []
    async with scheduler.stream(request()) as events:
        async for event in events:
            kinds.append(event.type)
            scheduler.cancel("job-123") if event.type == "token" else None
    assert kinds == ["started", "token", "error"]


async def test_the_text_of_a_failed_stream():
    scheduler = memory(MemoryResponse(status=400))
    async with scheduler.stream(request()) as events:
        with pytest.raises(WorkerError):
            await events.text()


async def test_a_stream_that_nobody_reads_is_never_sent():
    scheduler = memory()
    async with scheduler.stream(request()):
        pass
    assert scheduler.statistics().outcomes == {}
    assert not scheduler._active


async def test_steps_are_told_to_plugins():
    books = Books(None)
    scheduler = memory(WorkerCommunicationFailed("refused"), story(), workers=2, plugins=[books])
    await run(scheduler)
    assert books.events == [
        "admitted", "scheduled w0", "retry w0", "scheduled w1", "first_token w1", "outcome w1",
    ]  # fmt: skip
    assert scheduler.statistics().retries == 1


async def test_workers_that_come_and_go_are_told_to_plugins():
    books = Books(None)
    scheduler = memory(plugins=[books])
    scheduler.registry.add_url("http://x", model="m")
    scheduler.registry.remove("x")
    assert books.workers == [("came", "x"), ("left", "x")]
    await scheduler.aclose()
    scheduler.registry.add_url("http://x", model="m")
    assert len(books.workers) == 2


# Failures, pauses, attempts


async def test_pauses_grow_and_end():
    clock = VirtualClock()
    scheduler = memory(
        *[MemoryResponse(status=500)] * 3,
        clock=clock,
        liveness=LivenessConfig(failures=99),
        retry=RetryConfig(max_attempts=3, initial_delay=1.0, multiplier=3.0, jitter=0.0),
    )
    events = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.autojump)
        events += await run(scheduler)
        tasks.cancel_scope.cancel()
    assert clock.monotonic() == 1.0 + 3.0
    assert [event.type for event in events] == ["started", "started", "started", "error"]
    assert [event.attempt for event in events[:-1]] == [1, 2, 3]
    assert events[-1].outcome.attempts == 3
    assert events[-1].error.message == "the worker answered 500"


async def test_the_only_worker_is_tried_again_when_its_pause_is_over():
    clock = VirtualClock()
    scheduler = memory(WorkerCommunicationFailed("refused"), story(), clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.autojump)
        events = await run(scheduler)
        tasks.cancel_scope.cancel()
    assert clock.monotonic() == 1.0  # LivenessConfig.cooldown
    assert [event.type for event in events] == ["started", "started", "token", "token", "end"]


async def test_a_worker_that_failed_and_left_is_not_waited_for():
    scheduler = memory(WorkerCommunicationFailed("refused"), plugins=[])
    registry = scheduler.registry

    async with scheduler.stream(request()) as events:
        assert (await anext(events)).type == "started"
        registry.remove("w0")
        last = await anext(events)
    assert isinstance(last.error, WorkerCommunicationFailed)
    assert last.outcome.attempts == 1


async def test_a_hard_filter_does_not_make_retries_hasty():
    """Coming back to the only worker that a filter allows takes a pause each time."""

    class OnlyFirst:
        @hookimpl
        def rbee_filter_workers(self, candidates):
            return {w.id: "not this one" for w in candidates if w.id != "w0"}

    clock = VirtualClock()
    scheduler = memory(
        *[MemoryResponse(status=500)] * 3,
        workers=2,
        plugins=[OnlyFirst()],
        clock=clock,
        liveness=LivenessConfig(failures=99),
        retry=RetryConfig(max_attempts=3, initial_delay=1.0, jitter=0.0),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.autojump)
        events = await run(scheduler)
        tasks.cancel_scope.cancel()
    assert [e.worker_id for e in events if e.type == "started"] == ["w0"] * 3
    assert clock.monotonic() == 1.0 + 2.0


async def test_no_pause_before_another_worker():
    clock = VirtualClock()
    scheduler = memory(*[MemoryResponse(status=500)] * 2, story(), workers=3, clock=clock)
    events = await run(scheduler)
    assert [e.worker_id for e in events if e.type == "started"] == ["w0", "w1", "w2"]
    assert clock.monotonic() == 0.0


async def test_the_requests_own_fault_is_not_tried_elsewhere():
    scheduler = memory(MemoryResponse([b"prompt too long"], status=400), workers=2)
    events = await run(scheduler)
    assert [event.type for event in events] == ["started", "error"]
    assert events[-1].error.worker_id == "w0"
    assert scheduler.registry.snapshot().worker("w0").status == "ready"


async def test_messages_that_are_no_json_are_rejected_and_no_workers_fault():
    scheduler = memory(workers=2)
    events = await run(scheduler, request(prompt="", messages=[{"content": {1}}]))
    assert isinstance(events[-1].error, InvalidRequest)
    assert events[-1].outcome.kind == "rejected"
    assert {w.status for w in scheduler.registry.snapshot().workers()} == {"ready"}


async def test_no_job_id_is_a_workers_fault():
    async with FakeWorker() as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="m")
        async with Scheduler(registry, []) as scheduler:
            events = await run(scheduler, request(job_id="Biene\r\nX: \u00fc"))
        assert events[-1].type == "end"
        assert worker.requests[0].headers["x-correlation-id"] == "Biene%0D%0AX:%20%C3%BC"


async def test_what_is_no_scheduler_error_is_not_hidden():
    scheduler = memory(LookupError("a bug"))
    with pytest.raises(LookupError, match="a bug"):
        await run(scheduler)
    assert scheduler.statistics().outcomes == {"error": 1}
    assert scheduler.registry.snapshot().worker("w0").in_flight == 0


async def test_resuming_counts_what_came_before():
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}\n\n'
    scheduler = memory(
        MemoryResponse([*completion(["a", "b"], done=False), WorkerCommunicationFailed("cut")]),
        MemoryResponse([*completion(["d"], done=False), usage, *completion(["e"])]),
        workers=2,
    )
    events = await run(scheduler, request(resume=True, max_tokens=9))
    body = json.loads(scheduler._transport.calls[1].body)
    assert (body["prompt"], body["max_tokens"]) == ("Hiab", 7)
    assert "".join(e.text for e in events if e.type == "token") == "abde"
    assert events[-1].outcome.usage == Usage(prompt_tokens=7, completion_tokens=4)


@pytest.mark.parametrize(
    "fields",
    [
        {"resume": False},
        {"resume": True, "max_tokens": 2},
        {"resume": True, "prompt": "", "messages": [{"role": "user", "content": "Hi"}]},
    ],
)
async def test_a_stream_that_can_not_be_resumed(fields):
    cut = [*completion(["a", "b"], done=False), WorkerCommunicationFailed("cut")]
    scheduler = memory(MemoryResponse(cut), workers=2)
    events = await run(scheduler, request(**fields))
    assert [event.type for event in events] == ["started", "token", "token", "error"]
    assert events[-1].outcome.kind == "error"


# Hooks around the run


class Charge:
    def __init__(self, *, failing=False):
        self.failing = failing
        self.ended = []

    def settle(self, outcome):
        self.ended.append(outcome.kind)
        if self.failing:
            raise LookupError

    def refund(self):
        self.ended.append("refund")
        if self.failing:
            raise LookupError


class Books:
    def __init__(self, answer):
        self.answer = answer
        self.events = []
        self.workers = []

    @hookimpl
    def rbee_check_quota(self, request):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @hookimpl
    def rbee_on_event(self, event):
        self.events.append(f"{event.kind} {event.worker_id}".strip())

    @hookimpl
    def rbee_worker_event(self, event):
        self.workers.append((event.kind, event.worker_id))


async def test_charges_are_settled():
    charges = [Charge(failing=True), Charge()]
    scheduler = memory(story(), plugins=[Books(Allow(charge)) for charge in charges])
    await run(scheduler)
    assert [charge.ended for charge in charges] == [["success"], ["success"]]
    assert sum(scheduler.statistics().plugin_failures.values()) == 1


@pytest.mark.parametrize("answer", [Deny("spent", retry_after=9.0), LookupError(), 7], ids=repr)
async def test_a_denial_refunds_what_others_charged(answer):
    charges = [Charge(), Charge(failing=True)]
    scheduler = memory(plugins=[*(Books(Allow(c)) for c in charges), Books(answer)])
    (last,) = await run(scheduler)
    assert isinstance(last.error, QuotaExceeded)
    assert last.outcome.kind == "rejected"
    assert [charge.ended for charge in charges] == [["refund"], ["refund"]]
    if isinstance(answer, Deny):
        assert (last.error.message, last.error.retry_after) == ("spent", 9.0)
    else:
        assert last.error.message.startswith("the quota check of")


async def test_without_a_worker_charges_are_refunded():
    charge = Charge()
    scheduler = memory(workers=0, plugins=[Books(Allow(charge))])
    (last,) = await run(scheduler)
    assert isinstance(last.error, NoWorkersAvailable)
    assert charge.ended == ["refund"]
    with pytest.raises(NoWorkersAvailable):
        await scheduler.schedule(request())
    result = ScheduleResult(worker_id="x", worker_url="", worker_port=1, model="m", device="cpu")
    with pytest.raises(NoWorkersAvailable):
        await scheduler.execute_inference(result, request(), print)


# What is refused at once


@pytest.mark.parametrize(
    ("fields", "limit", "place"),
    [
        ({"prompt": "x" * 11}, 10, "$.prompt"),
        ({"prompt": "ü" * 6}, 10, "$.prompt"),
        ({"prompt": "\ud800" * 4}, 10, "$.prompt"),
        ({"prompt": "", "messages": [{"role": "user", "content": "x" * 7}]}, 10, "$.messages"),
        ({"prompt": "", "messages": [{"content": [{"text": "x" * 9}]}]}, 10, "$.messages"),
    ],
)
async def test_a_prompt_that_is_too_large(fields, limit, place):
    scheduler = memory(limits=LimitsConfig(max_prompt_bytes=limit))
    with pytest.raises(PromptTooLarge, match=f"over {limit} bytes") as caught:
        await run(scheduler, request(**fields))
    assert caught.value.place == place
    with pytest.raises(PromptTooLarge):
        await scheduler.schedule(request(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x" * 10},
        {"prompt": "ü" * 5},
        {"prompt": "", "messages": [{"role": "user", "content": "x" * 6}]},
    ],
)
async def test_a_prompt_that_just_fits(fields):
    scheduler = memory(story(), limits=LimitsConfig(max_prompt_bytes=10))
    assert (await run(scheduler, request(**fields)))[-1].type == "end"


async def test_an_id_can_be_used_by_one_request_at_a_time():
    gate = Gate(after=1)
    async with FakeWorker(Script(gate=gate)) as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="m")
        async with Scheduler(registry, []) as scheduler, scheduler.stream(request()) as events:
            await anext(events)
            with pytest.raises(InvalidRequest, match="'job-123' is running"):
                async with scheduler.stream(request()):
                    pytest.fail("the id is in use")
            gate.release()
            await events.text()
            async with scheduler.stream(request()) as again:  # the first one has ended
                assert not scheduler.cancel("nobody")
                assert await again.text() == Script().text
            assert not scheduler._active


async def test_a_request_may_name_a_strategy():
    class Last:
        @hookimpl
        def rbee_select_worker(self, candidates):
            return [candidates[-1].id]

    class Plugin:
        @hookimpl
        def rbee_register_strategies(self):
            return {"last": Last()}

    scheduler = memory(workers=3, plugins=[Plugin()], strategy="best-score")
    assert (await scheduler.schedule(request())).worker_id == "w0"
    result = await scheduler.schedule(request(strategy="last"))
    assert (result.worker_id, result.strategy) == ("w2", "last")
    with pytest.raises(InvalidRequest, match="there is no strategy 'lst'") as caught:
        await scheduler.schedule(request(strategy="lst"))
    assert "last" in caught.value.hint
    assert caught.value.place == "$.strategy"


async def test_a_deployment_may_forbid_that():
    scheduler = memory(story(), strategy="best-score", allow_strategy_override=False)
    with pytest.raises(Rejected, match="lets no request name a strategy"):
        await scheduler.schedule(request(strategy="simple"))
    assert (await run(scheduler, request(strategy="best-score")))[-1].type == "end"


@pytest.mark.parametrize("option", ["strategy", "fallback"])
def test_a_strategy_that_is_not_there(option):
    with pytest.raises(ConfigError, match="there is no strategy 'nope'"):
        memory(**{option: "nope"})


async def test_an_alias_becomes_the_models_name():
    catalog = Catalog([ModelInfo(model_ref="m", aliases=["small"])])
    registry = WorkerRegistry(clock=VirtualClock(), catalog=catalog)
    registry.add(Worker(id="w", url="http://w", model="m"))
    scheduler = Scheduler(registry, [], transport=answering(story()))
    result = await scheduler.schedule(request(model="small"))
    assert (result.worker_id, result.model) == ("w", "m")
    await run(scheduler, request(model="small"))
    assert b'"model": "m"' in scheduler._transport.calls[0].body


# Time


async def test_the_longest_time_of_a_request():
    clock = VirtualClock()
    scheduler = memory(
        MemoryResponse([anyio.sleep_forever]), clock=clock, timeout=TimeoutConfig(total=7.0)
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.autojump)
        events = await run(scheduler, request(deadline_ms=9000))
        tasks.cancel_scope.cancel()
    assert clock.monotonic() == 7.0
    assert isinstance(events[-1].error, DeadlineExceeded)
    assert events[-1].outcome.kind == "timeout"


@pytest.mark.parametrize(("created", "seconds"), [(0.0, 2.0), (-1500.0, 0.5)])
async def test_a_budget_counts_from_the_requests_birth(created, seconds):
    clock = VirtualClock()
    scheduler = memory(MemoryResponse([anyio.sleep_forever]), clock=clock)
    asked = request(deadline_ms=2000, created_at=clock.now() + created)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.autojump)
        await run(scheduler, asked)
        tasks.cancel_scope.cancel()
    assert clock.monotonic() == seconds


# Around


async def test_explaining_changes_nothing():
    books = Books(Allow(Charge()))
    scheduler = memory(story(), workers=2, plugins=[books])
    explanation = scheduler.explain(request())
    assert explanation.worker_id == "w0"
    assert explanation == scheduler.explain(request())
    assert scheduler.statistics().decisions == 0
    assert books.events == []
    assert (await scheduler.schedule(request())).worker_id == "w0"


async def test_a_failing_observer_is_counted_and_logged_once_with_its_traceback(
    caplog,
):
    class Broken:
        @hookimpl
        def rbee_on_event(self, event):
            raise LookupError("of the plugin")

        @hookimpl
        def rbee_worker_event(self, event):
            raise LookupError("of the plugin")

    scheduler = memory(story(), plugins=[Broken()])
    with caplog.at_level(logging.WARNING, "rbee_scheduler"):
        events = await run(scheduler, request(prompt="a secret"))
        scheduler.registry.remove("w0")
    assert events[-1].type == "end"
    (told,) = {key: n for key, n in scheduler.statistics().plugin_failures.items()
               if key[1] == "rbee_on_event"}.items()  # fmt: skip
    assert told[1] == 4  # admitted, scheduled, first token, outcome
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False, True]
    assert "secret" not in caplog.text


async def test_requests_end_when_the_scheduler_is_closed_and_it_makes_no_new_connection():
    gate = Gate(after=1)
    async with FakeWorker(Script(gate=gate)) as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="m")
        scheduler = Scheduler(registry, [])
        async with anyio.create_task_group() as tasks:
            ends = []

            async def stream():
                ends.append((await run(scheduler))[-1])

            tasks.start_soon(stream)
            await gate.wait_for(1)
            await scheduler.aclose()
        assert ends[0].error.code == "CANCELLED"
        assert len(worker.connections) == 1
        await scheduler.aclose()


async def test_two_workers_refuse_and_the_third_serves_for_real():
    async with FakeWorker(Script(fault=Fault.REFUSE)) as a, FakeWorker() as b, FakeWorker() as c:
        registry = WorkerRegistry(clock=VirtualClock())
        for worker in (a, b, c):
            registry.add_url(worker.url, model="m")
        b.refuse()
        async with Scheduler(registry, []) as scheduler:
            events = await run(scheduler)
        assert events[-1].outcome.attempts == 3
        assert [w.status for w in registry.snapshot().workers()] == ["failed", "failed", "ready"]
