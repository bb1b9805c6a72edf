"""Watchers: who is told of every call that was answered: logs, metrics, traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rbee_scheduler_gateway._call import Call


if TYPE_CHECKING:
    from rbee_scheduler import InferenceRequest, Outcome
    from rbee_scheduler_gateway._relay import Asked


__all__ = ["Watchers"]


class Watchers:
    """Told of every call, and of every outcome of inference; they must not fail.

    Attributes:
        on_call: Each is told of a call that was answered.
        on_outcome: Each is told of a request for inference that ended, and how.
        on_job: Each is told of a job that ended, and how.
    """

    __slots__ = ("on_call", "on_job", "on_outcome")

    def __init__(self) -> None:
        self.on_call: list[Callable[[Call], None]] = []
        self.on_outcome: list[Callable[[Call, Asked, Outcome], None]] = []
        self.on_job: list[Callable[[InferenceRequest, Outcome], None]] = []

    def call(self, call: Call) -> None:
        """Tell of a call that was answered."""
        for watcher in self.on_call:
            watcher(call)

    def outcome(self, call: Call, asked: Asked, outcome: Outcome) -> None:
        """Tell of a request for inference that ended."""
        for watcher in self.on_outcome:
            watcher(call, asked, outcome)

    def job(self, request: InferenceRequest, outcome: Outcome) -> None:
        """Tell of a job that ended."""
        for watcher in self.on_job:
            watcher(request, outcome)
