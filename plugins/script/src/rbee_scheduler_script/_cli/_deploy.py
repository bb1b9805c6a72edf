"""``policy deploy``, ``rollback`` and ``versions``: what decides, what did, and what shall."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import DeploymentSource, deployment_options, output_options
from rbee_scheduler.cli._output import safe
from rbee_scheduler_script._cli._files import registry_of, role_option


if TYPE_CHECKING:
    from rbee_scheduler import Snapshot
    from rbee_scheduler.cli._output import Output
    from rbee_scheduler_script._review import Review
    from rbee_scheduler_script._version import Version


__all__ = ["deploy", "rollback", "versions"]

_author = click.option(
    "--author", default=None, metavar="NAME", help="Who wants it; by default the user's name."
)
_workers = click.option(
    "--workers", metavar="WORKERS.JSON", help="Fleet to try it on; by default the configuration's."
)
_live = click.option(
    "--to",
    "live",
    metavar="FILE",
    help="The file that the scheduler reads; by default the one in the configuration.",
)


@click.command()
@click.argument("file")
@_live
@_author
@_workers
@role_option
@deployment_options
@output_options
@click.pass_context
def deploy(
    context: click.Context,
    *,
    output: Output,
    source: DeploymentSource,
    file: str,
    live: str | None,
    author: str | None,
    workers: str | None,
    role: Any,
) -> None:
    """Let another version of a policy decide.

    FILE is checked, compiled and tried on the fleet, and then takes the place of the file that the
    scheduler reads; one that runs takes it at once. Exits with 1 when it is refused.
    """
    from rbee_scheduler.cli._input import read_input, source_name
    from rbee_scheduler_script._live_file import LiveFile

    text = read_input(file).decode("utf-8", "replace")
    target = LiveFile(live or _configured(source), role=role or "")
    name = str(target.path) if file == "-" else source_name(file)
    version, found = target.deploy(
        text, file=name, author=_name(author), snapshot=_fleet(workers, source)
    )
    _say(output, version, found, str(target.path))
    if version.state == "refused":
        context.exit(NEGATIVE)


@click.command()
@click.argument("file", required=False)
@click.option(
    "--version", "which", default="", metavar="N", help="Its number or digest; else the one before."
)
@_author
@_workers
@deployment_options
@output_options
@click.pass_context
def rollback(
    context: click.Context,
    *,
    output: Output,
    source: DeploymentSource,
    file: str | None,
    which: str,
    author: str | None,
    workers: str | None,
) -> None:
    """Let an older version of a policy decide again.

    FILE is the file that the scheduler reads; by default the one in the configuration. The
    older version is checked like a new one. Exits with 1 when it is refused.
    """
    from rbee_scheduler_script._live_file import LiveFile

    target = LiveFile(file or _configured(source))
    older = target.versions.find(which) if which else target.versions.before()
    version, found = target.deploy(
        older.source,
        file=str(target.path),
        author=_name(author),
        snapshot=_fleet(workers, source),
    )
    _say(output, version, found, str(target.path))
    if version.state == "refused":
        context.exit(NEGATIVE)


@click.command()
@click.argument("file", required=False)
@click.option("--show", default="", metavar="N", help="Print the text of one version.")
@deployment_options
@output_options
def versions(*, output: Output, source: DeploymentSource, file: str | None, show: str) -> None:
    """List the versions of a policy.

    FILE is the file that the scheduler reads; by default the one in the configuration.
    """
    from rbee_scheduler_script._versions import VersionStore

    store = VersionStore.of_file(file or _configured(source))
    if show:
        found = store.find(show)
        output.emit(found.to_dict(source=True), lambda: safe(found.source.rstrip("\n")))
        return
    every = store.all()
    rows = [
        (one.number, one.state, one.digest[:12], one.when, one.author, one.file) for one in every
    ]
    columns = ("version", "state", "digest", "time (utc)", "author", "file")
    output.emit(
        {"versions": [one.to_dict() for one in every]},
        lambda: output.table(columns, rows) if rows else "no versions yet",
    )


def _say(output: Output, version: Version, found: Review, target: str) -> None:
    for remark in found.remarks:
        output.warn(safe(str(remark)))
    word = "is refused" if version.state == "refused" else "decides now"
    output.emit(
        version.to_dict() | {"target": target},
        safe(f"{version.name} {word} in {target}"),
    )


def _configured(source: DeploymentSource) -> str:
    """Return the one policy file that the configuration lists.

    Raises:
        ConfigError: There is none, or several.
    """
    from rbee_scheduler import ConfigError

    listed = source.configuration().deployment.plugins or ()
    files = [
        str(one.options["file"])
        for one in listed
        if (one.plugin or one.name) == "script" and one.options.get("file")
    ]
    if len(files) != 1:
        raise ConfigError(
            f"the configuration lists {len(files) or 'no'} policy files",
            hint="name the file that the scheduler reads",
        )
    return files[0]


def _fleet(workers: str | None, source: DeploymentSource) -> Snapshot | None:
    snapshot = registry_of(workers, source).snapshot()
    return snapshot if len(snapshot) else None


def _name(author: str | None) -> str:
    if author is not None:
        return author
    return os.environ.get("USER") or os.environ.get("USERNAME") or ""
