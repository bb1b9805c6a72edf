"""The decision, sans I/O: candidates, filter, score, select.

`decide` is a pure function of its arguments. The scheduler, `explain`, dry runs, the
simulator and the tests all call this one function; what `explain` shows is what it wrote
into the `Trace` it was given.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from operator import add
from types import MappingProxyType
from typing import Any

import attrs

from rbee_scheduler._answers import Act, Reject, Scores, Soft, Wait
from rbee_scheduler._builtin import FIRST_AVAILABLE
from rbee_scheduler._commands import PoolCommand
from rbee_scheduler._decision import Decision
from rbee_scheduler._errors import PluginError, Rejected
from rbee_scheduler._nobody import nobody_free, nobody_kept
from rbee_scheduler._normalise import normalise
from rbee_scheduler._plugins import Call, Chain
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._trace import Trace
from rbee_scheduler._worker import Worker


__all__ = ["decide"]

# Candidates named in a decision: as many as a request makes attempts by default.
ORDER_LENGTH = 5

_NO_SCORES: Mapping[str, float] = MappingProxyType({})


def decide(
    request: InferenceRequest,
    snapshot: Snapshot,
    chain: Chain,
    *,
    fallback: Chain | None = None,
    exclude: Collection[str] = (),
    on_failure: Callable[[PluginError], None] | None = None,
    trace: Trace | None = None,
) -> Decision:
    """Choose a worker for ``request``, or say why there is none.

    Args:
        request: The request; its model is canonical.
        snapshot: All workers at this moment.
        chain: The hooks of the strategy that decides.
        fallback: The strategy that decides when one of them fails; None: registration
            order.
        exclude: Ids of workers that failed this request already.
        on_failure: Told of each plugin that fails.
        trace: Where to write down what happened, for `explain`.

    Returns:
        A dispatch with its fall-backs, a wait, or a rejection with its error. Equal
        arguments give equal decisions.
    """
    candidates = snapshot.free(request.model, request.task_type)
    if exclude:
        candidates = tuple([w for w in candidates if w.id not in exclude])
    if trace is not None:
        trace.candidates = tuple(candidates)
    if not candidates:
        nobody = nobody_free(request, snapshot, chain.strategy, exclude)
        if not chain.no_candidate:
            return nobody
        return _Deciding(request, snapshot, exclude, on_failure, trace).without(chain, nobody)
    one = _Deciding(request, snapshot, exclude, on_failure, trace)
    try:
        return one.run(chain, candidates)
    except _FallBack:
        return one.fall_back(fallback)


class _FallBack(Exception):
    """A plugin failed, and the deployment wants the fall-back strategy to decide."""


class _Refuse(Exception):
    """A plugin failed, and the deployment wants the request refused."""

    def __init__(self, error: PluginError) -> None:
        super().__init__(str(error))
        self.error = error


class _Deciding:
    """One decision on its way: who is kept, and who is gone."""

    __slots__ = ("commands", "gone", "ids", "kept", "on_failure", "request", "snapshot", "trace")

    def __init__(
        self,
        request: InferenceRequest,
        snapshot: Snapshot,
        exclude: Collection[str],
        on_failure: Callable[[PluginError], None] | None,
        trace: Trace | None,
    ) -> None:
        self.request = request
        self.snapshot = snapshot
        self.gone: Collection[str] = exclude
        self.kept: Sequence[Worker] = ()
        self.ids: Sequence[str] = ()  # of those kept, once somebody scores
        self.commands: tuple[PoolCommand, ...] = ()
        self.on_failure = on_failure
        self.trace = trace

    def run(self, chain: Chain, candidates: Sequence[Worker]) -> Decision:
        """Filter, score and select with ``chain``."""
        self.kept = candidates
        try:
            if chain.filter_workers:
                reasons = self.filter(chain, candidates)
                if not self.kept:
                    return self.nobody_kept(chain, candidates, reasons)
            totals = self.score(chain.score_workers) if chain.score_workers else None
            decision = self.select(chain, totals)
            return self.with_commands(decision, chain) if self.commands else decision
        except _Refuse as refusal:
            return Decision("reject", chain.strategy, reason=str(refusal), error=refusal.error)

    def without(self, chain: Chain, otherwise: Decision) -> Decision:
        """Decide without candidates: the first opinion, else ``otherwise``."""
        decision = otherwise
        for call in chain.no_candidate:
            try:
                answer = call.function(self.request, self.snapshot)
                commands: tuple[PoolCommand, ...] = ()
                if isinstance(answer, Act):
                    commands, answer = answer.commands, answer.answer
                if answer is not None and not isinstance(answer, (Wait, Reject)):
                    raise TypeError(f"answered {_shown(answer)}, not Wait or Reject")  # noqa: TRY301
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                self.failed(call, problem)
                continue
            self.commands += commands
            if answer is not None:
                decision = self.selected(answer, call, chain.strategy)
                break
        return self.with_commands(decision, chain) if self.commands else decision

    def with_commands(self, decision: Decision, chain: Chain) -> Decision:
        """Return ``decision`` with the commands that go out with it."""
        reason = decision.reason
        if not chain.pool_command:
            nobody = "no plugin takes commands to pools"
            reason = f"{reason} ({nobody})" if reason else nobody
        return attrs.evolve(decision, commands=self.commands, reason=reason)

    def fall_back(self, fallback: Chain | None) -> Decision:
        """Let the fall-back strategy decide, with its own hooks alone."""
        if self.trace is not None:
            self.trace.contributions.clear()  # what was scored so far counts no longer
        self.commands = ()
        if fallback is None:
            return self.dispatch(FIRST_AVAILABLE, "core", self.kept[:ORDER_LENGTH])
        own = Chain(
            strategy=fallback.strategy,
            score_workers=_own(fallback.score_workers),
            select_worker=_own(fallback.select_worker),
        )
        try:
            totals = self.score(own.score_workers) if own.score_workers else None
            decision = self.select(own, totals)
            return self.with_commands(decision, fallback) if self.commands else decision
        except (_FallBack, _Refuse):
            return self.fall_back(None)

    def failed(self, call: Call, problem: Exception) -> Exception:
        """Name, count and note a failure; return what to raise."""
        error = call.failure(problem)
        if self.on_failure is not None:
            self.on_failure(error)
        if self.trace is not None:
            self.trace.failures.append(error)
        return _Refuse(error) if call.on_error == "reject" else _FallBack()

    # ---- filter ------------------------------------------------------------------------

    def filter(self, chain: Chain, candidates: Sequence[Worker]) -> Mapping[str, str]:
        """Set `kept` and `gone`; return the hard filters' reasons.

        Every filter is asked even after one failed, so that the fall-back chooses among
        those that the sound ones keep.
        """
        hard: dict[str, str] = {}
        soft: dict[str, str] = {}
        failure: Exception | None = None
        for call in chain.filter_workers:
            try:
                answer = call.function(self.request, candidates, self.snapshot)
                drops = _drops(answer)
                (soft if isinstance(answer, Soft) else hard).update(drops)
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                error = self.failed(call, problem)
                failure = failure if isinstance(failure, _Refuse) else error
                continue
            if self.trace is not None:
                self.trace.filtered(call.plugin, drops, soft=isinstance(answer, Soft))
        # Tuples: what plugins are shown, none of them can change for the next.
        kept = tuple([w for w in candidates if w.id not in hard]) if hard else candidates
        if soft:
            wished = tuple([w for w in kept if w.id not in soft])
            if wished:
                kept = wished
                self.gone = {*self.gone, *soft}
            elif self.trace is not None:
                self.trace.relaxed = True
        if hard:
            self.gone = {*self.gone, *hard}
        self.kept = kept
        if failure is not None and (kept or isinstance(failure, _Refuse)):
            raise failure
        return hard

    def nobody_kept(
        self, chain: Chain, candidates: Sequence[Worker], reasons: Mapping[str, str]
    ) -> Decision:
        """Wait when a worker that is full now would pass the filters; refuse otherwise."""
        everyone = self.snapshot.usable(self.request.model, self.request.task_type)
        passing: Sequence[Worker] = ()
        if len(everyone) > len(candidates):
            later = _Deciding(self.request, self.snapshot, (), self.on_failure, None)
            with suppress(_FallBack, _Refuse):
                later.filter(chain, everyone)
                passing = later.kept
        # Not the reasons alone: a filter may name workers that are no candidates.
        given = [str(reasons[w.id]) for w in candidates]
        return nobody_kept(self.request, chain.strategy, given, waits=bool(passing))

    # ---- score -------------------------------------------------------------------------

    def score(self, calls: Sequence[Call]) -> list[float] | None:
        """Return each kept candidate's weighted sum; None when nobody scored."""
        totals: list[float] | None = None
        ids = self.ids = [w.id for w in self.kept]
        for call in calls:
            try:
                answer = call.function(self.request, self.kept, self.snapshot)
                if answer is None:
                    continue
                scores = answer if isinstance(answer, Scores) else Scores(answer)
                if not isinstance(scores.values, Mapping):
                    raise TypeError(f"answered {_shown(answer)}, not Scores or a mapping")  # noqa: TRY301
                raw = list(map(scores.values.get, ids))
                parts = normalise(raw, scores, call.weight)
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                raise self.failed(call, problem) from None
            totals = parts if totals is None else list(map(add, totals, parts))
            if self.trace is not None:
                self.trace.scored(call.plugin, call.weight, ids, raw, parts)
        return totals

    # ---- select ------------------------------------------------------------------------

    def select(self, chain: Chain, totals: list[float] | None) -> Decision:
        """Ask the selectors; without an answer take the best scored."""
        kept = self.kept
        if chain.select_worker:
            scores = _NO_SCORES  # shown to all selectors, so read only
            if totals is not None:
                scores = MappingProxyType(dict(zip(self.ids, totals, strict=True)))
            for call in chain.select_worker:
                try:
                    answer = call.function(self.request, kept, scores, self.snapshot)
                    if isinstance(answer, Act):
                        self.commands += answer.commands
                        answer = answer.answer
                    if answer is not None:
                        return self.selected(answer, call, chain.strategy)
                except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                    raise self.failed(call, problem) from None
        if totals is None:
            return self.dispatch(chain.strategy, "core", kept[:ORDER_LENGTH])
        # The earliest of equals: the second element of each pair falls with the place.
        ranked = zip(totals, range(0, -len(totals), -1), strict=True)
        best = [kept[-place] for _, place in heapq.nlargest(ORDER_LENGTH, ranked)]
        return self.dispatch(chain.strategy, "core", best)

    def selected(self, answer: Any, call: Call, strategy: str) -> Decision:
        """Return a selector's answer as a decision, after checking it."""
        if isinstance(answer, Wait):
            return Decision(
                "wait", strategy, call.plugin, reason=answer.reason, retry_after=answer.retry_after
            )
        if isinstance(answer, Reject):
            error = Rejected(answer.reason)
            return Decision("reject", strategy, call.plugin, reason=answer.reason, error=error)
        if isinstance(answer, str) or not isinstance(answer, Sequence):
            raise TypeError(f"answered {_shown(answer)}, not a list of worker ids")
        if not answer:
            return Decision("wait", strategy, call.plugin, reason="the selector named nobody")
        if len(answer) == 1 and isinstance(answer[0], str):
            return Decision("dispatch", strategy, call.plugin, self.candidate(answer[0]))
        # Each once: a worker that failed is not its own fall-back.
        ids = list(dict.fromkeys(answer[:ORDER_LENGTH]))
        # Among a few, one look at all of them is cheaper than the checks of each that is named.
        few = {w.id: w for w in self.kept} if len(self.kept) <= ORDER_LENGTH else {}
        workers = [few.get(worker_id) or self.candidate(worker_id) for worker_id in ids]
        return Decision("dispatch", strategy, call.plugin, workers[0], tuple(ids[1:]))

    def candidate(self, worker_id: Any) -> Worker:
        """Return the candidate called ``worker_id``, without searching among them."""
        worker = self.snapshot.worker(worker_id) if isinstance(worker_id, str) else None
        if (
            worker is None
            or worker_id in self.gone
            or not worker.free
            or self.request.model not in worker.models
            or self.request.task_type not in worker.capabilities
        ):
            raise ValueError(f"named {worker_id!r}, which is no candidate")
        return worker

    def dispatch(self, strategy: str, selected_by: str, workers: Sequence[Worker]) -> Decision:
        """Return the decision for ``workers``, best first."""
        fallbacks = tuple([w.id for w in workers[1:]])
        return Decision("dispatch", strategy, selected_by, workers[0], fallbacks)


def _drops(answer: Any) -> Mapping[str, str]:
    if answer is None:
        return {}
    drops = answer.dropped if isinstance(answer, Soft) else answer
    if not isinstance(drops, Mapping):
        raise TypeError(f"answered {_shown(answer)}, not a mapping of worker id to reason")
    return drops


def _own(calls: Sequence[Call]) -> tuple[Call, ...]:
    """Return a strategy's own calls; a plugin may bear the same name."""
    return tuple(call for call in calls if call.strategy)


def _shown(value: object) -> str:
    """Return the type and the start of ``value``: enough to see what came."""
    text = repr(value)
    return f"{type(value).__name__} {text[:40]}{'...' if len(text) > 40 else ''}"  # noqa: PLR2004
