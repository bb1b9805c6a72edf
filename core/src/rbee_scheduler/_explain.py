"""The explanation: why a request would go where it would go, or nowhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any

import attrs

from rbee_scheduler._commands import PoolCommand
from rbee_scheduler._decision import Decision
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._trace import Trace
from rbee_scheduler._worker import Worker


__all__ = ["Contribution", "Explanation", "Verdict", "WorkerExplanation", "explain_decision"]


@attrs.frozen(kw_only=True)
class Verdict:
    """What one filter said of one worker.

    Attributes:
        plugin: The filter's plugin.
        kept: Whether the worker stays.
        reason: Why it goes.
        soft: Whether the filter was a wish.
    """

    plugin: str
    kept: bool
    reason: str = ""
    soft: bool = False


@attrs.frozen(kw_only=True)
class Contribution:
    """What one scorer gave one worker.

    Attributes:
        plugin: The scorer's plugin.
        raw: Its own number; None when it gave none.
        weight: The plugin's weight.
        weighted: What the number counts: 0 to ``weight``.
    """

    plugin: str
    raw: float | None
    weight: float
    weighted: float


@attrs.frozen(kw_only=True)
class WorkerExplanation:
    """What became of one worker.

    Attributes:
        worker_id: The worker.
        candidate: Whether it was free for the model and the task.
        state: Why it was no candidate.
        verdicts: Each filter's verdict.
        contributions: Each scorer's number.
        total: Sum of what they count; None when it was not scored.
        place: Place in the order of the decision, from 1; 0 when it is not in it.
    """

    worker_id: str
    candidate: bool
    state: str = ""
    verdicts: tuple[Verdict, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    total: float | None = None
    place: int = 0


@attrs.frozen(kw_only=True)
class Explanation:
    """A decision with everything that led to it.

    Attributes:
        job_id: The request.
        model: Its canonical model.
        action: ``"dispatch"``, ``"wait"`` or ``"reject"``.
        strategy: The strategy that decided.
        selected_by: The plugin whose answer was taken.
        worker_id: The chosen worker.
        fallbacks: The workers to try next.
        reason: Why there is no worker.
        workers: What became of each worker that serves the model.
        relaxed: Whether the soft filters were dropped, because they left nobody.
        failures: Plugins that failed.
        commands: What pool managers would be told.
    """

    job_id: str
    model: str
    action: str
    strategy: str
    selected_by: str = ""
    worker_id: str = ""
    fallbacks: tuple[str, ...] = ()
    reason: str = ""
    workers: tuple[WorkerExplanation, ...] = ()
    relaxed: bool = False
    failures: tuple[str, ...] = ()
    commands: tuple[PoolCommand, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain JSON values; a NaN score is null, as JSON has none."""
        return attrs.asdict(self, value_serializer=_json_value)

    def to_text(self) -> str:
        """Return the explanation for people."""
        lines = [f"job {self.job_id}, model {self.model}: {self._headline()}"]
        lines += [f"  ! {failure}" for failure in self.failures]
        if self.relaxed:
            lines.append("  soft filters were dropped: together they would have left nobody")
        for worker in self.workers:
            lines += _worker_lines(worker)
        return "\n".join(lines)

    __str__ = to_text

    def _headline(self) -> str:
        if self.action == "dispatch":
            others = f", then {', '.join(self.fallbacks)}" if self.fallbacks else ""
            by = f"strategy {self.strategy}"
            if self.selected_by not in {"", self.strategy}:
                by += f", selected by {self.selected_by}"
            return f"goes to {self.worker_id}{others} ({by})"
        verb = "waits" if self.action == "wait" else "is refused"
        return f"{verb}: {self.reason} (strategy {self.strategy})"


def _json_value(_: Any, __: Any, value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _worker_lines(worker: WorkerExplanation) -> list[str]:
    if not worker.candidate:
        return [f"  - {worker.worker_id}: {worker.state}"]
    mark = f"{worker.place}." if worker.place else "-"
    total = "" if worker.total is None else f" score {worker.total:.3f}"
    lines = [f"  {mark} {worker.worker_id}:{total}" if total else f"  {mark} {worker.worker_id}"]
    for verdict in worker.verdicts:
        if not verdict.kept:
            kind = "would rather not have it" if verdict.soft else "dropped it"
            lines.append(f"       {verdict.plugin} {kind}: {verdict.reason}")
    for part in worker.contributions:
        raw = "nothing" if part.raw is None else f"{part.raw:g}"
        lines.append(
            f"       {part.plugin} gave {raw}, counts {part.weighted:.3f} of {part.weight:g}"
        )
    return lines


def explain_decision(
    request: InferenceRequest, snapshot: Snapshot, decision: Decision, trace: Trace
) -> Explanation:
    """Return a decision and its trace as an explanation."""
    order = (decision.worker.id, *decision.fallbacks) if decision.worker else ()
    candidates = {worker.id for worker in trace.candidates}
    workers = tuple(
        _explain_worker(worker, trace, order)
        if worker.id in candidates
        else WorkerExplanation(worker_id=worker.id, candidate=False, state=_state(worker, request))
        for worker in snapshot.with_model(request.model)
    )
    return Explanation(
        job_id=request.job_id,
        model=request.model,
        action=decision.action,
        strategy=decision.strategy,
        selected_by=decision.selected_by,
        worker_id=decision.worker.id if decision.worker else "",
        fallbacks=decision.fallbacks,
        reason=decision.reason,
        workers=workers,
        relaxed=trace.relaxed,
        failures=tuple(str(failure) for failure in trace.failures),
        commands=decision.commands,
    )


def _explain_worker(worker: Worker, trace: Trace, order: tuple[str, ...]) -> WorkerExplanation:
    contributions = tuple(
        Contribution(
            plugin=plugin,
            raw=None if raw is None else float(raw),
            weight=weight,
            weighted=weighted,
        )
        for plugin, weight, pairs in trace.contributions
        if worker.id in pairs
        for raw, weighted in [pairs[worker.id]]
    )
    return WorkerExplanation(
        worker_id=worker.id,
        candidate=True,
        verdicts=tuple(
            _verdict(plugin, drops, worker.id, soft=soft) for plugin, drops, soft in trace.drops
        ),
        contributions=contributions,
        # Not sum(), which rounds otherwise from Python 3.12 on: the decision's own number.
        total=reduce(add, [part.weighted for part in contributions]) if contributions else None,
        place=order.index(worker.id) + 1 if worker.id in order else 0,
    )


def _verdict(plugin: str, drops: Mapping[str, str], worker_id: str, *, soft: bool) -> Verdict:
    if worker_id not in drops:
        return Verdict(plugin=plugin, kept=True, soft=soft)
    return Verdict(plugin=plugin, kept=False, reason=str(drops[worker_id]), soft=soft)


def _state(worker: Worker, request: InferenceRequest) -> str:
    if not worker.online:
        return "offline: no heartbeat in time"
    if worker.status != "ready":
        return f"status {worker.status}"
    if request.task_type not in worker.capabilities:
        return f"can't do {request.task_type}"
    if not worker.free:
        return f"full: {worker.running} of {worker.slots} slots"
    return "failed this request already"
