"""The group and its table of commands; each is imported when it is named."""

from __future__ import annotations

from typing import Final

import click

from rbee_scheduler.cli._group import LazyCommand, LazyGroup


__all__ = ["policy"]

_COMMANDS: Final = {
    name: LazyCommand(f"rbee_scheduler_script._cli.{target}", summary)
    for name, target, summary in (
        ("check", "_check:check", "Check a policy: what it says, and what it can't mean."),
        ("compile", "_compile:compile_", "Print the Rhai that YAML rules are compiled to."),
        ("run", "_run:run", "Say what a policy decides on a job, and why."),
        ("test", "_test:test", "Run the cases beside a policy, and say what they cover."),
        ("simulate", "_simulate:simulate", "Let a policy place many jobs on a made-up fleet."),
        ("fmt", "_fmt:fmt", "Format policies."),
        ("new", "_new:new", "Write a policy from a template."),
        ("helpers", "_helpers:helpers", "List the functions that policies may call."),
        ("deploy", "_deploy:deploy", "Let another version of a policy decide."),
        ("rollback", "_deploy:rollback", "Let an older version of a policy decide again."),
        ("versions", "_deploy:versions", "List the versions of a policy."),
    )
}


class _PolicyGroup(LazyGroup):
    """Without commands of plugins: those belong to the root."""

    def plugin_commands(self, ctx: click.Context) -> dict[str, click.Command]:  # noqa: ARG002 - click's
        return {}


@click.group(
    "policy",
    cls=_PolicyGroup,
    lazy=_COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.pass_context
def policy(context: click.Context) -> None:
    """Check, run, test, write and deploy policies.

    FILE is a Rhai script, or YAML rules where its name ends with .yaml or .yml.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
