"""``rbee-scheduler plugins``: list them, check one against the contract, write a new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rbee_scheduler._errors import ConfigError
from rbee_scheduler._version import __version__
from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import DeploymentSource, deployment_options, output_options
from rbee_scheduler.cli._output import safe


if TYPE_CHECKING:
    from rbee_scheduler import PluginInfo
    from rbee_scheduler.cli._output import Output


__all__ = ["plugins"]

_requirements = click.option(
    "--requirements", is_flag=True, help="Print name==version lines, as pip takes them."
)


@click.group(invoke_without_command=True)
@_requirements
@deployment_options
@output_options
@click.pass_context
def plugins(
    context: click.Context, *, output: Output, source: DeploymentSource, requirements: bool
) -> None:
    """List, check and write plugins.

    Without a command: list them. RBEE_SCHEDULER_PLUGINS=a,b uses only these.
    """
    if context.invoked_subcommand is None:
        _list(output, source, requirements=requirements)


@plugins.command("list")
@_requirements
@deployment_options
@output_options
def list_plugins(*, output: Output, source: DeploymentSource, requirements: bool) -> None:
    """List the plugins, in the order of asking; those that failed say why."""
    _list(output, source, requirements=requirements)


@plugins.command()
@click.argument("name")
@deployment_options
@output_options
@click.pass_context
def check(context: click.Context, *, output: Output, source: DeploymentSource, name: str) -> None:
    """Run the contract's checks on a plugin.

    NAME is an instance of the configuration, with its options, or any installed plugin.
    Exits with 1 when a check fails.
    """
    plugin = _plugin_named(name, source)
    try:
        from rbee_scheduler.testing import check_plugin
    except ImportError as error:
        raise ConfigError(
            f"the checks need the package {error.name!r}",
            hint="pip install 'rbee-scheduler[testing]'",
        ) from error
    findings = check_plugin(plugin)
    fine = all(finding.ok for finding in findings)
    output.emit(
        {"plugin": name, "ok": fine, "findings": findings},
        lambda: "\n".join(_finding_lines(findings)),
    )
    if not fine:
        context.exit(NEGATIVE)


@plugins.command()
@click.argument("name")
@click.option("--dir", "folder", metavar="FOLDER", help="Where; by default ./rbee-scheduler-NAME.")
@click.option("--description", default="", help="One line for pyproject.toml and README.")
@click.option("--author", default="", help="Author's name for pyproject.toml.")
@output_options
def new(*, output: Output, name: str, folder: str | None, description: str, author: str) -> None:
    """Write a package for a new plugin: a strategy, its tests, a README and CI.

    Nothing is overwritten.
    """
    from rbee_scheduler.cli._template import plugin_name, render_plugin, write_package

    name = plugin_name(name)
    target = Path(folder or f"rbee-scheduler-{name}")
    rendered = render_plugin(name, description=description, author=author)
    write_package(target, rendered)
    output.emit(
        {"name": name, "folder": target, "files": sorted(rendered)},
        lambda: "\n".join(str(target / path) for path in sorted(rendered)),
    )
    output.message(f"next: cd {target} && pip install -e . --group test && pytest")


# ---- the list ------------------------------------------------------------------------------


def _list(output: Output, source: DeploymentSource, *, requirements: bool) -> None:
    found = source.plugins()
    rows = found.rows
    if requirements:
        lines = _pins(rows)
        output.emit(lines, "\n".join(lines))
        return
    output.emit(rows, lambda: "\n".join(_table(rows, output)))
    output.message(f"digest of what decides: {found.digest}")


def _table(rows: Sequence[PluginInfo], output: Output) -> Iterator[str]:
    if not rows:
        yield "no plugins are installed"
        return
    yield output.table(
        ("order", "name", "distribution", "version", "status", "strategies", "hooks"),
        [
            (
                row.order or None,
                row.name if row.name == row.plugin else f"{row.name} ({row.plugin})",
                row.distribution,
                row.version,
                row.status,
                row.strategies,
                [hook.removeprefix("rbee_") for hook in row.hooks],
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.error:
            yield f"{click.style(row.name, fg='red')}: {safe(row.error)}"


def _pins(rows: Sequence[PluginInfo]) -> list[str]:
    """Return the requirements of the plugin set in use: core first, then by name."""
    pins = {
        f"{distribution}=={version}"
        for row in rows
        if row.status in {"active", "failed"} and row.distribution
        # Two distributions that claim one name share a row.
        for distribution, version in zip(
            row.distribution.split(", "), row.version.split(", "), strict=True
        )
    }
    return [f"rbee-scheduler=={__version__}", *sorted(pins)]


# ---- the checks ----------------------------------------------------------------------------


def _plugin_named(name: str, source: DeploymentSource) -> Any:
    from rbee_scheduler._plugins import installed_plugins

    listed = source.configuration().deployment.plugins or ()
    for config in listed:
        if config.name == name:
            return config
    installed = sorted({plugin.name for plugin in installed_plugins()})
    if name not in installed:
        known = sorted({*installed, *(config.name for config in listed)})
        raise ConfigError(
            f"there is no plugin {name!r}", hint=f"there are: {', '.join(known) or 'none'}"
        )
    return name


def _finding_lines(findings: Sequence[Any]) -> Iterator[str]:
    for finding in findings:
        mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
        yield f"{mark}  {finding.check}" + (f": {safe(finding.detail)}" if finding.detail else "")
