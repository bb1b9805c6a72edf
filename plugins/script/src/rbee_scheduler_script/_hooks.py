"""Policies as plugins: a strategy that selects, a filter, a scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from rbee_scheduler import InferenceRequest, Reject, Scores, Snapshot, Soft, Wait, Worker, hookimpl
from rbee_scheduler_script._answers import Choice, Selected, selection
from rbee_scheduler_script._lifespan import PolicyPlugin
from rbee_scheduler_script._policy import Policy
from rbee_scheduler_script._problems import WrongAnswer
from rbee_scheduler_script._ratings import drops, scores
from rbee_scheduler_script._unserved import Opinion, opinion


__all__ = ["FilterPolicy", "ScorePolicy", "SelectPolicy", "as_plugin"]

WhenNone = Literal["wait", "reject", "next"]
Better = Literal["higher", "lower"]

NOBODY: Final = "the policy named no worker"

_NONE: Final[Mapping[str, Choice]] = {
    "wait": Wait(NOBODY),
    "reject": Reject(NOBODY),
    "next": None,
}


class SelectPolicy(PolicyPlugin):
    """A policy that selects the worker; registers a strategy of its own name.

    Args:
        policy: Its role is ``"select"``.
        when_none: What ``()`` means: the job waits, is rejected, or the next selector is asked.
    """

    def __init__(self, policy: Policy, when_none: WhenNone = "wait") -> None:
        self.__name__ = policy.name
        self.policy = policy
        self._none = _NONE[when_none]

    @hookimpl
    def rbee_register_strategies(self) -> Mapping[str, object]:
        """Register the policy as a strategy."""
        return {self.policy.name: _Strategy(self.policy, self._none)}


class _Strategy:
    """The strategy of a selecting policy."""

    def __init__(self, policy: Policy, none: Choice) -> None:
        self._policy = policy
        self._none = none

    @hookimpl
    def rbee_select_worker(
        self, request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
    ) -> Selected:
        """Run the policy; return what its answer means."""
        policy = self._policy
        view = policy.view(request, candidates, snapshot)
        answer = policy.run(view)
        try:
            selected = selection(answer, view, self._none)
        except WrongAnswer as wrong:
            raise policy.refused(wrong, view) from None
        policy.succeeded()
        return selected

    @hookimpl
    def rbee_no_candidate(self, request: InferenceRequest, snapshot: Snapshot) -> Opinion:
        """Run the policy for a job that nobody is free for, when it has a say in that."""
        return opinion(self._policy, request, snapshot)


class FilterPolicy(PolicyPlugin):
    """A policy that says of each candidate whether it stays.

    A hard one that is set aside goes on failing, so that the deployment's ``on_error`` holds: a
    filter that must not fail open never does. A soft one has no opinion then.

    Args:
        policy: Its role is ``"filter"`` or ``"soft-filter"``.
    """

    def __init__(self, policy: Policy) -> None:
        self.__name__ = policy.name
        self.policy = policy
        self._soft = policy.role == "soft-filter"

    @hookimpl
    def rbee_filter_workers(
        self, request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
    ) -> Mapping[str, str] | Soft | None:
        """Run the policy for all candidates; return whom it drops."""
        policy = self.policy
        if self._soft and policy.set_aside:
            return None
        view = policy.view(request, candidates, snapshot)
        answers = policy.run(view)
        try:
            dropped = drops(answers, view)
        except WrongAnswer as wrong:
            raise policy.refused(wrong, view) from None
        policy.succeeded()
        return Soft(dropped) if self._soft else dropped


class ScorePolicy(PolicyPlugin):
    """A policy that gives each candidate a number. Set aside, it has no opinion.

    Args:
        policy: Its role is ``"score"``.
        better: Whether higher or lower numbers are better.
    """

    def __init__(self, policy: Policy, better: Better = "higher") -> None:
        self.__name__ = policy.name
        self.policy = policy
        self._better: Better = better

    @hookimpl
    def rbee_score_workers(
        self, request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
    ) -> Scores | None:
        """Run the policy for all candidates; return their numbers."""
        policy = self.policy
        if policy.set_aside:
            return None
        view = policy.view(request, candidates, snapshot)
        answers = policy.run(view)
        try:
            numbers = scores(answers, view)
        except WrongAnswer as wrong:
            raise policy.refused(wrong, view) from None
        policy.succeeded()
        return Scores(numbers, better=self._better)


def as_plugin(
    policy: Policy, *, when_none: WhenNone = "wait", better: Better = "higher"
) -> SelectPolicy | FilterPolicy | ScorePolicy:
    """Return ``policy`` as a plugin object of its role.

    Args:
        policy: The policy.
        when_none: For a policy that selects: what ``()`` means.
        better: For one that scores: whether higher or lower numbers are better.
    """
    if policy.role == "select":
        return SelectPolicy(policy, when_none)
    if policy.role == "score":
        return ScorePolicy(policy, better)
    return FilterPolicy(policy)
