"""``rbee-scheduler completion``: the script that a shell sources to complete commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rbee_scheduler.cli._options import output_options


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output


__all__ = ["completion"]

_HOW = {
    "bash": '# bash: in ~/.bashrc:  eval "$(rbee-scheduler completion bash)"',
    "zsh": '# zsh: in ~/.zshrc:  eval "$(rbee-scheduler completion zsh)"',
    "fish": "# fish: in config.fish:  rbee-scheduler completion fish | source",
}


@click.command()
@click.argument("shell", type=click.Choice(sorted(_HOW)))
@output_options
@click.pass_context
def completion(context: click.Context, *, output: Output, shell: str) -> None:
    """Print a shell script that completes commands.

    The script's first line says where to put it.
    """
    from click.shell_completion import get_completion_class

    from rbee_scheduler.cli._group import COMPLETE_VARIABLE

    root = context.find_root()
    complete = get_completion_class(shell)
    if complete is None:  # a click of the future without it
        raise click.UsageError(f"this version of click can't complete in {shell}")
    # The templates name the program that is completed, not the shell that asks.
    script = complete(root.command, {}, "rbee-scheduler", COMPLETE_VARIABLE)
    source = script.source_template % script.source_vars()
    output.emit({"shell": shell, "script": source}, f"{_HOW[shell]}\n{source}")
