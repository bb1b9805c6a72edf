"""What those who measure are given: hooks called through a wrapper, failures by worker."""

import pytest

from rbee_scheduler import InferenceRequest, Plugins, Scheduler, WorkerRegistry, hookimpl
from rbee_scheduler.testing import free_workers


class Both:
    """A plugin with hooks of its own and a strategy with a hook of its own."""

    __name__ = "both"

    def __init__(self):
        self.seen = []

    @hookimpl
    def rbee_filter_workers(self, candidates):
        self.seen.append([worker.id for worker in candidates])
        return {}

    @hookimpl
    def rbee_register_strategies(self):
        return {"last": Last()}


class Last:
    """Selects the last candidate."""

    @hookimpl
    def rbee_select_worker(self, candidates):
        return [candidates[-1].id]


def wrapped_into(calls):
    def wrap(call):
        def called(*arguments):
            calls.append((call.plugin, call.hook))
            return call.function(*arguments)

        return called

    return wrap


@pytest.fixture
def registry():
    made = WorkerRegistry()
    for worker in free_workers(3, model="m"):
        made.add(worker)
    return made


def explain(registry, plugins):
    request = InferenceRequest(job_id="job", model="m", prompt="Hi")
    return Scheduler(registry, plugins).explain(request).worker_id


def test_wrapped_hooks_decide_as_before_and_are_seen(registry):
    plugin, calls = Both(), []
    before = explain(registry, Plugins([plugin], strict=True))
    plugins = Plugins([plugin], strict=True)
    plugins.wrap_calls(wrapped_into(calls))
    assert explain(registry, plugins) == before
    assert calls == [("both", "rbee_filter_workers"), ("last", "rbee_select_worker")]
    assert plugin.seen[0] == plugin.seen[1]


def test_another_wrapper_replaces_the_first(registry):
    first, second = [], []
    plugins = Plugins([Both()], strict=True)
    plugins.wrap_calls(wrapped_into(first))
    plugins.wrap_calls(wrapped_into(second))
    explain(registry, plugins)
    assert first == []
    assert len(second) == 2


def test_failures_are_counted_by_worker_and_never_forgiven(registry):
    worker_id = registry.snapshot().workers()[0].id
    for _ in range(5):
        registry.report_failure(worker_id)
    registry.report_success(worker_id)
    assert registry.failures(worker_id) == 5
    registry.remove(worker_id)
    assert registry.failures(worker_id) == 0
