"""The groups and their tables of commands; each is imported when it is named."""

from __future__ import annotations

from typing import Any, Final

import click

from rbee_scheduler.cli._group import LazyCommand, LazyGroup


__all__ = ["audit", "store", "tenant", "token"]

_ROOM: Final = "rbee_scheduler_platform._cli"
_CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Group(LazyGroup):
    """Without commands of plugins: those belong to the root."""

    def plugin_commands(self, ctx: click.Context) -> dict[str, click.Command]:  # noqa: ARG002 - click's
        return {}


def _group(name: str, summary: str, *commands: tuple[str, str, str]) -> click.Group:
    def show(context: click.Context) -> None:
        if context.invoked_subcommand is None:
            click.echo(context.get_help())

    options: dict[str, Any] = {"invoke_without_command": True, "context_settings": _CONTEXT}
    return _Group(
        name,
        lazy={command: LazyCommand(f"{_ROOM}.{at}", text) for command, at, text in commands},
        callback=click.pass_context(show),
        help=summary,
        **options,
    )


tenant = _group(
    "tenant",
    "Create tenants, set their weights and quotas, and give them tokens.",
    ("create", "_tenants:create", "Add a tenant."),
    ("set", "_tenants:set_", "Change a tenant; what is not given stays."),
    ("disable", "_tenants:disable", "Refuse a tenant's requests."),
    ("enable", "_tenants:enable", "Take a tenant's requests again."),
    ("list", "_tenant_views:list_", "List the tenants."),
    ("show", "_tenant_views:show", "Show a tenant and what it uses today."),
    ("usage", "_tenant_views:usage", "Show what tenants used, by day."),
    ("token", "_group:token", "Create, list, revoke and rotate tokens."),
)

token = _group(
    "token",
    "Create, list, revoke and rotate bearer tokens. A token is shown once, when it is made.",
    ("create", "_tokens:create", "Make a token and print it, once."),
    ("list", "_tokens:list_", "List tokens, without their secrets."),
    ("revoke", "_tokens:revoke", "Make a token no good, for ever."),
    ("rotate", "_tokens:rotate", "Give a token another secret, and print it, once."),
)

audit = _group(
    "audit",
    "Verify, export and prune the audit trail.",
    ("verify", "_audit:verify_", "Walk the chain and name the first bad record."),
    ("export", "_audit:export", "Write the records as JSON lines."),
    ("prune", "_audit:prune", "Delete the oldest records, and leave a checkpoint."),
)

store = _group(
    "store",
    "Make, check and back up the store.",
    ("migrate", "_store:migrate", "Make the store, or bring its tables up to date."),
    ("check", "_store:check", "Check the file and the books."),
    ("backup", "_store:backup", "Copy the store while it is in use."),
    ("prune", "_store:prune", "Delete ended jobs and charges of old days; usage stays."),
)
