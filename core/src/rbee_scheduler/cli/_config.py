"""``rbee-scheduler config``: what is configured, where it comes from, whether it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs
import click

from rbee_scheduler._errors import ConfigError, SchedulerError
from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import (
    DeploymentSource,
    backend_option,
    deployment_options,
    output_options,
    settings_of,
)
from rbee_scheduler.cli._output import plain
from rbee_scheduler.cli._toml import toml_value


if TYPE_CHECKING:
    from rbee_scheduler._config import Configuration
    from rbee_scheduler.cli._output import Output


__all__ = ["config"]

# What names a table, and what others of its fields are derived from: always shown.
_NAMING = ("id", "name", "model_ref", "url", "model")
_SECRET = re.compile("api_?key|token$|secret|password", re.IGNORECASE)


@click.group()
def config() -> None:
    """Show and check the configuration."""


@config.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.option("--secrets", is_flag=True, help="Show keys, tokens and passwords, too.")
@deployment_options
@backend_option
@output_options
def show(*, output: Output, source: DeploymentSource, origin: bool, secrets: bool) -> None:
    """Print the configuration in force, as TOML.

    An option wins over the environment, the environment over the file, the file over the
    default; --origin says which one it was. What looks like a secret is masked.
    """
    configuration = source.configuration()
    values = _values(configuration)
    if not secrets:
        values = _masked(values)
    output.emit(
        _data(configuration, values, origin=origin),
        lambda: "\n".join(_lines(configuration, values, origin=origin)),
    )


@config.command()
@click.argument("file", required=False)
@deployment_options
@output_options
@click.pass_context
def check(
    context: click.Context, *, output: Output, source: DeploymentSource, file: str | None
) -> None:
    """Check a configuration file: its keys and values, its plugins and its strategy.

    Exits with 1 when something is wrong in it.
    """
    if file is not None:
        settings_of(context).config = file
    findings: list[SchedulerError] = []
    path = None
    try:
        path = source.configuration().path
        rows = source.plugins().rows
        findings += [
            ConfigError(row.error, place=f"$.plugins[{row.name!r}]") for row in rows if row.error
        ]
        source.scheduler()
    except SchedulerError as error:
        if isinstance(error.__cause__, OSError):
            raise  # there is no file to say anything about
        findings.append(error)
    output.emit(
        {
            "file": path or file,
            "ok": not findings,
            "findings": [f.to_dict() | {"notes": getattr(f, "__notes__", [])} for f in findings],
        },
        lambda: "\n".join(_findings(findings)) or f"{path or 'no file; the defaults'}: fine",
    )
    if findings:
        context.exit(NEGATIVE)


def _findings(findings: list[SchedulerError]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding} [{finding.code}]"
        yield from (str(note) for note in getattr(finding, "__notes__", ()))


def _data(configuration: Configuration, values: dict[str, Any], *, origin: bool) -> dict[str, Any]:
    if not origin:
        return {"file": configuration.path, "values": values}
    origins = configuration.origins
    return {
        "file": configuration.path,
        "values": {key: {"value": value, "origin": origins[key]} for key, value in values.items()},
    }


# ---- the values ----------------------------------------------------------------------------


def _values(configuration: Configuration) -> dict[str, Any]:
    """Return all values by dotted key; of tables only what differs from the defaults."""
    deployment = configuration.deployment
    values: dict[str, Any] = dict(_flat(plain(deployment.scheduler), ""))
    values["backend"] = deployment.backend
    values["plugins"] = (
        None if deployment.plugins is None else [_set_fields(p) for p in deployment.plugins]
    )
    values["workers"] = [_set_fields(worker) for worker in deployment.workers]
    values["models"] = [_set_fields(model) for model in deployment.models]
    # Single values before tables: that is how TOML wants them.
    return {key: values[key] for key in sorted(values, key=lambda key: "." in key)}


def _flat(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _set_fields(model: Any) -> dict[str, Any]:
    """Return the fields of ``model`` that say something: no defaults, nothing derived."""
    fields = {field.name: getattr(model, field.name) for field in attrs.fields(type(model))}
    named = {name: fields[name] for name in _NAMING if fields.get(name)}
    bare = type(model)(**named)
    return {
        name: plain(value)
        for name, value in fields.items()
        if name in named or value != getattr(bare, name)
    }


def _masked(value: Any) -> Any:
    """Return ``value`` with what looks like a secret left out: it may end in a bug report."""
    if isinstance(value, dict):
        return {
            key: "***" if isinstance(item, str) and _SECRET.search(key) else _masked(item)
            for key, item in value.items()
        }
    return [_masked(item) for item in value] if isinstance(value, list) else value


# ---- as TOML -------------------------------------------------------------------------------


def _lines(configuration: Configuration, values: dict[str, Any], *, origin: bool) -> Iterator[str]:
    origins = configuration.origins
    yield f"# {configuration.path or 'no file'}"
    table = ""
    tables = {key: values[key] for key in ("plugins", "workers", "models")}
    for key, value in values.items():
        if key in tables:
            continue
        head, _, name = key.rpartition(".")
        if head != table:
            table = head
            yield f"\n[{table}]"
        yield f"{name} = {toml_value(value)}{f'  # {origins[key]}' if origin else ''}"
    for key, rows in tables.items():
        mark = f"  # {origins[key]}" if origin else ""
        if rows is None:
            yield f"\n# {key}: all that are installed{mark}"
        for row in rows or ():
            yield f"\n[[{key}]]{mark}"
            yield from (f"{_name} = {toml_value(v)}" for _name, v in row.items() if v is not None)
