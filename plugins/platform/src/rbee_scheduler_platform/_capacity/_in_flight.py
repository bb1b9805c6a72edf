"""In flight: what the workers have been given and have not finished, in tokens."""

from __future__ import annotations

from collections import defaultdict

from rbee_scheduler import Clock, InferenceRequest, Worker
from rbee_scheduler_platform._fairness import ExpectedOutput
from rbee_scheduler_platform._quota import input_tokens_of


__all__ = ["Flight", "InFlight"]


class Flight:
    """One request on a worker.

    Attributes:
        worker: Where it runs.
        lane: What it had to wait for: model and task.
        tenant_id: Whose it is.
        input_tokens: Its prompt.
        tokens: Its prompt and the output expected of it: what it may take of the KV cache.
        prefilled: Whether its first token came.
        ahead: Prompt tokens that the worker had to go through for its first token, its own
            among them.
        began: Monotonic second at which it was sent.
    """

    __slots__ = (
        "ahead", "began", "input_tokens", "lane", "prefilled", "tenant_id", "tokens", "worker",
    )  # fmt: skip

    def __init__(
        self, request: InferenceRequest, worker: Worker, input_tokens: int, tokens: float
    ) -> None:
        self.tenant_id = request.tenant_id or ""
        self.lane = request.model, request.task_type
        self.worker = worker
        self.input_tokens = input_tokens
        self.tokens = tokens
        self.prefilled = False
        self.ahead = 0
        self.began = 0.0


class InFlight:
    """Sums of what is in flight, by worker and by tenant; all of it costs O(1).

    Args:
        clock: Source of time.
        expected: Knows how long answers are.
    """

    def __init__(self, clock: Clock, expected: ExpectedOutput) -> None:
        self._clock = clock
        self._expected = expected
        self._flights: dict[str, Flight] = {}
        self._tokens: defaultdict[str, float] = defaultdict(float)
        self._requests: defaultdict[str, int] = defaultdict(int)
        self._unprefilled: defaultdict[str, int] = defaultdict(int)
        self._unprefilled_in: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._shares: dict[tuple[str, str], float] = {}  # worker and tenant

    def __len__(self) -> int:
        return len(self._flights)

    def tokens(self, worker_id: str) -> float:
        """Return the tokens that a worker's requests may take."""
        return self._tokens.get(worker_id, 0.0)

    def tokens_of(self, worker_id: str, tenant_id: str) -> float:
        """Return the tokens that one tenant's requests may take on a worker."""
        return self._shares.get((worker_id, tenant_id), 0.0)

    def requests(self, worker_id: str) -> int:
        """Return how many requests a worker has."""
        return self._requests.get(worker_id, 0)

    def unprefilled_in(self, lane: tuple[str, str]) -> int:
        """Return the prompt tokens of a lane's requests that wait for their first token."""
        return self._unprefilled_in.get(lane, 0)

    def estimate(self, request: InferenceRequest) -> float:
        """Return the tokens that a request may take: its prompt, and the output expected."""
        return input_tokens_of(request) + self._expected.of(
            request.tenant_id or "", request.max_tokens
        )

    def began(self, request: InferenceRequest, worker: Worker) -> None:
        """Note that a request was given a worker; a second worker takes the first one's place."""
        self.ended(request.job_id)
        worker_id = worker.id
        tenant_id = request.tenant_id or ""
        prompt = input_tokens_of(request)
        tokens = self.estimate(request)
        flight = Flight(request, worker, prompt, tokens)
        flight.began = self._clock.monotonic()
        self._flights[request.job_id] = flight
        self._tokens[worker_id] += tokens
        self._requests[worker_id] += 1
        self._prefill(flight, prompt)
        flight.ahead = self._unprefilled[worker_id]
        share = worker_id, tenant_id
        self._shares[share] = self._shares.get(share, 0.0) + tokens

    def first_token(self, job_id: str) -> Flight | None:
        """Note a request's first token; return it the first time."""
        flight = self._flights.get(job_id)
        if flight is None or flight.prefilled:
            return None
        flight.prefilled = True
        self._prefill(flight, -flight.input_tokens)
        return flight

    def ended(self, job_id: str) -> Flight | None:
        """Note that a request is through with its worker; return it the first time."""
        flight = self._flights.pop(job_id, None)
        if flight is None:
            return None
        worker_id = flight.worker.id
        self._requests[worker_id] -= 1
        if not flight.prefilled:
            self._prefill(flight, -flight.input_tokens)
        share = worker_id, flight.tenant_id
        self._shares[share] -= flight.tokens
        if self._shares[share] < 0.5:  # noqa: PLR2004 - less than a token is what rounding left
            del self._shares[share]
        if self._requests[worker_id]:
            self._tokens[worker_id] -= flight.tokens
        else:  # a worker that left is remembered by nothing
            del self._tokens[worker_id], self._requests[worker_id], self._unprefilled[worker_id]
        return flight

    def _prefill(self, flight: Flight, change: int) -> None:
        self._unprefilled[flight.worker.id] += change
        self._unprefilled_in[flight.lane] += change
        if not self._unprefilled_in[flight.lane]:
            del self._unprefilled_in[flight.lane]
