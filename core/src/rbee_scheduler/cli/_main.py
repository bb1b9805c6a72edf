"""The root of the command line: its table of commands and the options before them."""

from __future__ import annotations

from typing import Any

import click

from rbee_scheduler._version import __version__
from rbee_scheduler.cli._group import LazyCommand, LazyGroup
from rbee_scheduler.cli._options import deployment_options, output_options


__all__ = ["cli", "main"]

_COMMANDS = {
    name: LazyCommand(f"rbee_scheduler.cli.{target}", summary)
    for name, target, summary in (
        ("demo", "_demo:demo", "Route requests to real llama.cpp servers, made on the spot."),
        ("run", "_run:run", "Send one prompt and stream the answer."),
        ("route", "_route:route", "Say which worker a request would go to, and why."),
        ("workers", "_workers:workers", "Probe workers and show what they are."),
        ("plugins", "_plugins:plugins", "List, check and write plugins."),
        ("config", "_config:config", "Show and check the configuration."),
        ("doctor", "_doctor:doctor", "Say what works on this machine and what to install."),
        ("completion", "_completion:completion", "Print a shell script that completes commands."),
    )
}


@click.group(
    "rbee-scheduler",
    cls=LazyGroup,
    lazy=_COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Installed plugins may add commands; 'rbee-scheduler plugins' lists plugins.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@deployment_options
@output_options
@click.pass_context
def cli(context: click.Context, /, **_: Any) -> None:
    """Decide which worker serves an LLM request, and relay its token stream."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the command line; never returns."""
    cli.main()
