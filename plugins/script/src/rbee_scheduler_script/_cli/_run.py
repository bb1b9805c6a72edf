"""``policy run``: one decision of a policy, with everything that led to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import DeploymentSource, deployment_options, output_options
from rbee_scheduler.cli._output import safe
from rbee_scheduler_script._cli._files import role_option


if TYPE_CHECKING:
    from rbee_scheduler import Explanation
    from rbee_scheduler.cli._output import Output
    from rbee_scheduler_script._policy_text import PolicyText
    from rbee_scheduler_script._trace import Recorder


__all__ = ["run"]

_BRIEF = ("job_id", "model", "action", "worker_id", "fallbacks", "selected_by", "reason")


@click.command()
@click.argument("file")
@click.option(
    "-f", "--file", "job", required=True, metavar="JOB.JSON", help="The job; - reads it from stdin."
)
@click.option(
    "--workers",
    metavar="WORKERS.JSON",
    help="The fleet, instead of the configuration's [[workers]].",
)
@click.option("--trace", is_flag=True, help="Show each line, condition and helper call.")
@role_option
@deployment_options
@output_options
@click.pass_context
def run(
    context: click.Context,
    *,
    output: Output,
    source: DeploymentSource,
    file: str,
    job: str,
    workers: str | None,
    trace: bool,
    role: str | None,
) -> None:
    """Say what a policy decides on a job, and why.

    Runs the shipped decision with this policy alone; nothing is sent to any worker. Exits with 1
    when no worker is chosen, or the policy fails.
    """
    from rbee_scheduler.cli._input import load_request
    from rbee_scheduler_script._cli._files import (
        compiled_policy,
        explain_with,
        load_policy,
        registry_of,
    )
    from rbee_scheduler_script._trace import Recorder, TracedPolicy

    text, request = load_policy(file), load_request(job)
    registry = registry_of(workers, source)
    recorder = Recorder()
    policy = (
        TracedPolicy(text, recorder, name="policy", role=role or "")
        if trace
        else compiled_policy(text, role)
    )
    recorder.begin(request)
    explanation = explain_with(policy, registry, request)
    for failure in explanation.failures:
        output.warn(safe(failure))
    output.emit(
        _data(explanation, text, recorder if trace else None),
        lambda: safe("\n".join(_lines(explanation, text, recorder if trace else None))),
    )
    if explanation.action != "dispatch" or explanation.failures:
        context.exit(NEGATIVE)


def _data(explanation: Explanation, text: PolicyText, recorder: Recorder | None) -> dict[str, Any]:
    full = explanation.to_dict()
    data = {key: full[key] for key in _BRIEF} | {"failures": list(explanation.failures)}
    if recorder is None:
        return data
    steps = [
        {
            "kind": step.kind,
            "place": text.place(step.line, step.column),
            "source": _line(text, step.line),
            "helper": step.name or None,
            "count": step.count,
            "outcomes": dict(step.outcomes),
        }
        for step in _steps(text, recorder)
    ]
    return data | {"workers": full["workers"], "trace": steps}


def _lines(explanation: Explanation, text: PolicyText, recorder: Recorder | None) -> list[str]:
    if recorder is None:
        return [explanation.worker_id or explanation.to_text().partition("\n")[0]]
    steps = list(_steps(text, recorder))
    width = max([len(text.place(step.line, step.column)) for step in steps], default=0)
    lines = []
    for step in steps:
        place = text.place(step.line, step.column).ljust(width)
        times = f"  ({step.count} times)" if step.count > 1 else ""
        if step.kind == "line":
            lines.append(f"{place}  {_line(text, step.line)}{times}")
            continue
        blank = " " * width
        for outcome, count in step.outcomes.items():
            often = f"  ({count} times)" if count > 1 else ""
            what = f"the condition at column {step.column} is {outcome}"
            lines.append(f"{blank}      {outcome if step.kind == 'helper' else what}{often}")
    return [*lines, "", explanation.to_text()]


def _steps(text: PolicyText, recorder: Recorder) -> list[Any]:
    """Return the steps in the script itself; what is added behind it to batch is not shown."""
    last = text.source.count("\n") + 1
    return [step for step in recorder.steps.values() if step.line <= last]


def _line(text: PolicyText, line: int) -> str:
    lines = text.source.split("\n")
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""
