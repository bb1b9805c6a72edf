"""Decisions on small fleets, by plugins written in a line."""

from __future__ import annotations

import attrs
import pytest

from rbee_scheduler import InferenceRequest, decide
from rbee_scheduler._plugins import Chain
from rbee_scheduler._plugins._chain import compile_call
from rbee_scheduler._trace import Trace
from rbee_scheduler.testing import fleet, free_workers


REQUEST = InferenceRequest(job_id="job", model="m", prompt="Hello!", created_at=1.0)


@attrs.define
class Case:
    """A fleet, hooks, and what became of the last decision.

    A hook is a function, or its answer; plugins are called filter-1, score-2 and so on.
    """

    workers: list = attrs.field(factory=lambda: free_workers(4))
    strategy: str = "test"
    calls: dict = attrs.field(factory=dict)
    failures: list = attrs.field(factory=list)
    trace: Trace = attrs.field(factory=Trace)

    def filter(self, answer, **options):
        return self._add("filter_workers", answer, options)

    def score(self, answer, **options):
        return self._add("score_workers", answer, options)

    def select(self, answer, **options):
        return self._add("select_worker", answer, options)

    def take_commands(self):
        return self._add("pool_command", lambda: True, {})

    def _add(self, hook, answer, options):
        calls = self.calls.setdefault(hook, [])
        function = answer if callable(answer) else lambda: answer
        about = {"plugin": f"{hook.split('_')[0]}-{len(calls) + 1}", "source": "dist 1.0"}
        calls.append(compile_call(function, f"rbee_{hook}", **(about | options)))
        return self

    @property
    def chain(self):
        return Chain(strategy=self.strategy, **{k: tuple(v) for k, v in self.calls.items()})

    @property
    def snapshot(self):
        return fleet(self.workers, turn=3, seed=5)

    def decide(self, request=REQUEST, **options):
        self.failures.clear()
        self.trace = Trace()
        options = {"on_failure": self.failures.append, "trace": self.trace, **options}
        return decide(request, self.snapshot, self.chain, **options)

    def order(self, **options):
        """Return the ids of the decision, best first."""
        decision = self.decide(**options)
        return [decision.worker.id, *decision.fallbacks] if decision.worker else []


@pytest.fixture
def case():
    """Four free workers, w0 to w3, and no hooks."""
    return Case()


@pytest.fixture
def case_of():
    """Return a case with workers of one's own."""
    return Case
