"""``policy test``: the cases beside a policy, and what they cover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import output_options
from rbee_scheduler.cli._output import safe
from rbee_scheduler_script._cli._files import role_option


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output
    from rbee_scheduler_script._coverage import Coverage
    from rbee_scheduler_script._policy_text import PolicyText


__all__ = ["test"]


@click.command()
@click.argument("file")
@click.option("--cases", metavar="FILE", help="The cases; by default FILE.test.yaml or .toml.")
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Fail when fewer of the lines, or of the rules, are covered.",
)
@role_option
@output_options
@click.pass_context
def test(
    context: click.Context,
    *,
    output: Output,
    file: str,
    cases: str | None,
    min_coverage: float,
    role: str | None,
) -> None:
    """Run the cases beside a policy, and say what they cover.

    Exits with 1 when one comes out differently.
    """
    from rbee_scheduler_script._cases import cases_beside, read_cases
    from rbee_scheduler_script._cli._files import explain_with, load_policy
    from rbee_scheduler_script._coverage import coverage_of
    from rbee_scheduler_script._trace import Recorder, TracedPolicy

    text = load_policy(file)
    path = Path(cases) if cases is not None else cases_beside(file)
    recorder = Recorder()
    policy = TracedPolicy(text, recorder, name="policy", role=role or "", max_failures=0)
    results = []
    for case in read_cases(path):
        recorder.begin(case.job)
        explained = explain_with(policy, case.registry, case.job)
        problem = case.expect.problem(explained)
        results.append(
            {"name": case.name, "ok": not problem, "problem": problem or None,
             "action": explained.action, "worker_id": explained.worker_id or None}
        )  # fmt: skip
    covered = coverage_of(text, recorder)
    enough = min(covered.line_share, covered.rule_share) * 100 >= min_coverage
    bad = sum(not result["ok"] for result in results)
    output.emit(
        {
            "ok": not bad and enough,
            "cases": results,
            "coverage": _coverage_data(covered, text),
        },
        lambda: safe("\n".join(_lines(results, covered, text))),
    )
    if not enough:
        output.message(f"covered is less than {min_coverage:g} %")
    if bad or not enough:
        context.exit(NEGATIVE)


def _coverage_data(covered: Coverage, text: PolicyText) -> dict[str, Any]:
    return {
        "lines": len(covered.lines),
        "lines_missed": [text.place(line, 1) for line in covered.missed_lines],
        "line_share": covered.line_share,
        "rules": len(covered.rules),
        "rules_missed": [text.place(*place) for place in covered.missed_rules],
        "rule_share": covered.rule_share,
    }


def _lines(results: list[dict[str, Any]], covered: Coverage, text: PolicyText) -> list[str]:
    lines = []
    for result in results:
        lines.append(f"{'ok  ' if result['ok'] else 'FAIL'}  {result['name']}")
        if not result["ok"]:
            lines.append(f"      {result['problem']}")
    good = sum(result["ok"] for result in results)
    lines.append(f"{good} of {len(results)} cases as expected")
    for what, missed, every, share in (
        ("lines", len(covered.missed_lines), len(covered.lines), covered.line_share),
        ("rules", len(covered.missed_rules), len(covered.rules), covered.rule_share),
    ):
        lines.append(f"{what} covered: {every - missed} of {every} ({share:.0%})")
    source = text.source.split("\n")
    for line, column in covered.missed_rules:
        lines.append(f"  never taken: {text.place(line, column)}  {source[line - 1].strip()}")
    return lines
