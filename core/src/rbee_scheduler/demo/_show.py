"""Showing the demo as plain lines: for logs, pipes and terminals that can't be drawn on."""

from __future__ import annotations

from collections.abc import Callable

from rbee_scheduler._events import Queued, Started, StreamEvent
from rbee_scheduler.demo._record import Record
from rbee_scheduler.demo._server import LlamaServer


__all__ = [
    "PlainShow",
    "SilentShow",
    "line_of_end",
    "line_of_kill",
    "line_of_move",
    "line_of_note",
    "line_of_worker",
]


class SilentShow:
    """Shows nothing: for ``--json``."""

    def begin(self, servers: dict[str, LlamaServer], strategy: str) -> None:
        """The workers are ready."""

    def event(self, record: Record, event: StreamEvent) -> None:
        """Something happened to a request."""

    def killed(self, worker_id: str, server: LlamaServer) -> None:
        """A worker was killed."""

    def note(self, text: str) -> None:
        """Something else is to be said."""

    def end(self) -> None:
        """Nothing more will come."""


class PlainShow:
    """One line for each thing that happens.

    Args:
        write: Takes text, newlines included.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def begin(self, servers: dict[str, LlamaServer], strategy: str) -> None:
        """The workers are ready."""
        for worker_id, server in servers.items():
            self._line(line_of_worker(worker_id, server))
        self._line(f"strategy {strategy}")

    def event(self, record: Record, event: StreamEvent) -> None:
        """Something happened to a request."""
        if isinstance(event, Queued):
            self._line(f"{record.job_id} waits for a worker")
        elif isinstance(event, Started):
            where = f"{record.job_id} -> {record.worker_id}"
            self._line(line_of_move(record) if record.moved else where)
        elif record.outcome is not None:
            self._line(line_of_end(record))

    def killed(self, worker_id: str, server: LlamaServer) -> None:
        """A worker was killed."""
        self._line(line_of_kill(worker_id, server))

    def note(self, text: str) -> None:
        """Something else is to be said."""
        self._line(line_of_note(text))

    def end(self) -> None:
        """Nothing more will come."""

    def _line(self, text: str) -> None:
        self._write(text + "\n")


def line_of_worker(worker_id: str, server: LlamaServer) -> str:
    """Return a line that introduces a worker."""
    return f"{worker_id} is llama.cpp at {server.url}, process {server.pid}"


def line_of_kill(worker_id: str, server: LlamaServer) -> str:
    """Return a line about a worker that was killed."""
    return f"*** {worker_id} was killed (SIGKILL to process {server.pid})"


def line_of_note(text: str) -> str:
    """Return a line about something else."""
    return f"*** {text}"


def line_of_move(record: Record) -> str:
    """Return a line about a request that goes on elsewhere."""
    pieces = f"{record.pieces} piece{'s' if record.pieces > 1 else ''}"
    after = f"after {pieces} of text" if record.pieces else "before its first token"
    return f"{record.job_id} -> {record.worker_id}, for {record.moved[-1]} failed it {after}"


def line_of_end(record: Record) -> str:
    """Return a line about a request that has ended."""
    outcome = record.outcome
    if outcome is None or record.error is not None:
        return f"{record.job_id} failed: {record.error}"
    word = "done" if record.exact else "WRONG TEXT"
    first = outcome.first_token_ms or 0.0
    times = f"{first:.0f} ms to the first token, {outcome.total_ms:.0f} ms in all"
    return f"{record.job_id} {word} by {record.worker_id} ({times}):{record.text}"
