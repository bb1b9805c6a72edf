"""Answers of a selecting policy, checked and turned into what the hook answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from rbee_scheduler import Act, PoolCommand, Reject, Wait
from rbee_scheduler_script._problems import WrongAnswer, shown
from rbee_scheduler_script._view import View


__all__ = ["Choice", "Selected", "selection"]

Map = dict[str, Any]
Choice = Sequence[str] | Wait | Reject | None
Selected = Choice | Act

# As many as core looks at.
NAMED: Final = 5

# A job that gives way to another one is asked again after so many seconds, in case nothing happens.
GIVE_WAY: Final = 0.05

A_WORKER: Final = 'a worker, its id, () for none, or reject("reason")'
AN_ACTION: Final = 'a decision map such as #{action: "dispatch", job_id: ..., worker_id: ...}'

# Keys that an action must have, and those it may have.
_KEYS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "dispatch": (("worker_id",), ("job_id", "reason")),
    "wait": ((), ("job_id", "reason", "retry_after_ms")),
    "reject": (("reason",), ("job_id",)),
    "start_worker": (("pool_id", "gpu_id", "model_ref"), ("reason",)),
    "evict_worker": (("worker_id",), ("reason",)),
    "batch": (("actions",), ("reason",)),
    "delegate": ((), ()),
}
_COMMANDS: Final = ("start_worker", "evict_worker")
_TEXTS: Final = ("job_id", "worker_id", "reason", "pool_id", "gpu_id", "model_ref")


def selection(answer: Any, view: View, none: Choice) -> Selected:
    """Return what a selecting policy's answer means.

    Args:
        answer: What the script answered.
        view: What it saw.
        none: What ``()`` means.

    Raises:
        WrongAnswer: It means nothing.
    """
    if type(answer) is dict:
        if "action" in answer:
            return _decision(answer, view, none)
        return [_worker(answer, view)]
    if answer is None:
        return none
    if type(answer) is str:
        return [_candidate(answer, view)]
    if type(answer) is list:
        return [_worker(item, view) for item in answer[:NAMED]] if answer else none
    raise WrongAnswer(shown(answer), A_WORKER)


def _worker(answer: Any, view: View) -> str:
    """Return the id of a worker given as a map, or by its id."""
    if type(answer) is str:
        return _candidate(answer, view)
    worker_id = answer.get("id") if type(answer) is dict else None
    if type(worker_id) is not str:
        raise WrongAnswer(shown(answer), A_WORKER)
    return _candidate(worker_id, view)


def _candidate(worker_id: str, view: View) -> str:
    """Return the id when it is a candidate's; say why it is none otherwise."""
    worker, request = view.snapshot.worker(worker_id), view.request
    if worker is None:
        raise WrongAnswer(f"the id {worker_id!r}, which no worker has", A_WORKER)
    if request.model not in worker.models:
        why = f"serves {', '.join(worker.models) or 'nothing'} and not {request.model}"
    elif request.task_type not in worker.capabilities:
        why = f"can't do {request.task_type}"
    elif worker.free and _is_candidate(worker_id, view):
        return worker_id
    elif not view.candidates and worker.usable:
        return worker_id  # nobody is free, and this one will be
    elif not worker.free:
        why = _state(worker)
    else:
        why = "was dropped by a filter, or has failed this job"
    raise WrongAnswer(f"the worker {worker_id!r}, which {why}", "one of the candidates (workers)")


def _is_candidate(worker_id: str, view: View) -> bool:
    """Whether a free worker that can do the job is a candidate; all are, unless some are gone."""
    candidates, request = view.candidates, view.request
    if len(candidates) == len(view.snapshot.free(request.model, request.task_type)):
        return True
    return any(other.id == worker_id for other in candidates)


def _state(worker: Any) -> str:
    if not worker.online:
        return "is offline"
    if worker.status != "ready":
        return f"is {worker.status}"
    return f"is full ({worker.running} of {worker.slots} slots)"


# ---- decision maps ---------------------------------------------------------------------


