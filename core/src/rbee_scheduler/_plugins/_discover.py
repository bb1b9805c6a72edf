"""Discovery: the installed plugins, found by entry point and not yet imported."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

import attrs


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
    _entry_point: EntryPoint = attrs.field(alias="entry_point", repr=False, eq=False)

    @property
    def source(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}"

    def load(self) -> Any:
        """Import the plugin; whatever its import raises comes through."""
        return self._entry_point.load()


def installed_plugins(found: Iterable[Distribution] | None = None) -> list[InstalledPlugin]:
    """Return all installed plugins, by name and distribution.

    The order of distributions on disk is an accident, so it is not kept.

    Args:
        found: Distributions to look in; by default all that can be imported.
    """
    seen: dict[tuple[str, str], InstalledPlugin] = {}
    for distribution in distributions() if found is None else found:
        for entry_point in distribution.entry_points:
            if entry_point.group != GROUP:
                continue
            name = str(distribution.metadata["Name"] or "unknown")
            # An editable install can show a distribution twice; the first one is imported.
            seen.setdefault(
                (entry_point.name, name),
                InstalledPlugin(
                    name=entry_point.name,
                    target=entry_point.value,
                    distribution=name,
                    version=distribution.version,
                    entry_point=entry_point,
                ),
            )
    return [seen[key] for key in sorted(seen)]
