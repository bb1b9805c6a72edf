"""Answers of filters and scorers, one per worker, checked and turned into what the hooks answer."""

from __future__ import annotations

from typing import Any

from rbee_scheduler_script._problems import WrongAnswer, shown
from rbee_scheduler_script._view import View


__all__ = ["drops", "scores"]


def drops(answers: list[Any], view: View) -> dict[str, str]:
    """Return worker id -> reason for each that a filter's answers drop.

    Raises:
        WrongAnswer: One of them is no answer.
    """
    if answers.count(True) == len(answers) and all(answer is True for answer in answers):
        return {}
    return {
        worker.id: _reason(answer, worker.id)
        for worker, answer in zip(view.candidates, answers, strict=True)
        if answer is not True and answer is not None
    }


def _reason(answer: Any, worker_id: str) -> str:
    if answer is False:
        return "the policy drops it"
    if isinstance(answer, str):
        return str(answer)
    if type(answer) is dict and answer.get("action") == "reject":
        return str(answer.get("reason") or "the policy drops it")
    raise WrongAnswer(
        f"{shown(answer)} for the worker {worker_id!r}",
        "true to keep it, false or a reason to drop it",
    )


def scores(answers: list[Any], view: View) -> dict[str, float]:
    """Return worker id -> number; a worker for which the answer is ``()`` is left out.

    Raises:
        WrongAnswer: One of them is no number.
    """
    for kind in set(map(type, answers)):
        if kind not in (int, float, type(None)):
            at = next(at for at, answer in enumerate(answers) if type(answer) is kind)
            raise WrongAnswer(
                f"{shown(answers[at])} for the worker {view.candidates[at].id!r}", "a number"
            )
    pairs = zip(view.candidates, answers, strict=True)
    return {worker.id: answer for worker, answer in pairs if answer is not None}