def _decision(answer: Map, view: View, none: Choice) -> Selected:
    """Return what a decision map means for the job at hand, with the commands in it."""
    actions = _flat(answer)
    commands = tuple(_command(action) for action in actions if action["action"] in _COMMANDS)
    others = [action for action in actions if action["action"] not in _COMMANDS]
    chosen = _for_job(others, view, none, commands)
    return Act(chosen, commands) if commands else chosen


def _for_job(
    actions: list[Map], view: View, none: Choice, commands: tuple[PoolCommand, ...]
) -> Choice:
    job_id = view.request.job_id
    for action in actions:
        if action["action"] == "delegate":
            return None
        if action.get("job_id", job_id) != job_id:
            continue
        return _MEANINGS[action["action"]](action, view)
    if actions and view.candidates:  # without any there is nothing to give way for
        # It decided on other jobs only; each is asked about when its turn comes.
        other = actions[0]["job_id"]
        return Wait(f"the policy decided on job {other!r} first", retry_after=GIVE_WAY)
    if commands:
        return Wait(commands[0].reason or f"the policy asked for {commands[0].kind}")
    return none


def _flat(answer: Any, inside: str = "") -> list[Map]:
    """Return the actions of a decision map, checked; those of a batch in their order."""
    if type(answer) is not dict or "action" not in answer:
        raise WrongAnswer(f"{inside}{shown(answer)}", AN_ACTION)
    kind = answer["action"]
    if type(kind) is not str or kind not in _KEYS:
        raise WrongAnswer(
            f"{inside}a decision map with the action {shown(kind)}",
            f"one of {', '.join(sorted(_KEYS))}",
        )
    what = f"{inside}a {kind!r} action"
    _check_keys(answer, kind, what)
    if kind != "batch":
        return [answer]
    if type(answer["actions"]) is not list:
        raise WrongAnswer(f"{what} whose actions are {shown(answer['actions'])}", "an array")
    if inside:
        raise WrongAnswer("a batch inside a batch", "one batch of plain actions")
    return [part for action in answer["actions"] for part in _flat(action, "in a batch: ")]


def _check_keys(action: Map, kind: str, what: str) -> None:
    needed, optional = _KEYS[kind]
    for key in needed:
        if action.get(key) is None:
            raise WrongAnswer(f"{what} without {key}", f"the keys {', '.join(needed)}")
    known = {"action", *needed, *optional}
    for key in action:
        if key not in known:
            raise WrongAnswer(f"{what} with the unknown key {key!r}", _keys(needed, optional))
    for key in _TEXTS:
        if action.get(key) is not None and type(action[key]) is not str:
            raise WrongAnswer(f"{what} whose {key} is {shown(action[key])}", "a string")


def _keys(needed: Sequence[str], optional: Sequence[str]) -> str:
    marked = [*needed, *(f"{key}?" for key in optional)]
    return f"the keys {', '.join(marked)}" if marked else "no other key"


def _command(action: Map) -> PoolCommand:
    return PoolCommand(
        kind=action["action"],
        pool_id=action.get("pool_id") or "",
        gpu_id=action.get("gpu_id") or "",
        model_ref=action.get("model_ref") or "",
        worker_id=action.get("worker_id") or "",
        reason=action.get("reason") or "",
    )


def _dispatch(action: Map, view: View) -> Choice:
    return [_candidate(action["worker_id"], view)]


def _wait(action: Map, _view: View) -> Choice:
    pause = action.get("retry_after_ms")
    if pause is not None and (type(pause) not in (int, float) or not 0 <= pause < 1e12):  # noqa: PLR2004 - 30 years
        raise WrongAnswer(f"a 'wait' action whose retry_after_ms is {shown(pause)}", "0 or more")
    seconds = None if pause is None else pause / 1000
    return Wait(action.get("reason") or "the policy says so", retry_after=seconds)


def _reject(action: Map, _view: View) -> Choice:
    return Reject(action["reason"])


_MEANINGS: Final[dict[str, Callable[[Map, View], Choice]]] = {
    "dispatch": _dispatch,
    "wait": _wait,
    "reject": _reject,
}
