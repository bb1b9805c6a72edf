"""Discovery: the installed plugins, found by entry point and not yet imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any, NoReturn

import attrs

from rbee_scheduler._errors import PluginError


__all__ = ["GROUP", "InstalledPlugin", "installed_plugins"]

GROUP = "rbee_scheduler"


@attrs.frozen(kw_only=True)
class InstalledPlugin:
    """One entry point of the group ``rbee_scheduler``.

    Attributes:
        name: Name of the entry point.
        target: What it points to, ``module`` or ``module:attribute``.
        distribution: Name of the distribution that has it.
        version: Version of that distribution.
    """

    name: str
    target: str
    distribution: str
    version: str
    _entry_point: EntryPoint | _Unreadable = attrs.field(alias="entry_point", repr=False, eq=False)

    @property
    def source(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}"

    def load(self) -> Any:
        """Import the plugin; whatever its import raises comes through."""
        return self._entry_point.load()


@attrs.frozen
class _Unreadable:
    """Stands for the entry points of a distribution whose list of them can't be read."""

    name: str
    problem: Exception
    value: str = ""

    def load(self) -> NoReturn:
        raise PluginError(
            f"its entry_points.txt can't be read: {self.problem}", hint="install it again"
        ) from self.problem


def installed_plugins(found: Iterable[Distribution] | None = None) -> list[InstalledPlugin]:
    """Return all installed plugins, by name and distribution.

    The order of distributions on disk is an accident, so it is not kept.

    Args:
        found: Distributions to look in; by default all that can be imported.
    """
    seen: dict[tuple[str, str], InstalledPlugin] = {}
    for distribution in distributions() if found is None else found:
        for entry_point in _entry_points(distribution):
            name, version = _identity(distribution)
            # An editable install can show a distribution twice; the first one is imported.
            seen.setdefault(
                (entry_point.name, name),
                InstalledPlugin(
                    name=entry_point.name,
                    target=entry_point.value,
                    distribution=name,
                    version=version,
                    entry_point=entry_point,
                ),
            )
    return [seen[key] for key in sorted(seen)]


def _entry_points(distribution: Distribution) -> Iterator[EntryPoint | _Unreadable]:
    """Yield our entry points of ``distribution``, whatever state its metadata are in."""
    try:
        yield from [e for e in distribution.entry_points if e.group == GROUP]
    except Exception as problem:  # noqa: BLE001 - importlib raises whatever its parser meets
        text: str | None = None
        with suppress(Exception):
            text = distribution.read_text("entry_points.txt")
        if f"[{GROUP}]" in (text or ""):  # else it is some other project's trouble
            name, _ = _identity(distribution)
            yield _Unreadable(name.removeprefix("rbee-scheduler-"), problem)


def _identity(distribution: Distribution) -> tuple[str, str]:
    """Return name and version; from the folder's name when the metadata say nothing."""
    name = version = None
    with suppress(Exception):  # without a METADATA file importlib raises, or answers None
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
    folder = getattr(getattr(distribution, "_path", None), "name", "")
    folder_name, _, folder_version = folder.rpartition(".")[0].partition("-")
    return name or folder_name or "unknown", version or folder_version or "unknown"
