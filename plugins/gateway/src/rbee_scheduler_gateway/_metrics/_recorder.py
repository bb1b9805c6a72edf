"""The recorder: counts every call and every outcome as it ends; 2 to 3 us per request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from rbee_scheduler import InferenceRequest, Outcome, WorkerRegistry
from rbee_scheduler_gateway._metrics import _names as names
from rbee_scheduler_gateway._metrics._cells import Bounded, Histogram, Row


if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbee_scheduler_gateway._call import Call
    from rbee_scheduler_gateway._metrics._names import Metric
    from rbee_scheduler_gateway._relay import Asked


__all__ = ["OPERATIONS", "Recorder", "WorkerCell", "operation_of"]

# What the conventions call the work of a path.
OPERATIONS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/responses": "chat",
}

# Codes of errors that have a label; there are some 40, and plugins may bring more.
_CODES: Final = 100

# Names of a model: its own and its aliases.
_ALIASES: Final = 4

_CLASSES: Final = ("left", "1xx", "2xx", "3xx", "4xx", "5xx")


def operation_of(request: InferenceRequest) -> str:
    """Return what the conventions call the work of a job."""
    if request.task_type == "embedding":
        return "embeddings"
    return "chat" if request.messages else "text_completion"


class _ModelCell:
    """What is counted of one operation on one model."""

    __slots__ = ("ends", "first", "label", "per_token", "prompt", "success", "written")

    def __init__(self, label: str) -> None:
        self.label = label
        self.success = Histogram(names.REQUEST_SECONDS.buckets)
        self.ends: dict[str, Histogram] = {}
        self.first = Histogram(names.TIME_TO_FIRST.buckets)
        self.per_token = Histogram(names.TIME_PER_TOKEN.buckets)
        self.prompt = Histogram(names.TOKENS.buckets)
        self.written = Histogram(names.TOKENS.buckets)

    def ended(self, code: str) -> Histogram:
        """Return the durations of requests that ended with an error."""
        histogram = self.ends.get(code)
        if histogram is None:
            histogram = self.ends[code] = Histogram(names.REQUEST_SECONDS.buckets)
        return histogram


class WorkerCell:
    """What is counted of one worker.

    Attributes:
        requests: Requests that it had last.
        tokens: Tokens that it generated.
        failures: Tries that it failed, as the registry counts them.
    """

    __slots__ = ("failures", "requests", "tokens")

    def __init__(self, _: str) -> None:
        self.requests = 0
        self.tokens = 0
        self.failures = 0


class Recorder:
    """Counts calls and outcomes; two of `Watchers`' lists.

    A model has a label once a worker has served it, so that names that clients make up don't
    take the room of real ones.

    Args:
        registry: Its catalog knows the models' own names.
        limits: Returns how many models and how many workers get a label of their own.

    Attributes:
        calls: Number of calls by route and class of status.
        limits: The same.
        workers: What is counted by worker.
    """

    __slots__ = (
        "_codes", "_models", "_outcomes", "_registry", "_retries", "_shortcuts",
        "_successes", "_wait", "calls", "limits", "workers",
    )  # fmt: skip

    def __init__(self, registry: WorkerRegistry, limits: Callable[[], tuple[int, int]]) -> None:
        self._registry = registry
        self.limits = limits
        self.calls: Counter[tuple[str, int]] = Counter()
        self.workers = Bounded(WorkerCell, names.OTHER)
        self._codes = Bounded(str, names.OTHER)
        self._models = {
            operation: Bounded(_ModelCell, names.OTHER) for operation in OPERATIONS.values()
        }
        self._shortcuts: dict[tuple[str, str], _ModelCell] = {}
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._successes = 0
        self._retries = 0
        self._wait = Histogram(names.QUEUE_WAIT.buckets)

    # ---- counting ------------------------------------------------------------------------

    def on_call(self, call: Call) -> None:
        """Count a call that was answered."""
        self.calls[call.route, call.status // 100] += 1

    def on_outcome(self, call: Call, asked: Asked, outcome: Outcome) -> None:
        """Count a request for inference that ended."""
        # A worker that counts no tokens is taken to send one with each event.
        operation = OPERATIONS[asked.surface.path]
        self._count(operation, asked.request.model, outcome, call.pieces, streamed=asked.stream)

    def on_job(self, request: InferenceRequest, outcome: Outcome) -> None:
        """Count a job that ended."""
        self._count(operation_of(request), request.model, outcome, 0, streamed=True)

    def _count(
        self, operation: str, model: str, outcome: Outcome, pieces: int, *, streamed: bool
    ) -> None:
        # Every request of the gateway comes by: each line here is measured.
        cell = self._shortcuts.get((operation, model)) or self._find(operation, model, outcome)
        seconds = outcome.total_ms / 1000.0
        usage = outcome.usage
        written = usage.completion_tokens
        if outcome.error is None:
            self._successes += 1
            cell.success.observe(seconds)
            if streamed and written is not None and written > 1:
                first = outcome.first_token_ms
                if first is not None:
                    cell.per_token.observe((seconds - first / 1000.0) / (written - 1))
        else:
            self._failed(outcome, outcome.error.code, cell)
        if streamed and outcome.first_token_ms is not None:
            cell.first.observe(outcome.first_token_ms / 1000.0)
        if usage.prompt_tokens is not None:
            cell.prompt.observe(usage.prompt_tokens)
        if written is not None:
            cell.written.observe(written)
        self._wait.observe(outcome.queued_ms / 1000.0)
        if outcome.attempts > 1:
            self._retries += outcome.attempts - 1
        if outcome.worker_id:
            self._of_worker(outcome.worker_id, pieces if written is None else written)

    def _failed(self, outcome: Outcome, code: str, cell: _ModelCell) -> None:
        label = self._codes.take(code, _CODES)
        self._outcomes[outcome.kind, label] += 1
        cell.ended(label).observe(outcome.total_ms / 1000.0)

    def _of_worker(self, worker_id: str, tokens: int) -> None:
        worker = self.workers.get(worker_id)
        if worker is None:
            worker = self.workers.take(worker_id, self.limits()[1])
        worker.requests += 1
        worker.tokens += tokens

    def _find(self, operation: str, model: str, outcome: Outcome) -> _ModelCell:
        """Return the cell of a model by any of its names."""
        cells = self._models[operation]
        name = self._registry.catalog.resolve(model)
        if not outcome.worker_id:
            return cells.get(name) or cells.rest
        limit, _ = self.limits()
        cell = cells.take(name, limit)
        if len(self._shortcuts) < limit * _ALIASES:
            self._shortcuts[operation, model] = cell
        return cell

    def forget_names(self) -> None:
        """Look names of models up anew: a reload may have given them to others."""
        self._shortcuts.clear()

    # ---- what was counted ------------------------------------------------------------------

    def rows(self) -> Iterator[tuple[Metric, list[Row]]]:
        """Yield each metric with its lines."""
        durations: list[Row] = []
        firsts: list[Row] = []
        each: list[Row] = []
        tokens: list[Row] = []
        for operation, cells in self._models.items():
            for model, cell in cells:
                labels = (operation, names.PROVIDER, model)
                if cell.success:
                    durations.append(cell.success.row(*labels, ""))
                durations += [made.row(*labels, code) for code, made in cell.ends.items()]
                firsts += _if_any(cell.first, labels)
                each += _if_any(cell.per_token, labels)
                tokens += _if_any(cell.prompt, (*labels, "input"))
                tokens += _if_any(cell.written, (*labels, "output"))
        yield names.REQUEST_SECONDS, durations
        yield names.TIME_TO_FIRST, firsts
        yield names.TIME_PER_TOKEN, each
        yield names.TOKENS, tokens
        yield names.REQUESTS, list(self._requests())
        ended = {("success", ""): self._successes, **self._outcomes}
        yield names.OUTCOMES, [Row(labels, count) for labels, count in ended.items()]
        yield names.RETRIES, [Row((), self._retries)]
        yield names.QUEUE_WAIT, [self._wait.row()]
        yield names.WORKER_ENDED, [Row((name,), cell.requests) for name, cell in self.workers]
        yield names.WORKER_TOKENS, [Row((name,), cell.tokens) for name, cell in self.workers]
        yield names.WORKER_FAILURES, [Row((name,), cell.failures) for name, cell in self.workers]

    def _requests(self) -> Iterator[Row]:
        sums: Counter[tuple[str, str]] = Counter()
        for (route, status), count in self.calls.items():
            known = _CLASSES[status] if status < len(_CLASSES) else names.OTHER
            sums[route or names.OTHER, known] += count
        for labels, count in sums.items():
            yield Row(labels, count)


def _if_any(histogram: Histogram, labels: tuple[str, ...]) -> list[Row]:
    return [histogram.row(*labels)] if histogram else []
