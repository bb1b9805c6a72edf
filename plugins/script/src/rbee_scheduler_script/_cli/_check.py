"""``policy check``: what a policy says, and what it can't mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import output_options
from rbee_scheduler.cli._output import safe
from rbee_scheduler_script._cli._files import role_option


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output
    from rbee_scheduler_script._review import Remark


__all__ = ["check"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@role_option
@click.option("--strict", "warnings_fail", is_flag=True, help="Let warnings fail, too.")
@output_options
@click.pass_context
def check(
    context: click.Context,
    *,
    output: Output,
    files: tuple[str, ...],
    role: str | None,
    warnings_fail: bool,
) -> None:
    """Check a policy: what it says, and what it can't mean.

    Finds what Rhai lets pass silently, such as a field that no worker has, and a policy that
    does not compile. Exits with 1 when it finds an error.
    """
    found = {file: _remarks(file, role) for file in files}
    remarks = [remark for of_file in found.values() for remark in of_file]
    failing = {"error", "warning"} if warnings_fail else {"error"}
    bad = any(remark.severity in failing for remark in remarks)
    output.emit(
        {"ok": not bad, "files": list(files), "findings": list(map(_data, remarks))},
        lambda: "\n".join(
            safe(str(line)) for file in files for line in found[file] or [f"{file}: fine"]
        ),
    )
    if bad:
        context.exit(NEGATIVE)


def _remarks(file: str, role: str | None) -> tuple[Remark, ...]:
    from rbee_scheduler import ConfigError, PolicyError
    from rbee_scheduler_script._cli._files import compiled_policy, load_policy
    from rbee_scheduler_script._review import check_text, remark_of

    try:
        text = load_policy(file)
    except PolicyError as error:
        if isinstance(error.__cause__, (OSError, UnicodeDecodeError)):
            raise ConfigError(error.message, place=error.place, hint=error.hint) from error
        return (remark_of(error, file),)
    remarks = check_text(text)
    if any(remark.severity == "error" for remark in remarks):
        return remarks
    try:
        compiled_policy(text, role)
    except PolicyError as error:
        remarks += (remark_of(error, file),)
    return remarks


def _data(remark: Remark) -> dict[str, Any]:
    return attrs.asdict(remark)
