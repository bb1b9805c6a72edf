"""The command group that imports a command when it is named, and plugins when it must.

``rbee-scheduler --help`` is asked often and should answer at once: 100 ms hold the
interpreter, click and nothing else. So the table below knows each command's room and one
line about it, and only a name that is not in it makes the group load plugins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from rbee_scheduler.cli._failure import OK, report_failure
from rbee_scheduler.cli._options import DeploymentSource, Settings, settings_of


if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


__all__ = ["COMPLETE_VARIABLE", "LazyCommand", "LazyGroup"]

COMPLETE_VARIABLE = "_RBEE_SCHEDULER_COMPLETE"


class LazyCommand(NamedTuple):
    """Where a command is, and what ``--help`` says of it without looking there.

    A tuple, because importing attrs would take a third of the time that ``--help`` has.

    Attributes:
        target: ``module:attribute``.
        summary: The first sentence of its help.
    """

    target: str
    summary: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group whose commands are imported when they are named.

    Args:
        lazy: Command name -> where it is.
        **options: As for `click.Group`.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = dict(lazy)

    # ---- finding commands ----------------------------------------------------------------

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return core's commands; plugins' own would cost loading the plugins."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return core's command of this name, else a plugin's, else None."""
        entry = self._lazy.get(cmd_name)
        if entry is not None:
            return entry.load()
        return self.plugin_commands(ctx).get(cmd_name)

    def plugin_commands(self, ctx: click.Context) -> dict[str, click.Command]:
        """Load the deployment's plugins and return the commands they add.

        Raises:
            ConfigError: The configuration is wrong, or two distributions claim one name.
        """
        # Stand-ins for core's commands let the manager see a clash without importing them.
        names = {name: click.Command(name) for name in self._lazy}
        group = click.Group(self.name, commands=dict(names))
        DeploymentSource(settings_of(ctx)).plugins().register_commands(group)
        return {name: command for name, command in group.commands.items() if name not in names}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` name; suggest the nearest one for a slip."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            near = get_close_matches(name, self._lazy, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{guess}")
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the table of commands from what is known without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self._lazy.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands from the table, and options; a keystroke imports nothing."""
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=entry.summary)
            for name, entry in self._lazy.items()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    # ---- running -------------------------------------------------------------------------

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and exit, with the exit codes of `_failure`.

        Args:
            args: Arguments; by default the process's.
            prog_name: How the program calls itself.
            complete_var: Environment variable through which a shell asks for completions.
            standalone_mode: False: leave exceptions and exit to the caller, as click does.
            **extra: For the context.
        """
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        return self._run(
            list(sys.argv[1:] if args is None else args),
            prog_name or self.name or "rbee-scheduler",
            complete_var or COMPLETE_VARIABLE,
        )

    def _run(self, arguments: list[str], program: str, complete_variable: str) -> NoReturn:
        _make_streams_forgiving()
        # Also when the arguments can't be parsed the error shall come as they ask.
        before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
        settings = Settings()
        settings.as_json = "--json" in before_dashes
        try:
            self._complete(program, complete_variable)
            with self.make_context(program, arguments, obj=settings) as context:
                self.invoke(context)
            if sys.stdout is not None:
                sys.stdout.flush()
            code = OK
        except BaseException as failure:  # noqa: BLE001 - Ctrl-C and exits have codes, too
            code = report_failure(failure, settings.output())
        sys.exit(code)

    def _complete(self, program: str, variable: str) -> None:
        """Answer a shell that asks for completions, and exit."""
        instruction = os.environ.get(variable)
        if instruction:
            from click.shell_completion import shell_complete

            sys.exit(shell_complete(self, {}, program, variable, instruction))


def _make_streams_forgiving() -> None:
    """Let a character that the terminal's encoding lacks show as an escape, not as a crash."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
