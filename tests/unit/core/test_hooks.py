"""Each hook of the specification, called by a real scheduler; and that none is forgotten."""

import ast
import inspect
from contextlib import asynccontextmanager
from textwrap import dedent

import anyio
import attrs
import click
import pytest

from rbee_scheduler import (
    Allow,
    Charge,
    Deny,
    InferenceRequest,
    Plugins,
    PoolCommand,
    QuotaExceeded,
    Reject,
    Scheduler,
    Scores,
    Soft,
    Wait,
    Worker,
    WorkerRegistry,
    _hookspecs,
    hookimpl,
)
from rbee_scheduler._plugins._inspect import HOOKS, hook_functions
from rbee_scheduler.testing import FakeWorker, Script, fleet, free_workers


REQUEST = InferenceRequest(job_id="job", model="m", prompt="Hello!")


def plugin(**hooks):
    """Return a plugin object with these functions as its hooks."""
    return type("Plugin", (), {name: staticmethod(hookimpl(f)) for name, f in hooks.items()})()


def registry_of(*workers):
    registry = WorkerRegistry()
    for worker in workers or free_workers(3):
        registry.add(worker)
    return registry


def test_every_hook_has_a_test_of_its_own():
    tests = {name.removeprefix("test_hook_") for name in globals() if name.startswith("test_hook_")}
    assert set(HOOKS) == tests


# ---- start -------------------------------------------------------------------------------------


@attrs.frozen
class Options:
    gpus: int = 1


@attrs.frozen
class Configured:
    name: str
    options: Options

    @hookimpl
    def rbee_filter_workers(self, candidates):
        return {w.id: self.name for w in candidates if w.gpus < self.options.gpus}


def test_hook_rbee_options():
    asked = []

    def configure(options):
        asked.append(options)

    one = plugin(rbee_options=lambda: Options, rbee_configure=configure)
    Plugins([one])
    assert asked == [Options(gpus=1)]


def test_hook_rbee_configure():
    def configure(name, options):
        return Configured(name, options)

    one = plugin(rbee_options=lambda: Options, rbee_configure=configure)
    explanation = Scheduler(registry_of(), [one]).explain(REQUEST)
    assert [v.reason for w in explanation.workers for v in w.verdicts] == ["Plugin"] * 3


def test_hook_rbee_register_strategies():
    last = plugin(rbee_select_worker=lambda candidates: [candidates[-1].id])
    scheduler = Scheduler(registry_of(), [plugin(rbee_register_strategies=lambda: {"last": last})])
    assert scheduler.strategy == "last"
    assert scheduler.explain(REQUEST).worker_id == "w2"
    by_score = attrs.evolve(REQUEST, strategy="best-score")
    assert scheduler.explain(by_score).worker_id == "w0"


def test_hook_rbee_register_commands():
    group = click.Group("cli")
    plugins = Plugins(
        [plugin(rbee_register_commands=lambda cli: cli.add_command(click.Command("x")))]
    )
    plugins.register_commands(group)
    assert list(group.commands) == ["x"]


# ---- admit, choose -------------------------------------------------------------------------------


@attrs.define
class Booked(Charge):
    """A charge that remembers."""

    log: list

    def settle(self, outcome):
        self.log.append(outcome.kind)

    def refund(self):
        self.log.append("refunded")


async def test_hook_rbee_check_quota():
    log = []
    books = plugin(rbee_check_quota=lambda request, snapshot: Allow(Booked(log)))
    denies = plugin(rbee_check_quota=lambda: Deny("enough", retry_after=3.0))
    async with Scheduler(registry_of(), [books, denies]) as scheduler:
        with pytest.raises(QuotaExceeded, match="enough") as caught:
            await scheduler.schedule(REQUEST)
    assert caught.value.retry_after == 3.0
    assert log == ["refunded"]


def test_hook_rbee_filter_workers():
    hard = plugin(rbee_filter_workers=lambda request, candidates, snapshot: {"w0": request.model})
    soft = plugin(rbee_filter_workers=lambda: Soft({"w1": "far"}))
    assert Scheduler(registry_of(), [hard, soft]).explain(REQUEST).worker_id == "w2"


def test_hook_rbee_score_workers():
    def score(request, candidates, snapshot):
        return Scores({w.id: n for n, w in enumerate(candidates)}, better="higher")

    explanation = Scheduler(registry_of(), [plugin(rbee_score_workers=score)]).explain(REQUEST)
    assert (explanation.worker_id, explanation.fallbacks) == ("w2", ("w1", "w0"))


def test_hook_rbee_select_worker():
    seen = []

    def select(request, candidates, scores, snapshot):
        seen.append((request.job_id, [w.id for w in candidates], dict(scores), snapshot.turn))
        return Reject("no")

    explanation = Scheduler(registry_of(), [plugin(rbee_select_worker=select)]).explain(REQUEST)
    assert (explanation.action, explanation.reason) == ("reject", "no")
    assert seen == [("job", ["w0", "w1", "w2"], {}, 0)]


