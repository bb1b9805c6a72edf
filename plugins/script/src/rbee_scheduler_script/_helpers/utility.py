"""Helpers for answers, logs, metrics, time and text."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._helper import Helper, number, text
from rbee_scheduler_script._view import View


__all__ = ["HELPERS", "PLATFORM_SOURCE"]

Map = dict[str, Any]

PLATFORM_SOURCE: Final = """\
// The platform scheduler is no script: it is the plugin rbee-scheduler-platform, and can't be
// replaced. This policy leaves every decision to it.
fn schedule(ctx) {
    platform_schedule(ctx)
}
"""


def _reject(run: rhai.Run, reason: Any = "") -> Map:
    return {"action": "reject", "reason": text(run, reason, "the reason")}


def _log(view: View, run: rhai.Run, message: Any, *, level: str) -> None:
    # A line of a log costs as much as 100 steps; looking for the prompt in it, its length.
    run.charge(100 + (len(text(run, message, "the text")) >> 3))
    view.say(level, message)


def _metric(view: View, run: rhai.Run, name: Any, value: Any) -> None:
    run.charge(20)
    view.measure(text(run, name, "the name"), number(run, value, "the value"))


def _now(view: View, _run: rhai.Run) -> int:
    return view.now


def _elapsed(view: View, run: rhai.Run, moment: Any) -> float:
    # Within 64 bits, whatever the moment.
    return min(max(0, view.now - number(run, moment, "the moment")), 2**63 - 1)


def _contains(run: rhai.Run, whole: Any, part: Any) -> bool:
    run.charge(1 + (len(text(run, whole, "the text")) >> 6))
    return text(run, part, "the part") in whole


def _starts_with(run: rhai.Run, whole: Any, start: Any) -> bool:
    return text(run, whole, "the text").startswith(text(run, start, "the start"))


def _platform(_run: rhai.Run, _ctx: Any = None) -> Map:
    return {"action": "delegate"}


def _platform_source(_run: rhai.Run) -> str:
    return PLATFORM_SOURCE


_LOGS: Final = tuple(
    Helper(
        name=f"log_{level}",
        forms=(f"log_{level}(text)",),
        answers=f"Writes a line of level {level} to the scheduler's log, without the prompt.",
        example=f"log_{level}(`placing ${{job.id}}`)",
        gives=None,
        code=partial(_log, level=level),
        arities=(1,),
        sees=True,
    )
    for level in ("debug", "info", "warn", "error")
)

HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="reject",
        forms=("reject(reason)",),
        answers="The answer that refuses a job; return it.",
        example='reject("too large")',
        gives={"action": "reject", "reason": "too large"},
        code=_reject,
        arities=(0, 1),
    ),
    *_LOGS,
    Helper(
        name="emit_metric",
        forms=("emit_metric(name, value)",),
        answers="Sets a number of the policy, shown in its state.",
        example='emit_metric("candidates", workers.len())',
        gives=None,
        code=_metric,
        arities=(2,),
        sees=True,
    ),
    Helper(
        name="now",
        forms=("now()",),
        answers="The scheduler's clock: ms since 1970, the same throughout a decision.",
        example="now()",
        gives=1_700_000_000_000,
        code=_now,
        arities=(0,),
        sees=True,
    ),
    Helper(
        name="elapsed_since",
        forms=("elapsed_since(ms)",),
        answers="How many ms have passed since a moment; 0 when it is yet to come.",
        example="elapsed_since(now() - 1500)",
        gives=1500,
        code=_elapsed,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="string_contains",
        forms=("string_contains(text, part)",),
        answers="Whether a text contains another; the same as `text.contains(part)`.",
        example='string_contains("llama-3-70b", "70b")',
        gives=True,
        code=_contains,
        arities=(2,),
    ),
    Helper(
        name="string_starts_with",
        forms=("string_starts_with(text, start)",),
        answers="Whether a text starts with another; the same as `text.starts_with(start)`.",
        example='string_starts_with("llama-3-70b", "llama")',
        gives=True,
        code=_starts_with,
        arities=(2,),
    ),
    Helper(
        name="platform_schedule",
        forms=("platform_schedule(ctx)",),
        answers="The answer that leaves the decision to the rest of the deployment (the platform "
        "scheduler, where it is installed); return it.",
        example="platform_schedule(ctx)",
        gives={"action": "delegate"},
        code=_platform,
        arities=(0, 1),
    ),
    Helper(
        name="get_platform_scheduler_source",
        forms=("get_platform_scheduler_source()",),
        answers="A policy that does nothing but `platform_schedule(ctx)`, as text to start from.",
        example='get_platform_scheduler_source().contains("platform_schedule(ctx)")',
        gives=True,
        code=_platform_source,
        arities=(0,),
    ),
)
