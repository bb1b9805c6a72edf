"""A reading: what a gateway says of itself at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from rbee_scheduler import Clock, SchedulerError, WorkerCommunicationFailed, WorkerError
from rbee_scheduler_gateway._metrics import _names as names


if TYPE_CHECKING:
    import httpx
    from prometheus_client.core import Metric as Family


__all__ = ["Reading", "from_answers", "read_gateway"]


@attrs.frozen(kw_only=True)
class Reading:
    """What a gateway says of itself at one moment; numbers are since it started.

    Attributes:
        at: Monotonic second, of who reads.
        now: Wall-clock second, of who reads.
        started: Wall-clock second at which the gateway started.
        about: What ``/version`` says: strategy, mode, process...
        workers: What ``/v1/workers`` says.
        queue: How many wait, by model.
        running: Requests for inference that wait or run.
        requests: Requests for inference that ended.
        errors: Those of them that ended neither well nor by their client.
        tokens: Tokens that were generated.
        tokens_by_worker: The same by worker, where it has a label of its own.
        failures: Tries that failed, by worker.
        first_token: Upper bound of each bucket and how many first tokens came until then.
    """

    at: float
    now: float
    started: float = 0.0
    about: Mapping[str, Any] = attrs.field(factory=dict)
    workers: Sequence[Mapping[str, Any]] = ()
    queue: Mapping[str, int] = attrs.field(factory=dict)
    running: int = 0
    requests: float = 0.0
    errors: float = 0.0
    tokens: float = 0.0
    tokens_by_worker: Mapping[str, float] = attrs.field(factory=dict)
    failures: Mapping[str, float] = attrs.field(factory=dict)
    first_token: Mapping[float, float] = attrs.field(factory=dict)


async def read_gateway(client: httpx.AsyncClient, clock: Clock) -> Reading:
    """Ask a gateway how it is.

    One question after the other, on one connection: where several processes share a port,
    all of them are answered by the same one.

    Args:
        client: Its base URL is the gateway's; it sends the token.
        clock: Source of time.

    Raises:
        WorkerCommunicationFailed: It can't be reached.
        SchedulerError: It refuses, or is no gateway.
    """
    about = await _ask(client, "/version")
    workers = await _ask(client, "/v1/workers")
    queue = await _ask(client, "/v1/queue?limit=0")
    metrics = await _ask(client, "/metrics")
    try:
        return from_answers(
            about.json(),
            workers.json(),
            queue.json(),
            metrics.text,
            at=clock.monotonic(),
            now=clock.now(),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as wrong:
        raise SchedulerError(
            f"{client.base_url} answers like no gateway: {wrong}", hint="see --url"
        ) from wrong


def from_answers(
    about: Mapping[str, Any],
    workers: Mapping[str, Any],
    queue: Mapping[str, Any],
    metrics: str,
    *,
    at: float,
    now: float,
) -> Reading:
    """Return what a gateway's answers come to.

    Args:
        about: Of ``/version``.
        workers: Of ``/v1/workers``.
        queue: Of ``/v1/queue``.
        metrics: Of ``/metrics``.
        at: Monotonic second.
        now: Wall clock, ms.
    """
    from prometheus_client.parser import text_string_to_metric_families

    numbers = _Numbers(text_string_to_metric_families(metrics))
    lengths: Counter[str] = Counter()
    for entry in queue["models"]:
        lengths[entry["model"]] += entry["length"]
    ended = numbers.by_label(names.OUTCOMES, "kind")
    tokens = numbers.by_label(names.WORKER_TOKENS, "worker")
    return Reading(
        at=at,
        now=now / 1000.0,
        started=numbers.total(names.START),
        about=about,
        workers=workers["data"],
        queue=lengths,
        running=int(numbers.total(names.RUNNING)),
        requests=sum(ended.values()),
        errors=sum(ended[kind] for kind in ("error", "timeout", "rejected")),
        tokens=sum(tokens.values()),
        tokens_by_worker=tokens,
        failures=numbers.by_label(names.WORKER_FAILURES, "worker"),
        first_token=numbers.buckets(names.TIME_TO_FIRST),
    )


class _Numbers:
    """The numbers of an exposition, by name."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in families:
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def by_label(self, metric: names.Metric, label: str) -> Counter[str]:
        """Return the metric's values, summed by one label."""
        name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
        sums: Counter[str] = Counter()
        for labels, value in self._samples.get(name, ()):
            sums[labels.get(label, "")] += value  # type: ignore[assignment]  # a Counter counts floats, too
        return sums

    def total(self, metric: names.Metric) -> float:
        """Return the sum of all of the metric's values."""
        return sum(self.by_label(metric, "").values())

    def buckets(self, metric: names.Metric) -> Mapping[float, float]:
        """Return how many values were at most each bound, over all labels."""
        sums: dict[float, float] = {}
        for labels, value in self._samples.get(f"{metric.name}_bucket", ()):
            bound = float(labels["le"])
            sums[bound] = sums.get(bound, 0.0) + value
        return dict(sorted(sums.items()))


async def _ask(client: httpx.AsyncClient, path: str) -> httpx.Response:
    import httpx

    try:
        answer = await client.get(path)
    except (httpx.HTTPError, httpx.InvalidURL) as wrong:
        reason = str(wrong) or type(wrong).__name__
        raise WorkerCommunicationFailed(
            f"no answer from {client.base_url}: {reason}", hint="is it running? see --url"
        ) from wrong
    if answer.status_code in {401, 403}:
        raise WorkerError(
            f"{path} is for operators: {answer.status_code}",
            status=answer.status_code,
            hint="give an operator's token with --token, or in RBEE_GATEWAY_TOKEN",
        )
    if not answer.is_success:
        raise WorkerError(f"{path} answered {answer.status_code}", status=answer.status_code)
    return answer
