"""The public API as a plugin author uses it; checked by mypy --strict and pyright, and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_type

import attrs

from rbee_scheduler import (
    Allow,
    Charge,
    Deny,
    End,
    Error,
    Explanation,
    InferenceRequest,
    Outcome,
    PluginConfig,
    PluginError,
    Plugins,
    Reject,
    RequestEvent,
    Scheduler,
    SchedulerConfig,
    ScheduleResult,
    Scores,
    Snapshot,
    Soft,
    Token,
    Wait,
    Worker,
    WorkerEvent,
    WorkerRegistry,
    decide,
    hookimpl,
    structure,
)
from rbee_scheduler.testing import Finding, PluginContract, check_plugin, fleet, free_workers


@attrs.frozen(kw_only=True)
class Options:
    """Options of the plugin."""

    min_gpus: int = 1


@attrs.define
class Booking:
    """A charge: the protocol is structural."""

    tokens: int

    def settle(self, outcome: Outcome) -> None:
        """Replace the estimate by what was used."""
        self.tokens = outcome.usage.completion_tokens or 0

    def refund(self) -> None:
        """Undo the booking."""
        self.tokens = 0


@attrs.frozen
class Policy:
    """One instance, with a hook of each kind."""

    min_gpus: int

    @hookimpl
    def rbee_check_quota(self, request: InferenceRequest) -> Allow | Deny | None:
        """Book tokens."""
        if request.max_tokens > 4096:
            return Deny("too long", retry_after=1.0)
        charge: Charge = Booking(request.max_tokens)
        return Allow(charge)

    @hookimpl
    def rbee_filter_workers(self, candidates: Sequence[Worker]) -> Mapping[str, str] | Soft:
        """Drop small workers."""
        drops = {w.id: "too few GPUs" for w in candidates if w.gpus < self.min_gpus}
        return Soft(drops) if self.min_gpus > 1 else drops

    @hookimpl
    def rbee_score_workers(self, candidates: Sequence[Worker]) -> Scores:
        """Prefer idle workers."""
        return Scores({w.id: w.load for w in candidates}, better="lower", lowest=0, highest=1)

    @hookimpl
    def rbee_select_worker(
        self, candidates: Sequence[Worker], scores: Mapping[str, float], snapshot: Snapshot
    ) -> Sequence[str] | Wait | Reject | None:
        """Take turns among equals."""
        if not scores:
            return Wait("nobody scored", retry_after=0.1)
        best = max(scores.values())
        equals = [w.id for w in candidates if scores[w.id] == best]
        return [equals[snapshot.turn % len(equals)]]

    @hookimpl
    async def rbee_reserve(self, request: InferenceRequest, worker: Worker) -> None:
        """Prepare."""

    @hookimpl
    def rbee_worker_event(self, event: WorkerEvent, snapshot: Snapshot) -> None:
        """Watch workers."""
        assert_type(snapshot.worker(event.worker_id), Worker | None)

    @hookimpl
    def rbee_on_event(self, event: RequestEvent) -> None:
        """Watch requests."""
        assert_type(event.outcome, Outcome | None)


class Plugin:
    """What the module of an installed plugin holds as functions."""

    @hookimpl
    def rbee_options(self) -> type:
        """Return the options class."""
        return Options

    @hookimpl
    def rbee_configure(self, options: Options) -> Policy:
        """Return the instance."""
        return Policy(options.min_gpus)


class TestPolicy(PluginContract):
    """The contract of the instance, as an author writes it."""

    plugin = Policy(0)


def choose() -> str:
    """Decide without a scheduler."""
    plugins = Plugins([Plugin(), Policy(0)], strict=True)
    request = structure({"job_id": "j", "model": "m", "prompt": "Hi"}, InferenceRequest)
    assert_type(request, InferenceRequest)
    failures: list[PluginError] = []
    chain = plugins.chain(plugins.default_strategy)
    decision = decide(request, fleet(free_workers(3, gpus=1)), chain, on_failure=failures.append)
    assert_type(decision.worker, Worker | None)
    return decision.worker.id if decision.worker else decision.reason


async def run(url: str) -> str:
    """Stream from a worker."""
    registry = WorkerRegistry()
    registry.add_url(url, model="m")
    config = SchedulerConfig(strategy="best-score")
    async with Scheduler(registry, [PluginConfig(name="simple")], config) as scheduler:
        request = InferenceRequest(job_id="j", model="m", prompt="Hi")
        assert_type(scheduler.explain(request), Explanation)
        assert_type(await scheduler.schedule(request), ScheduleResult)
        text = ""
        async with scheduler.stream(request) as events:
            async for event in events:
                match event:
                    case Token():
                        text += event.text
                    case Error():
                        raise event.error
                    case End():
                        assert_type(event.outcome, Outcome)
                    case _:
                        assert event.type in {"queued", "started", "metrics"}
        return text


def findings() -> list[Finding]:
    """Run the contract."""
    return check_plugin(Policy(0))
