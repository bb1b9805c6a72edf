"""``policy compile``: the Rhai that YAML rules are compiled to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rbee_scheduler.cli._options import output_options


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output


__all__ = ["compile_"]


@click.command("compile")
@click.argument("file")
@click.option("-o", "--output-file", "target", metavar="FILE", help="Write it there instead.")
@output_options
def compile_(*, output: Output, file: str, target: str | None) -> None:
    """Print the Rhai that YAML rules are compiled to.

    Names and comments are kept; the policy decides exactly as the rules say.
    """
    from rbee_scheduler import ConfigError
    from rbee_scheduler_script._cli._files import compiled_policy, load_policy

    text = load_policy(file)
    compiled_policy(text, None)
    if target is not None:
        try:
            Path(target).write_text(text.source, encoding="utf-8", newline="\n")
        except OSError as error:
            raise ConfigError(
                f"can't write it: {error.strerror or error}", place=target, hint="check the path"
            ) from error
        output.emit({"file": file, "written": target}, f"{target} written")
        return
    output.emit({"file": file, "rhai": text.source}, text.source.rstrip("\n"))