def test_hook_rbee_no_candidate():
    seen = []

    def nobody(request, snapshot):
        seen.append((request.job_id, len(snapshot)))
        return Reject("come back on Monday")

    explanation = Scheduler(registry_of(), [plugin(rbee_no_candidate=nobody)]).explain(
        attrs.evolve(REQUEST, model="nobody's")
    )
    assert (explanation.action, explanation.reason) == ("reject", "come back on Monday")
    assert seen == [("job", 3)]


# ---- wait, run -----------------------------------------------------------------------------------


async def test_hook_rbee_order_queue():
    registry = registry_of(*free_workers(1, slots=1))
    held = registry.reserve("w0")
    served = []

    def newest_first(jobs, snapshot):
        return [job.id for job in reversed(jobs)]

    async with Scheduler(registry, [plugin(rbee_order_queue=newest_first)]) as scheduler:

        async def ask(name):
            result = await scheduler.schedule(attrs.evolve(REQUEST, job_id=name))
            served.append((name, result.worker_id))

        async with anyio.create_task_group() as group:
            for queued, name in enumerate(["old", "new"], 1):
                group.start_soon(ask, name)
                while scheduler.statistics().queued < queued:
                    await anyio.lowlevel.checkpoint()
            held.release()
    assert served == [("new", "w0"), ("old", "w0")]


async def test_hook_rbee_order_lane():
    registry = registry_of(*free_workers(1, slots=1))
    held = registry.reserve("w0")
    served, lanes = [], []
    scope = {"hookimpl": hookimpl}
    exec(example_of("rbee_order_lane"), scope)

    def newest_first(model, task, wake):
        lanes.append((model, task, callable(wake)))
        return scope["rbee_order_lane"](model, task)

    async with Scheduler(registry, [plugin(rbee_order_lane=newest_first)]) as scheduler:

        async def ask(name):
            await scheduler.schedule(attrs.evolve(REQUEST, job_id=name))
            served.append(name)

        async with anyio.create_task_group() as group:
            for queued, name in enumerate(["old", "middle", "new"], 1):
                group.start_soon(ask, name)
                while scheduler.statistics().queued < queued:
                    await anyio.lowlevel.checkpoint()
            held.release()
    assert served == ["new", "middle", "old"]
    assert lanes == [("m", "text-gen", True)]


async def test_hook_rbee_reserve():
    log = []
    async with FakeWorker(Script(tokens=("Hi",))) as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, id="w", model="m")

        async def reserve(request, worker):
            await anyio.lowlevel.checkpoint()
            log.append((request.job_id, worker.id, registry.snapshot().worker("w").in_flight))

        one = plugin(rbee_reserve=reserve)
        async with Scheduler(registry, [one]) as scheduler, scheduler.stream(REQUEST) as events:
            assert await events.text() == "Hi"
    assert log == [("job", "w", 1)]


async def test_hook_rbee_release():
    log = []

    def hooks(name):
        return plugin(
            rbee_reserve=lambda: log.append(f"{name} reserves"),
            rbee_release=lambda request, worker, outcome: log.append(f"{name}: {outcome.kind}"),
        )

    async with FakeWorker(Script(tokens=("Hi",))) as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="m")
        both = [hooks("a"), hooks("b")]
        async with Scheduler(registry, both) as scheduler, scheduler.stream(REQUEST) as events:
            await events.text()
    assert log == ["a reserves", "b reserves", "b: success", "a: success"]


# ---- watch ---------------------------------------------------------------------------------------


def test_hook_rbee_worker_event():
    seen = []
    registry = WorkerRegistry()
    scheduler = Scheduler(
        registry,
        [
            plugin(
                rbee_worker_event=lambda event, snapshot: seen.append(
                    (event.kind, event.worker_id, len(snapshot))
                )
            )
        ],
    )
    registry.add(Worker(id="w", url="http://h", model="m"))
    registry.remove("w")
    assert scheduler.strategy == "best-score"
    assert seen == [("came", "w", 1), ("left", "w", 0)]


async def test_hook_rbee_lifespan(caplog):
    told = []

    def lives(name, *, enter=None, leave=None):
        @asynccontextmanager
        async def rbee_lifespan(registry):
            told.append((name, "entered", len(registry.snapshot())))
            if enter:
                raise enter
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                yield
                tasks.cancel_scope.cancel()
            told.append((name, "left"))
            if leave:
                raise leave

        return plugin(rbee_lifespan=rbee_lifespan)

    registry = WorkerRegistry()
    registry.add(Worker(id="w", url="http://h", model="m"))
    plugins = [
        lives("a"), plugin(rbee_lifespan=lambda: None), lives("b", leave=OSError("no disk")),
        lives("c", enter=RuntimeError("no price list")), plugin(rbee_lifespan=lambda: 7),
    ]  # fmt: skip
    scheduler = Scheduler(registry, plugins)

    async def block():
        async with scheduler:
            told.append("block")
            raise LookupError

    # How the block ends is its own business: no group of exceptions around this one.
    with pytest.raises(LookupError):
        await block()
    assert told == [
        ("a", "entered", 1), ("b", "entered", 1), ("c", "entered", 1), "block",
        ("b", "left"), ("a", "left"),
    ]  # fmt: skip
    assert sum(scheduler.statistics().plugin_failures.values()) == 3
    assert "no disk" in caplog.text
    assert "no price list" in caplog.text


