"""``policy fmt``: policies in the one format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import output_options


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output


__all__ = ["fmt"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if anything would change.")
@output_options
@click.pass_context
def fmt(context: click.Context, *, output: Output, files: tuple[str, ...], check: bool) -> None:
    """Format policies.

    What they decide stays the same. - reads Rhai from stdin and prints it.
    """
    from rbee_scheduler import ConfigError
    from rbee_scheduler_script._cli._files import load_policy
    from rbee_scheduler_script._format import format_source

    changed: list[str] = []
    for file in files:
        text = load_policy(file)
        if text.is_yaml:
            raise ConfigError("only Rhai is formatted, not YAML", place=file, hint="leave it out")
        formatted = format_source(text.source)
        if file == "-" and not check:
            output.emit({"formatted": formatted}, formatted.rstrip("\n"))
            return
        if formatted == text.text:
            continue
        changed.append(file)
        if not check:
            try:
                Path(file).write_text(formatted, encoding="utf-8", newline="\n")
            except OSError as error:
                raise ConfigError(
                    f"can't write it: {error.strerror or error}", place=file, hint="check the path"
                ) from error
    word = "would change" if check else "formatted"
    output.emit(
        {"files": list(files), "changed": changed},
        lambda: "\n".join([f"{file}: {word}" for file in changed]) or "nothing to change",
    )
    if check and changed:
        context.exit(NEGATIVE)
