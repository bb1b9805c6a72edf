"""The template of a third-party plugin: package data in, the files of a package out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from rbee_scheduler._errors import ConfigError
from rbee_scheduler.cli._toml import toml_value


__all__ = ["plugin_name", "render_plugin", "write_package"]

_PREFIX = "rbee-scheduler-"
_SUFFIX = ".tmpl"
# A name that starts with a dot is easily lost on the way into a wheel.
_DOT = "dot-"
_RESERVED = frozenset({"core", "testing", "workspace"})


def plugin_name(text: str) -> str:
    """Return the name of a plugin from how a user writes it.

    Example:
        >>> plugin_name("rbee-scheduler-My_Fair")
        'my-fair'

    Raises:
        ConfigError: It can't be the name of a distribution and of a module.
    """
    name = re.sub(r"[-_. ]+", "-", text.strip().lower()).removeprefix(_PREFIX)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or name in _RESERVED:
        raise ConfigError(
            f"{text!r} can't be a plugin's name",
            place="NAME",
            hint="use lower-case letters, digits and hyphens, such as 'least-busy'",
        )
    return name


def render_plugin(name: str, *, description: str = "", author: str = "") -> dict[str, str]:
    """Return the files of a plugin package: path -> text.

    Args:
        name: From `plugin_name`.
        description: One line; a general one when left out.
        author: Name for the package's metadata.
    """
    description = " ".join(description.split()) or (
        f"The strategy {name} for rbee-scheduler: the least loaded free worker."
    )
    author = " ".join(author.split())
    authors = f"\nauthors = [{toml_value({'name': author})}]" if author else ""
    words = {
        "name": name,
        "distribution": _PREFIX + name,
        "module": (_PREFIX + name).replace("-", "_"),
        "description": description,
        "description_toml": toml_value(description),
        "authors_toml": authors,
    }
    return {
        _filled(path, words).replace(_DOT, "."): _filled(text, words)
        for path, text in _templates(files("rbee_scheduler.cli") / "_template", "")
    }


def write_package(folder: Path, rendered: dict[str, str]) -> None:
    """Write the files into ``folder``, which must be empty or not exist.

    Raises:
        ConfigError: Something is there already, or can't be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                "it exists, and nothing is overwritten",
                place=str(folder),
                hint="choose another folder with --dir, or remove it",
            )
        for path, text in rendered.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(
            f"can't write it: {error.strerror or error}", place=str(folder)
        ) from error


def _templates(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield prefix + entry.name.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    # One pass, so that a description that holds @@name@@ stays as it is.
    return re.sub(r"@@(\w+)@@", lambda match: words[match[1]], text)
