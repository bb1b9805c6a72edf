"""Records of the plugin manager: what a deployment lists, and what the list shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from rbee_scheduler._validate import non_empty, number


__all__ = ["PluginConfig", "PluginInfo"]


@attrs.frozen(kw_only=True)
class PluginConfig:
    """One ``[[plugins]]`` table of a deployment: an instance of a plugin.

    Attributes:
        name: Name of the instance, unique in the deployment.
        plugin: Name of the installed plugin; the same as `name` when left out.
        options: Its options, checked against its own options class.
        weight: Weight of its scores.
        on_error: Whether a failing filter or scorer of it makes the fall-back strategy
            decide (``"fallback"``) or refuses the request (``"reject"``).
    """

    name: str = attrs.field(validator=non_empty)
    plugin: str = ""
    options: Mapping[str, Any] = attrs.field(factory=dict)
    weight: float = attrs.field(default=1.0, validator=number(at_least=0))
    on_error: Literal["fallback", "reject"] = attrs.field(
        default="fallback", validator=attrs.validators.in_(("fallback", "reject"))
    )


@attrs.frozen(kw_only=True)
class PluginInfo:
    """One row of ``rbee-scheduler plugins``.

    Attributes:
        name: Name of the instance, or of the entry point when it is not in use.
        plugin: Name of the entry point.
        distribution: Distribution that has it.
        version: Version of that distribution.
        order: Place in the order of calling, from 1; 0 when it is not called.
        status: ``"active"``, ``"blocked"``, ``"unlisted"`` or ``"failed"``.
        hooks: Hooks it implements.
        strategies: Strategies it registered.
        error: Why it failed.
    """

    name: str
    plugin: str
    distribution: str = ""
    version: str = ""
    order: int = 0
    status: Literal["active", "blocked", "unlisted", "failed"] = "active"
    hooks: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    error: str = ""

    @property
    def source(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()
