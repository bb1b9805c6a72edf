"""The hooks: every place where a plugin can take part, in the order of a request's way.

A plugin is a module (or an object) whose functions carry a hook's name and are marked
with `hookimpl`. It asks for the arguments it needs, by name, and may leave the others
out; new arguments are only ever appended. Import both from the top package::

    from rbee_scheduler import hookimpl

    @hookimpl
    def rbee_filter_workers(candidates):
        return {w.id: "has no GPU" for w in candidates if not w.gpus}

Three kinds of hooks, three rules:

* **Decision hooks** (filter, score, select, order) are plain functions. They see one
  snapshot and nothing else, so that a decision can be repeated, explained and simulated.
  They get all candidates in one call and answer by worker id.
* **Life-cycle hooks** (quota, reserve, release, pool command) may be ``async def``; each
  call has a time limit (``[limits] hook_timeout``).
* **Observers** (worker event, on event) are plain functions; they must return soon.

Several plugins may implement a hook. They are asked in the order in which the deployment
lists them. One that raises is named, counted and skipped; what happens then is said at
each hook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy


if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import click

    from rbee_scheduler._answers import Act, Allow, Deny, LaneOrder, Reject, Scores, Soft, Wait
    from rbee_scheduler._commands import PoolCommand
    from rbee_scheduler._events import RequestEvent, WorkerEvent
    from rbee_scheduler._outcome import Outcome
    from rbee_scheduler._registry import WorkerRegistry
    from rbee_scheduler._request import InferenceRequest
    from rbee_scheduler._snapshot import Snapshot
    from rbee_scheduler._worker import Worker


__all__ = ["PROJECT_NAME", "hookimpl", "hookspec"]

PROJECT_NAME = "rbee_scheduler"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


# ======================================================================================
# Start: options, strategies, commands
# ======================================================================================


@hookspec(firstresult=True)
def rbee_options() -> type | None:
    """Called when the plugin is configured. Return the attrs class of its options.

    The deployment's ``[plugins.options]`` table is checked against the class strictly: an
    unknown or ill-typed key stops the start with its place and the nearest known key.
    A plugin without this hook takes no options.

    Returns:
        An attrs class, or None for no options.

    Example::

        @attrs.frozen(kw_only=True)
        class Options:
            min_gpus: int = 1

        @hookimpl
        def rbee_options():
            return Options
    """


@hookspec(firstresult=True)
def rbee_configure(name: str, options: Any) -> object | None:
    """Called once for each instance of the plugin. Return what carries its other hooks.

    A deployment may list one plugin several times, under different names and with
    different options; each gets a call and answers an object of its own. That object
    carries all hooks but `rbee_options`, this one and `rbee_register_commands`. A plugin
    without this hook is its own, and only, instance.

    Args:
        name: The instance's name in the deployment.
        options: An instance of the class from `rbee_options`, or None without one.

    Returns:
        An object with hook methods marked by `hookimpl`, or None for the plugin itself.

    Example::

        @hookimpl
        def rbee_configure(name, options):
            return GpuFilter(min_gpus=options.min_gpus)
    """


@hookspec
def rbee_register_strategies() -> Mapping[str, object]:
    """Called at start. Return strategies by name.

    A strategy is an object with hooks of its own (mostly filter, score, select), which
    take part only when the deployment, or a request that may, chooses it by name. Hooks
    of the plugin itself take part in every decision; the hooks of the start,
    `rbee_worker_event` and `rbee_pool_command` can't be a strategy's.

    Two plugins that claim one name stop the start with an error naming both distributions.

    Returns:
        Name -> object with decision hooks marked by `hookimpl`.

    Example::

        class MostVramFree:
            @hookimpl
            def rbee_score_workers(self, candidates):
                return Scores({w.id: w.vram_free_mb for w in candidates})

        @hookimpl
        def rbee_register_strategies():
            return {"most-vram-free": MostVramFree()}
    """
    raise NotImplementedError


@hookspec
def rbee_register_commands(cli: click.Group) -> None:
    """Called when the command line needs a command it does not know itself.

    One plugin is asked once, however many instances it has. One that raises is logged,
    and the others' commands are there all the same.

    Args:
        cli: The ``rbee-scheduler`` group; add commands to it. A command name that is
            taken ends the program with an error naming both distributions.

    Example::

        @hookimpl
        def rbee_register_commands(cli):
            cli.add_command(fleet)
    """


@hookspec
def rbee_lifespan(registry: WorkerRegistry) -> AbstractAsyncContextManager[object] | None:
    """Called when a scheduler is entered. Return what lives as long: an async context manager.

    For what a plugin does beside decisions: watching a file, asking a price list, flushing a
    buffer. It is entered in the scheduler's own task before the first request, in the order of
    asking, and left in reverse order after the last one, always without an exception: how the
    block ended is not its business. What it runs, it runs in a task group of its own, and ends
    on leaving. A scheduler that is used without ``async with`` has no lifespan.

    Args:
        registry: The workers. Take a snapshot to look at them.

    Returns:
        An async context manager, or None.

    Example::

        @hookimpl
        @asynccontextmanager
        async def rbee_lifespan(registry):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(refresh_prices, registry)
                yield
                tasks.cancel_scope.cancel()
    """
    raise NotImplementedError


# ======================================================================================
# Admit
# ======================================================================================


@hookspec
def rbee_check_quota(request: InferenceRequest, snapshot: Snapshot) -> Allow | Deny | None:
    """Called before anything else. Say whether the request may run, and book its charge.

    May be async; one that takes longer than ``hook_timeout`` has failed.

    All checks are asked until one denies; then the charges of the others are refunded,
    last booked first. A check that raises **denies**: quotas fail closed.

    ===================  ==========================================================
    answer               meaning
    ===================  ==========================================================
    ``None``             no opinion
    ``Allow()``          fine
    ``Allow(charge)``    fine, and booked: `Charge.settle` or `Charge.refund`
                         follows exactly once, whatever happens in between
    ``Deny(reason)``     the request ends with `QuotaExceeded`, or with `Deny.error`
    ===================  ==========================================================

    Args:
        request: The request.
        snapshot: All workers at this moment.

    Example::

        @hookimpl
        def rbee_check_quota(request):
            if request.max_tokens > 4096:
                return Deny("at most 4096 tokens per request")
    """


# ======================================================================================
# Choose: filter, score, select
# ======================================================================================


@hookspec
def rbee_filter_workers(
    request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
) -> Mapping[str, str] | Soft | None:
    """Called when the candidates are known. Return which of them to drop, and why.

    Every filter sees the same candidates: the free workers of the model. Who stays is
    who nobody drops. A **hard** filter answers a plain mapping. A **soft** one wraps it in
    `Soft`: when the soft filters together would leave nobody, they are all dropped, in one
    second pass, and the hard ones hold.

    A filter that raises, or answers something else, makes the fall-back strategy decide
    among those that the others keep; with ``on_error = "reject"`` in the deployment the
    request is refused instead (for filters that must not fail open, such as residency).

    Args:
        request: The request.
        candidates: Free workers, in the order in which they registered; don't change it.
        snapshot: All workers at this moment.

    Returns:
        Worker id -> reason for each that goes; empty or None when all stay.

    Example::

        @hookimpl
        def rbee_filter_workers(request, candidates):
            if "70b" in request.model:
                return {w.id: "fewer than 2 GPUs" for w in candidates if w.gpus < 2}
    """


@hookspec
def rbee_score_workers(
    request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
) -> Scores | Mapping[str, float] | None:
    """Called after the filters. Return a number for each candidate.

    Each scorer's numbers are brought to 0..1 (1 is best, by the declared direction and
    range, or the range seen), multiplied by the plugin's ``weight`` and summed. A
    candidate that is left out, or gets NaN, counts 0. A scorer that raises, or answers
    something else, makes the fall-back strategy decide, or refuses the request, as said
    for filters.

    Args:
        request: The request.
        candidates: The workers that passed the filters, in registration order.
        snapshot: All workers at this moment.

    Returns:
        `Scores`, or a plain mapping where higher is better, or None for no opinion.

    Example::

        @hookimpl
        def rbee_score_workers(candidates):
            return Scores({w.id: w.load for w in candidates}, better="lower", lowest=0, highest=1)
    """


@hookspec
def rbee_select_worker(
    request: InferenceRequest,
    candidates: Sequence[Worker],
    scores: Mapping[str, float],
    snapshot: Snapshot,
) -> Sequence[str] | Wait | Reject | Act | None:
    """Called last. Return worker ids, best first. Stops at the first answer.

    ===================  =================================================================
    answer               meaning
    ===================  =================================================================
    ``None``             no opinion; the next plugin is asked. When nobody answers, the best
                         scored candidates are taken, the earliest registered of equals
    ``[id, ...]``        the first one serves, the next ones are fall-backs in this order;
                         five are kept in all. An empty list is ``Wait()``
    ``Wait(reason)``     not now: the request waits in the queue
    ``Reject(reason)``   never: the request ends with `Rejected`
    ``Act(answer, ..)``  one of the above, and commands for `rbee_pool_command`
    ===================  =================================================================

    A selector that raises, or names a worker that is no candidate, makes the fall-back
    strategy decide.

    Args:
        request: The request.
        candidates: The workers that passed the filters, in registration order; at
            least one.
        scores: Worker id -> summed score, read only; empty when nobody scored.
        snapshot: All workers at this moment.

    Example::

        @hookimpl
        def rbee_select_worker(candidates, snapshot):
            turn = snapshot.turn % len(candidates)
            return [candidates[turn].id]
    """


@hookspec
def rbee_no_candidate(request: InferenceRequest, snapshot: Snapshot) -> Wait | Reject | Act | None:
    """Called when no worker is free for the request. Say what then. Stops at the first answer.

    This is where a policy has a worker started, or says "never" at once instead of letting
    a request wait. It is not called when filters dropped all candidates.

    ==========================  ==========================================================
    answer                      meaning
    ==========================  ==========================================================
    ``None``                    no opinion. When nobody answers, the request waits when a
                                worker is up but full, and else ends with
                                `NoWorkersAvailable`
    ``Wait(reason)``            the request waits in the queue, until a worker is free or
                                `queue.timeout` ends
    ``Reject(reason)``          the request ends with `Rejected`
    ``Act(answer, commands)``   one of the above, and commands for `rbee_pool_command`
    ==========================  ==========================================================

    One that raises, or answers something else, is named and counted, and the next plugin
    is asked.

    Args:
        request: The request.
        snapshot: All workers at this moment.

    Example::

        @hookimpl
        def rbee_no_candidate(request, snapshot):
            if not snapshot.with_model(request.model):
                start = PoolCommand(kind="start_worker", pool_id="lab", model_ref=request.model)
                return Act(Wait("a worker is being started"), [start])
    """


# ======================================================================================
# Wait
# ======================================================================================


@hookspec(firstresult=True)
def rbee_order_queue(jobs: Sequence[InferenceRequest], snapshot: Snapshot) -> Sequence[str] | None:
    """Called when jobs wait and a worker may be free. Return job ids, next one first.

    Stops at the first non-None answer. Jobs that are left out keep their order and come
    last. Without an answer, and when it raises, they keep the order in which they came.

    Args:
        jobs: The jobs that wait for one model, in the order in which they came.
        snapshot: All workers at this moment.

    Example::

        @hookimpl
        def rbee_order_queue(jobs):
            return [j.id for j in sorted(jobs, key=lambda j: j.priority != "interactive")]
    """


@hookspec(firstresult=True)
def rbee_order_lane(model: str, task: str, wake: Callable[[], None]) -> LaneOrder | None:
    """Called when the first job of a lane begins to wait. Return who keeps its order.

    A lane holds the jobs that wait for one model and task. `rbee_order_queue` sees all of them
    each time; an order that is kept as jobs come and go costs what changes. Stops at the first
    non-None answer, which lasts until the lane is empty; `rbee_order_queue` is not asked then.
    When one of its methods raises, the lane goes on in the order in which jobs came.

    A request that finds a worker free does not wait, so that no order sees it. A job that is
    left out waits for the next event of its lane, for ``wake``, or for its time limit.

    Args:
        model: What the jobs wait for.
        task: Their task type.
        wake: Call it, from the scheduler's event loop, when a job that the order left out may
            go now; it is without effect while the order is iterated.

    Example::

        class LastComeFirstServed:
            def __init__(self):
                self.jobs = {}

            def add(self, request):
                self.jobs[request.job_id] = None

            def remove(self, request):
                self.jobs.pop(request.job_id, None)

            def __iter__(self):
                return reversed(self.jobs)

        @hookimpl
        def rbee_order_lane(model, task):
            return LastComeFirstServed()
    """


# ======================================================================================
# Run: reserve, release
# ======================================================================================


@hookspec
def rbee_reserve(request: InferenceRequest, worker: Worker) -> Deny | None:
    """Called when a worker's slot is held, before the request is sent. May be async.

    Called in order. When one raises, those called before are released in reverse order,
    and the next candidate is tried. One that answers `Deny` ends the request: no other
    worker would help.

    Args:
        request: The request.
        worker: The worker that will serve it.

    Example::

        @hookimpl
        async def rbee_reserve(request, worker):
            await lease.take(worker.id, request.job_id)
    """


@hookspec
def rbee_release(request: InferenceRequest, worker: Worker, outcome: Outcome) -> None:
    """Called when a request is through with a worker, in reverse order. May be async.

    Called once for each `rbee_reserve` that returned, always: after success, error,
    cancellation and time-out, shielded from cancellation; a plugin without an
    `rbee_reserve` is called, too. One that raises or takes too long is named and counted,
    and the others are still called.

    Args:
        request: The request.
        worker: The worker.
        outcome: How it ended there.

    Example::

        @hookimpl
        async def rbee_release(request, worker, outcome):
            await lease.give_back(worker.id, request.job_id)
    """


# ======================================================================================
# Workers and pools
# ======================================================================================


@hookspec
def rbee_worker_event(event: WorkerEvent, snapshot: Snapshot) -> None:
    """Called when a worker came, changed its state, or left. All are called.

    Args:
        event: What happened; changes of load alone are not told.
        snapshot: All workers after it.

    Example::

        @hookimpl
        def rbee_worker_event(event):
            log.info("worker", kind=event.kind, worker=event.worker_id)
    """


@hookspec(firstresult=True)
def rbee_pool_command(command: PoolCommand, snapshot: Snapshot) -> bool | None:
    """Called when a policy wants a worker started or evicted. May be async.

    Stops at the first answer that is not None.

    ==========  ====================================================
    answer      meaning
    ==========  ====================================================
    ``None``    not mine; the next plugin is asked
    ``True``    taken
    ``False``   mine, but it can't be done; nobody else is asked
    ==========  ====================================================

    Args:
        command: What to do, where, and why.
        snapshot: All workers at this moment.

    Example::

        @hookimpl
        async def rbee_pool_command(command):
            if command.kind == "start_worker":
                await hives.start(command.pool_id, command.model_ref)
                return True
    """


# ======================================================================================
# Watch
# ======================================================================================


@hookspec
def rbee_on_event(event: RequestEvent) -> None:
    """Called at each step of a request's life. All are called. Never called per token.

    Args:
        event: What happened: admitted, queued, scheduled, first_token, retry or outcome.

    Example::

        @hookimpl
        def rbee_on_event(event):
            if event.kind == "outcome":
                seconds.observe(event.outcome.total_ms / 1000)
    """
