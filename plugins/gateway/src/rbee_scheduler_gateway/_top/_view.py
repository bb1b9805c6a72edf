"""The view: what two readings, one after the other, say about the time between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import attrs

from rbee_scheduler_gateway._top._reading import Reading


__all__ = ["View", "WorkerView", "quantile", "view_of"]


@attrs.frozen(kw_only=True)
class WorkerView:
    """One worker.

    Attributes:
        id: Its id.
        status: Its status, or ``"offline"``.
        model: The model that is loaded, or the first one that it serves.
        load: 0 to 1.
        running: Requests it runs, ours and others'.
        slots: Requests it can run at once; None: not known.
        tokens_per_s: Tokens it generated per second; None: not known.
        failures: Tries it has failed since it registered; None: not known.
    """

    id: str
    status: str
    model: str
    load: float
    running: int
    slots: int | None
    tokens_per_s: float | None
    failures: int | None


@attrs.frozen(kw_only=True)
class View:
    """What there is to see of a gateway; rates are per second between the two readings.

    Attributes:
        strategy: The strategy that decides.
        mode: The gateway's mode.
        uptime_s: Seconds since it started.
        seconds: Between the readings.
        requests_per_s: Requests for inference that ended.
        errors_per_s: Those that failed, timed out or were refused.
        tokens_per_s: Tokens generated.
        first_token_p50_s: Half of the first tokens came within that; None: there were none.
        first_token_p95_s: 95 of 100 did.
        running: Requests that wait or run now.
        queued: Requests that wait now.
        queue: The same by model, the longest queue first.
        workers: The workers, in the order in which they registered.
    """

    strategy: str
    mode: str
    uptime_s: float
    seconds: float
    requests_per_s: float
    errors_per_s: float
    tokens_per_s: float
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    running: int
    queued: int
    queue: Mapping[str, int]
    workers: Sequence[WorkerView]


def view_of(before: Reading, after: Reading) -> View:
    """Return what two readings say. When the gateway was restarted between them, rates are 0.

    Args:
        before: The earlier one; the same as ``after`` where there is none.
        after: The later one.
    """
    if before.started != after.started:
        before = attrs.evolve(after, at=before.at)
    seconds = after.at - before.at

    def rate(new: float, old: float) -> float:
        return max(0.0, new - old) / seconds if seconds > 0 else 0.0

    firsts = {
        bound: count - before.first_token.get(bound, 0.0)
        for bound, count in after.first_token.items()
    }
    queue = sorted(after.queue.items(), key=lambda item: -item[1])
    return View(
        strategy=str(after.about.get("strategy", "")),
        mode=str(after.about.get("mode", "")),
        uptime_s=max(0.0, after.now - after.started),
        seconds=seconds,
        requests_per_s=rate(after.requests, before.requests),
        errors_per_s=rate(after.errors, before.errors),
        tokens_per_s=rate(after.tokens, before.tokens),
        first_token_p50_s=quantile(firsts, 0.5),
        first_token_p95_s=quantile(firsts, 0.95),
        running=after.running,
        queued=sum(after.queue.values()),
        queue=dict(queue),
        workers=[_worker(data, before, after, seconds) for data in after.workers],
    )


def _worker(data: Mapping[str, Any], before: Reading, after: Reading, seconds: float) -> WorkerView:
    worker_id = str(data["id"])
    tokens = after.tokens_by_worker.get(worker_id)
    rate = None
    if tokens is not None:
        grown = max(0.0, tokens - before.tokens_by_worker.get(worker_id, 0.0))
        rate = grown / seconds if seconds > 0 else 0.0
    failures = after.failures.get(worker_id)
    models = data.get("models") or [""]
    return WorkerView(
        id=worker_id,
        status=str(data["status"]) if data.get("online", True) else "offline",
        model=str(data.get("model") or models[0]),
        load=float(data.get("load", 0.0)),
        running=int(data.get("running", 0)),
        slots=data.get("slots"),
        tokens_per_s=rate,
        failures=None if failures is None else int(failures),
    )


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return the value below which ``share`` of all values are, as Prometheus estimates it.

    Within a bucket values are taken to be spread evenly (`histogram_quantile`); beyond the
    last bound all that is known is that bound.

    Args:
        buckets: How many values were at most each bound; ascending, infinity last.
        share: 0 to 1.

    Returns:
        The value; None when there are none.

    Example:
        >>> quantile({0.1: 5.0, 0.2: 10.0, float("inf"): 10.0}, 0.5)
        0.1
    """
    total = max(buckets.values(), default=0.0)
    if total <= 0:
        return None
    wanted = share * total
    lower = counted = 0.0
    for bound, count in buckets.items():
        if count >= wanted and count > counted:
            if bound == inf:
                return lower
            return lower + (bound - lower) * (wanted - counted) / (count - counted)
        lower, counted = bound, count
    return lower
