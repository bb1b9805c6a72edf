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
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    from rbee_scheduler.cli._group import COMPLETE_VARIABLE

    complete = {"bash": BashComplete, "fish": FishComplete, "zsh": ZshComplete}[shell]
    # Not `source()`: it runs bash to look at its version, also where the script only passes by.
    script = complete(context.find_root().command, {}, "rbee-scheduler", COMPLETE_VARIABLE)
    source = script.source_template % script.source_vars()
    output.emit({"shell": shell, "script": source}, f"{_HOW[shell]}\n{source}")
