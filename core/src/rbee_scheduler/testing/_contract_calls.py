"""How the contract calls hooks outside a decision, and what it finds wrong with their answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from random import Random
from typing import Any

import attrs

from rbee_scheduler._answers import Allow, LaneOrder
from rbee_scheduler._plugins import Call
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler.testing._samples import sample_request


__all__ = ["call_failures", "lane_failures"]

_JOBS = 12
_WITHDRAWN = 3  # one in so many, from the middle


async def call_failures(calls: Iterable[Call], *arguments: Any) -> list[str]:
    """Call hooks, and refund what they book; return how they failed."""
    failures = []
    for call in calls:
        try:
            answer = call.function(*arguments)
            if call.is_async:
                answer = await answer
            if isinstance(answer, Allow) and answer.charge is not None:
                answer.charge.refund()
        except Exception as problem:  # noqa: BLE001 - a plugin may raise anything
            failures.append(str(call.failure(problem)))
    return failures


def lane_failures(calls: Iterable[Call]) -> list[str]:
    """Ask for orders, and let jobs come and go as the scheduler would; return what is wrong."""
    failures = []
    for call in calls:
        try:
            failures += [f"{call.plugin!r} in {call.hook}: {wrong}" for wrong in _play(call)]
        except Exception as problem:  # noqa: BLE001 - a plugin may raise anything
            failures.append(str(call.failure(problem)))
    return failures


def _play(call: Call) -> list[str]:
    rng = Random(7)
    jobs = [attrs.evolve(sample_request(rng), job_id=f"job-{n}") for n in range(_JOBS)]
    order = call.function(jobs[0].model, jobs[0].task_type, lambda: None)
    if order is None:
        return []
    waiting: dict[str, InferenceRequest] = {}
    wrong: list[str] = []
    for number, job in enumerate(jobs):
        waiting[job.job_id] = job
        order.add(job)
        wrong += _wrong(order, waiting)
        if number and number % _WITHDRAWN == 0:
            order.remove(waiting.pop(jobs[number - 1].job_id))
            wrong += _wrong(order, waiting)
    while waiting and not wrong:
        chosen = next(iter(order), None)
        # Those that are left out may be cancelled.
        order.remove(waiting.pop(next(iter(waiting)) if chosen is None else chosen))
        wrong += _wrong(order, waiting)
    return wrong[:1]


def _wrong(order: LaneOrder, waiting: Collection[str]) -> list[str]:
    named = list(order)
    strangers = sorted(set(named) - set(waiting))
    if strangers:
        return [f"the order names {', '.join(strangers)}, which do not wait"]
    if len(named) > len(set(named)):
        return [f"the order names a job twice: {', '.join(named)}"]
    return []
