"""The library of templates: policies to start from, as package data."""

from __future__ import annotations

from importlib.resources import files

import attrs

from rbee_scheduler import ConfigError


__all__ = ["Template", "find_template", "templates"]

SUFFIX = ".rhai"


@attrs.frozen(kw_only=True)
class Template:
    """A policy to start from.

    Attributes:
        name: Its name.
        about: What it decides: its first comment.
        source: The policy.
    """

    name: str
    about: str
    source: str


def templates() -> tuple[Template, ...]:
    """Return all templates, by name."""
    folder = files("rbee_scheduler_script") / "_templates"
    found = sorted(one.name for one in folder.iterdir() if one.name.endswith(SUFFIX))
    return tuple(
        _template(name.removesuffix(SUFFIX), (folder / name).read_text(encoding="utf-8"))
        for name in found
    )


def find_template(name: str) -> Template:
    """Return the template of a name, in any case.

    Raises:
        ConfigError: There is none.
    """
    known = {one.name: one for one in templates()}
    found = known.get(name.strip().lower().replace("_", "-"))
    if found is None:
        raise ConfigError(f"there is no template {name!r}", hint=f"there are: {', '.join(known)}")
    return found


def _template(name: str, source: str) -> Template:
    comment = []
    for line in source.splitlines():
        if not line.startswith("//"):
            break
        comment.append(line.removeprefix("//").strip())
    return Template(name=name, about=" ".join(comment), source=source)
