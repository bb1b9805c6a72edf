"""The configuration: a file, the environment and options, laid over the defaults.

Each layer is checked by itself, against the same classes and as strictly, so that an error
names the place where the user wrote it: a key of the file, a variable, an option. Then the
layers are merged; the origin of every value is kept for ``config show --origin``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from rbee_scheduler._config_keys import Key, Keys
from rbee_scheduler._deployment import Deployment, Document
from rbee_scheduler._errors import ConfigError
from rbee_scheduler._wire import structure
from rbee_scheduler._worker import id_of


__all__ = [
    "FILE_NAME",
    "Configuration",
    "find_configuration",
    "load_configuration",
    "with_worker_ids",
]

FILE_NAME = "rbee-scheduler.toml"
DEFAULT_ORIGIN = "default"


@attrs.frozen(kw_only=True)
class Configuration:
    """A deployment, and where each of its values comes from.

    Attributes:
        deployment: The deployment.
        path: The file that was read; None without one.
        origins: Dotted key -> ``"default"``, the file's path, ``"environment NAME"`` or the
            option. ``plugins``, ``workers`` and ``models`` are keys, too.
    """

    deployment: Deployment
    path: Path | None = None
    origins: Mapping[str, str] = attrs.field(factory=dict)


def load_configuration(
    path: str | Path | None = None,
    *,
    overrides: Iterable[tuple[str, str, str]] = (),
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Configuration:
    """Return the configuration; an option wins over the environment, that over the file.

    Args:
        path: The file; None: the one that `find_configuration` finds, if any.
        overrides: ``(dotted key, value as text, origin)``, the later one wins.
        environ: Environment variables; by default the process's.
        folder: The current folder; by default the process's.

    Raises:
        ConfigError: Something is wrong; the place says where.

    Example:
        >>> configuration = load_configuration(
        ...     environ={"RBEE_SCHEDULER_QUEUE__CAPACITY": "10"}, folder=Path("/nowhere")
        ... )
        >>> configuration.deployment.scheduler.queue.capacity
        10
        >>> configuration.origins["queue.capacity"]
        'environment RBEE_SCHEDULER_QUEUE__CAPACITY'
    """
    environ = os.environ if environ is None else environ
    file = Path(path) if path is not None else find_configuration(environ, folder=folder)
    keys = Keys()
    data: dict[str, Any] = {}
    origins = dict.fromkeys(
        [key.name for key in keys] + ["plugins", "workers", "models"], DEFAULT_ORIGIN
    )
    if file is not None:
        data = _read(file)
        origins |= dict.fromkeys(_leaves(data, origins), str(file))
    for key, text in keys.in_environment(environ):
        _lay(data, key, text, key.variable)
        origins[key.name] = f"environment {key.variable}"
    for name, text, origin in overrides:
        key = keys.named(name, origin)
        _lay(data, key, text, origin)
        origins[name] = f"option {origin}"
    document = _checked(data, "$")
    return Configuration(deployment=Deployment.from_document(document), path=file, origins=origins)


def find_configuration(environ: Mapping[str, str], *, folder: Path | None = None) -> Path | None:
    """Return the file to read: where the environment says, else here, else the user's.

    Args:
        environ: Environment variables.
        folder: The current folder.
    """
    named = environ.get("RBEE_SCHEDULER_CONFIG")
    if named:
        return Path(named)
    here = Path(FILE_NAME) if folder is None else folder / FILE_NAME
    if here.is_file():
        return here
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():  # the standard says: relative paths are to be ignored
        home = environ.get("HOME") or environ.get("USERPROFILE")
        if not home:
            return None
        base = Path(home) / ".config"
    user = base / "rbee-scheduler" / FILE_NAME
    return user if user.is_file() else None


def with_worker_ids(workers: Any) -> Any:
    """Return worker tables with the ids that may be left out: ``host:port`` of the URL."""
    if not isinstance(workers, (list, tuple)):
        return workers
    return [
        {"id": id_of(worker["url"]), **worker}
        if isinstance(worker, Mapping) and isinstance(worker.get("url"), str)
        else worker
        for worker in workers
    ]


# ---- the file ------------------------------------------------------------------------------


def _read(file: Path) -> dict[str, Any]:
    """Return the file's values, checked, but still plain data."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"can't read the configuration: {error.strerror or error}",
            place=str(file),
            hint="check the path",
        ) from error
    try:
        data = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
        raise ConfigError(
            "not UTF-8", place=f"{file}:{line}:{column}", hint="save the file as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(error, file, raw) from None
    if "workers" in data:
        data["workers"] = with_worker_ids(data["workers"])
    _checked(data, f"{file}: $")
    return data


def _syntax_error(error: tomllib.TOMLDecodeError, file: Path, raw: bytes) -> ConfigError:
    # The position is an attribute only from Python 3.14 on; the message has had it always.
    message, _, position = str(error).partition(" (at ")
    numbers = re.findall(r"\d+", position)
    if len(numbers) == 2:  # noqa: PLR2004 - line and column
        line, column = numbers
    else:  # "end of document"
        lines = raw.split(b"\n")
        line, column = str(len(lines)), str(len(lines[-1]) + 1)
    return ConfigError(
        f"no TOML: {message[:1].lower()}{message[1:]}", place=f"{file}:{line}:{column}"
    )


def _leaves(data: Mapping[str, Any], known: Mapping[str, str], prefix: str = "") -> Iterable[str]:
    for name, value in data.items():
        key = prefix + name
        if key in known:
            yield key
        elif isinstance(value, Mapping):
            yield from _leaves(value, known, f"{key}.")


# ---- the layers ----------------------------------------------------------------------------


def _lay(data: dict[str, Any], key: Key, text: str, origin: str) -> None:
    """Check one value, and put it into ``data``, which may hold another one."""
    value = key.parse(text)
    try:
        _checked(key.nested(value), "$")
    except ConfigError as error:
        error.place = origin
        raise
    *parents, last = key.name.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
    data[last] = value


def _checked(data: Mapping[str, Any], place: str) -> Document:
    return structure(data, Document, place=place, error=ConfigError)
