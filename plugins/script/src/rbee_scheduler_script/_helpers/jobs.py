"""Helpers of jobs."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._helper import Helper, text
from rbee_scheduler_script._helpers.gpus import speed
from rbee_scheduler_script._view import View


__all__ = ["HELPERS", "wait_ms"]

Map = dict[str, Any]

MEBIBYTE: Final = 1_048_576

# An interactive job is as urgent as a batch job that has waited for so many seconds. Every job's
# score grows while it waits, so that batch jobs get their turn.
INTERACTIVE_SECONDS: Final = 60.0


def _job(run: rhai.Run, job: Any) -> Map:
    if type(job) is not dict:
        raise run.fail("the job must be a map, such as the policy's own job")
    return job


def _worker(run: rhai.Run, worker: Any) -> Map:
    if type(worker) is not dict:
        raise run.fail("the worker must be a map, such as an element of workers")
    return worker


def _all(view: View, run: rhai.Run) -> list[Map]:
    run.charge(2 * len(view.queue))
    return view.queue


def _get(view: View, run: rhai.Run, job_id: Any) -> Map | None:
    wanted = text(run, job_id, "the id")
    return next((job for job in _all(view, run) if job["id"] == wanted), None)


def _filter(view: View, run: rhai.Run, test: Any) -> list[Any]:
    jobs = _all(view, run)
    if type(test) is dict:
        run.charge(len(jobs) * (len(test) + 1))
        return [job for job in jobs if all(job.get(name) == test[name] for name in test)]
    if type(test) is rhai.FnPtr:
        return run.filter_items(test, jobs)
    raise run.fail('filter_jobs() wants a closure, or a map such as #{priority: "batch"}')


def wait_ms(view: View, job: Map) -> float:
    """Return for how long a job has waited in the queue, ms."""
    queued = job.get("queued_at")
    return max(0.0, view.snapshot.now - queued) if queued else 0.0


def _wait(view: View, run: rhai.Run, job: Any) -> float:
    return wait_ms(view, _job(run, job))


def _duration(view: View, run: rhai.Run, job: Any, worker: Any = None) -> float:
    """Return the first that is known: the caller's own, the worker's, or tokens by speed."""
    facts = _job(run, job)
    own = facts.get("estimated_duration_ms")
    if own is not None:
        return float(own)
    target = {} if worker is None else _worker(run, worker)
    if target.get("estimated_time") is not None:
        return float(target["estimated_time"])
    rate = target.get("avg_tokens_per_sec") or speed(
        view, str(facts.get("model", "")), str(target.get("device", ""))
    )
    return 1000.0 * (facts.get("max_tokens") or 0) / rate if rate else 0.0


def _can_fit(view: View, run: rhai.Run, job: Any, worker: Any) -> Map:
    facts, target = _job(run, job), _worker(run, worker)
    reason = _misfit(view, run, facts, target)
    return {"ok": not reason, "reason": reason}


def _misfit(view: View, run: rhai.Run, job: Map, worker: Map) -> str:
    model = view.snapshot.catalog.resolve(str(job.get("model", "")))
    # A script may have made up the worker, with 100,000 models.
    run.charge((len(worker.get("models") or ()) + len(worker.get("capabilities") or ())) >> 3)
    if model not in worker.get("models", ()):
        return f"does not serve {model}"
    if job.get("task_type") not in worker.get("capabilities", ()):
        return f"can't do {job.get('task_type')}"
    if not worker.get("available"):
        return f"is {worker.get('status') if worker.get('online') else 'offline'}"
    if worker.get("slots") is not None and worker["running"] >= worker["slots"]:
        return f"runs {worker['running']} of {worker['slots']} requests"
    needed = job.get("estimated_vram_bytes") or 0
    if worker.get("total_vram_mb") and needed > worker["vram_free_mb"] * MEBIBYTE:
        return "has too little free GPU memory"
    return ""


def _score(view: View, run: rhai.Run, job: Any) -> float:
    facts = _job(run, job)
    seconds = wait_ms(view, facts) / 1000
    if facts.get("priority") == "interactive":
        seconds += INTERACTIVE_SECONDS
    deadline = facts.get("deadline")
    if deadline is not None:
        # A job that is due in less than a minute gains the seconds it is short of that minute.
        seconds += max(0.0, INTERACTIVE_SECONDS - max(0.0, deadline - view.snapshot.now) / 1000)
    return seconds


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="get_job",
        forms=("get_job(id)",),
        answers="The job to place, or one that waits behind it, by id; `()` when there is none.",
        example='get_job("job-2").priority',
        gives="batch",
        code=_get,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="filter_jobs",
        forms=("filter_jobs(|j| test)", "filter_jobs(#{field: value})"),
        answers="The job to place and those that wait behind it, as far as they pass a test or "
        "have these values.",
        example='filter_jobs(#{priority: "batch"}).map(|j| j.id)',
        gives=["job-2"],
        code=_filter,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="calculate_wait_time",
        forms=("calculate_wait_time(job)", "job.calculate_wait_time()"),
        answers="For how many ms a job has waited in the queue.",
        example="calculate_wait_time(job)",
        gives=1000.0,
        code=_wait,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="estimate_job_duration",
        forms=("estimate_job_duration(job)", "estimate_job_duration(job, worker)"),
        answers="Expected duration in ms: the job's `estimated_duration_ms`, else the worker's "
        "`estimated_time`, else `max_tokens` over the worker's or the catalog's speed; 0.0 when "
        "nothing is known.",
        example='estimate_job_duration(job, get_worker("gpu-2"))',
        gives=1000.0,
        code=_duration,
        arities=(1, 2),
        sees=True,
    ),
    Helper(
        name="can_job_fit",
        forms=("can_job_fit(job, worker)",),
        answers="`#{ok, reason}`: whether the worker serves the model and the task, is up, and has "
        "a slot and memory left.",
        example='can_job_fit(job, get_worker("gpu-3"))',
        gives={"ok": False, "reason": "does not serve llama-3-8b"},
        code=_can_fit,
        arities=(2,),
        sees=True,
    ),
    Helper(
        name="get_job_priority_score",
        forms=("get_job_priority_score(job)",),
        answers="How urgent a job is, in seconds: its wait, plus 60 when it is interactive, plus "
        "what its deadline is short of a minute.",
        example="get_job_priority_score(job)",
        gives=61.0,
        code=_score,
        arities=(1,),
        sees=True,
    ),
)
