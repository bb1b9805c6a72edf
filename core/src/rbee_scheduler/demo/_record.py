"""What became of the demo's requests: one record each, and the report of them all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import attrs

from rbee_scheduler._errors import SchedulerError
from rbee_scheduler._events import End, Error, Started, StreamEvent, Token
from rbee_scheduler._outcome import Outcome


__all__ = ["Record", "Report", "WorkerShare", "report_of"]


@attrs.define(kw_only=True)
class Record:
    """One request of the demo, as far as it has come.

    Attributes:
        job_id: Its name.
        lane: Which of the requests under way at once it is, from 0.
        prompt: What was asked.
        expected: What the model must answer, to the letter.
        worker_id: Who has it now, or had it last.
        attempts: How many workers have had it.
        moved: The workers that had it before and failed.
        pieces: Pieces of text that came.
        text: The text so far.
        outcome: How it ended; None until then.
    """

    job_id: str
    lane: int
    prompt: str
    expected: str
    worker_id: str = ""
    attempts: int = 0
    moved: list[str] = attrs.field(factory=list)
    pieces: int = 0
    text: str = ""
    outcome: Outcome | None = None

    def take(self, event: StreamEvent) -> None:
        """Note an event of the request's stream."""
        if isinstance(event, Token):
            self.pieces += 1
            self.text += event.text
        elif isinstance(event, Started):
            if self.worker_id:
                self.moved.append(self.worker_id)
            self.worker_id = event.worker_id
            self.attempts = event.attempt
        elif isinstance(event, (End, Error)):
            self.outcome = event.outcome

    @property
    def error(self) -> SchedulerError | None:
        """Why it failed, where it did."""
        return None if self.outcome is None else self.outcome.error

    @property
    def exact(self) -> bool:
        """Whether it was answered to the letter."""
        return self.outcome is not None and self.error is None and self.text == self.expected


@attrs.frozen(kw_only=True)
class WorkerShare:
    """What one worker did.

    Attributes:
        worker_id: The worker.
        requests: Requests that it ended.
        share: The same as part of all, 0 to 1.
        killed: Whether it was killed on the way.
    """

    worker_id: str
    requests: int
    share: float
    killed: bool


@attrs.frozen(kw_only=True)
class Report:
    """How the demo went; times in ms.

    Attributes:
        backend: The event loop.
        strategy: The strategy that decided.
        requests: How many were sent.
        completed: How many ended well.
        exact: How many of them gave the expected text, to the letter.
        retried: How many were moved to another worker, and ended well there.
        first_token_p50: Median time to the first token, waiting included.
        first_token_p99: The 99th percentile of it.
        total_p50: Median time to the end.
        total_p99: The 99th percentile of it.
        tokens: Tokens generated, as the workers counted them.
        seconds: From the first request to the last end.
        tokens_per_second: Of all workers together.
        workers: What each worker did.
        failures: ``job_id`` and what went wrong, for those that did not end well.
    """

    backend: str
    strategy: str
    requests: int
    completed: int
    exact: int
    retried: int
    first_token_p50: float
    first_token_p99: float
    total_p50: float
    total_p99: float
    tokens: int
    seconds: float
    tokens_per_second: float
    workers: tuple[WorkerShare, ...]
    failures: Mapping[str, str]

    @property
    def good(self) -> bool:
        """Whether every request was answered to the letter."""
        return self.exact == self.requests


def report_of(
    records: Sequence[Record],
    *,
    backend: str,
    strategy: str,
    seconds: float,
    workers: Iterable[str],
    killed: str,
) -> Report:
    """Return the report of finished requests.

    Args:
        records: The requests.
        backend: The event loop.
        strategy: The strategy that decided.
        seconds: From the first request to the last end.
        workers: Ids of all workers.
        killed: Id of the one that was killed; empty for none.
    """
    ended = [record.outcome for record in records if record.outcome and not record.error]
    first = [o.first_token_ms for o in ended if o.first_token_ms is not None]
    total = [o.total_ms for o in ended]
    tokens = sum(o.usage.completion_tokens or 0 for o in ended)
    served = [o.worker_id for o in ended]
    return Report(
        backend=backend,
        strategy=strategy,
        requests=len(records),
        completed=len(ended),
        exact=sum(record.exact for record in records),
        retried=sum(bool(record.moved) and not record.error for record in records),
        first_token_p50=_percentile(first, 50),
        first_token_p99=_percentile(first, 99),
        total_p50=_percentile(total, 50),
        total_p99=_percentile(total, 99),
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else 0.0,
        workers=tuple(
            WorkerShare(
                worker_id=worker_id,
                requests=served.count(worker_id),
                share=served.count(worker_id) / len(served) if served else 0.0,
                killed=worker_id == killed,
            )
            for worker_id in workers
        ),
        failures={record.job_id: _fault(record) for record in records if not record.exact},
    )


def _fault(record: Record) -> str:
    if record.error is not None:
        return str(record.error)
    if record.outcome is None:
        return "it was not sent"
    return f"the text is not as expected: {record.text!r}"


def _percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile by nearest rank: a value that did occur; 0 for none."""
    if not values:
        return 0.0
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]