async def test_a_scheduler_that_is_cancelled_ends_with_what_plugins_run_beside_it():
    @asynccontextmanager
    async def rbee_lifespan(registry):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            yield
            tasks.cancel_scope.cancel()

    async def run(*, task_status):
        async with Scheduler(WorkerRegistry(), [plugin(rbee_lifespan=rbee_lifespan)]):
            task_status.started()
            await anyio.sleep_forever()

    # An event loop that spins for ever was what asyncio made of it.
    async with anyio.create_task_group() as tasks:
        await tasks.start(run)
        tasks.cancel_scope.cancel()


async def test_hook_rbee_pool_command():
    async def start(command, snapshot):
        await anyio.lowlevel.checkpoint()
        return command.kind == "start_worker" and len(snapshot) == 1

    (call,) = Plugins([plugin(rbee_pool_command=start)]).chain("best-score").pool_command
    assert call.is_async
    command = PoolCommand(kind="start_worker", pool_id="p", model_ref="m")
    assert await call.function(command, fleet(free_workers(1)))


async def test_hook_rbee_on_event():
    seen = []
    async with FakeWorker(Script(tokens=("Hi", " you"))) as worker:
        registry = WorkerRegistry()
        registry.add_url(worker.url, model="m")
        watch = plugin(rbee_on_event=lambda event: seen.append(event.kind))
        async with Scheduler(registry, [watch]) as scheduler, scheduler.stream(REQUEST) as events:
            await events.text()
    assert seen == ["admitted", "scheduled", "first_token", "outcome"]


# ---- the examples of the specification -------------------------------------------------------


class Anything:
    """Whatever an example talks to; remembers nothing, answers itself."""

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self

    def __await__(self):
        yield from anyio.lowlevel.checkpoint().__await__()


def example_of(hook):
    text = inspect.getdoc(getattr(_hookspecs, hook))
    _, _, example = text.partition("Example::\n")
    return dedent(example)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_loads_as_a_plugin(hook):
    source = example_of(hook)
    known = {"lease", "log", "hives", "seconds", "GpuFilter", "fleet"}
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    scope = dict.fromkeys(known & names, Anything())
    scope |= {"attrs": attrs, "hookimpl": hookimpl, "Scores": Scores, "Deny": Deny}
    scope["asynccontextmanager"] = asynccontextmanager
    exec(source, scope)
    implemented = hook_functions(type("Example", (), {hook: staticmethod(scope[hook])})())
    assert list(implemented) == [hook]


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("rbee_check_quota", Deny("at most 4096 tokens per request")),
        ("rbee_filter_workers", {"w0": "fewer than 2 GPUs", "w1": "fewer than 2 GPUs"}),
        ("rbee_score_workers", Scores({"w0": 0, "w1": 0}, better="lower", lowest=0, highest=1)),
        ("rbee_select_worker", ["w1"]),
    ],
)
def test_the_example_of_a_decision_hook_decides(hook, expected):
    scope = {"hookimpl": hookimpl, "Scores": Scores, "Deny": Deny}
    exec(example_of(hook), scope)
    chain = Plugins([plugin(**{hook: scope[hook]})]).chain("best-score")
    (call,) = getattr(chain, hook.removeprefix("rbee_"))
    request = attrs.evolve(REQUEST, model="llama-70b", max_tokens=5000)
    workers = free_workers(2)
    given = {
        "request": request,
        "candidates": workers,
        "scores": {},
        "snapshot": fleet(workers, turn=1),
    }
    arguments = [given[name] for name in inspect.signature(getattr(_hookspecs, hook)).parameters]
    assert expected == call.function(*arguments)


def test_the_other_examples_answer_what_they_say():
    scope = {"hookimpl": hookimpl, "Scores": Scores, "attrs": attrs}
    for hook in ("rbee_options", "rbee_register_strategies", "rbee_order_queue"):
        exec(example_of(hook), scope)
    assert scope["rbee_options"]()().min_gpus == 1
    register = plugin(rbee_register_strategies=scope["rbee_register_strategies"])
    assert "most-vram-free" in Plugins([register]).strategies
    jobs = [attrs.evolve(REQUEST, job_id="b", priority="batch"), REQUEST]
    assert scope["rbee_order_queue"](jobs) == ["job", "b"]


# ---- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Allow(3), TypeError),
        (lambda: Deny(None), TypeError),
        (lambda: Deny("x", retry_after=-1), Exception),
        (lambda: Wait(retry_after="soon"), Exception),
    ],
    ids=["charge", "reason", "negative", "text"],
)
def test_an_ill_typed_answer_is_refused_where_it_is_made(make, error):
    with pytest.raises(error):
        make()


def test_a_charge_needs_settle_and_refund():
    assert Allow(Booked([])).charge is not None
    assert Allow() == Allow(None)
