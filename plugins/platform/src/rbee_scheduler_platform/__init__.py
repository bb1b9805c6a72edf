"""Platform mode of rbee-scheduler: many tenants share the GPUs, fairly and within quotas.

The plugin's instance is a `Platform`; it works once the gateway has opened it, or `opened`.
Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from rbee_scheduler_platform._capacity import Capacity as Capacity
    from rbee_scheduler_platform._capacity import CapacityOptions as CapacityOptions
    from rbee_scheduler_platform._capacity import GateOptions as GateOptions
    from rbee_scheduler_platform._fairness import FairOrder as FairOrder
    from rbee_scheduler_platform._lifespan import opened as opened
    from rbee_scheduler_platform._options import PlatformOptions as PlatformOptions
    from rbee_scheduler_platform._platform import Platform as Platform
    from rbee_scheduler_platform._plugin import rbee_configure as rbee_configure
    from rbee_scheduler_platform._plugin import rbee_options as rbee_options
    from rbee_scheduler_platform._plugin import rbee_register_commands as rbee_register_commands
    from rbee_scheduler_platform._quota import Estimate as Estimate
    from rbee_scheduler_platform._quota import QuotaBook as QuotaBook
    from rbee_scheduler_platform._quota import rate_limit_headers as rate_limit_headers
    from rbee_scheduler_platform._targets import TargetBook as TargetBook
    from rbee_scheduler_platform._targets import filter_regions as filter_regions
    from rbee_scheduler_platform._tenant import Quotas as Quotas
    from rbee_scheduler_platform._tenant import ServiceTarget as ServiceTarget
    from rbee_scheduler_platform._tenant import Tenant as Tenant


__version__ = "0.1.0"

# Name -> the room it is in.
_PLACES = {
    "Capacity": "_capacity",
    "CapacityOptions": "_capacity",
    "Estimate": "_quota",
    "FairOrder": "_fairness",
    "GateOptions": "_capacity",
    "Platform": "_platform",
    "PlatformOptions": "_options",
    "QuotaBook": "_quota",
    "Quotas": "_tenant",
    "ServiceTarget": "_tenant",
    "TargetBook": "_targets",
    "Tenant": "_tenant",
    "filter_regions": "_targets",
    "opened": "_lifespan",
    "rate_limit_headers": "_quota",
    "rbee_configure": "_plugin",
    "rbee_options": "_plugin",
    "rbee_register_commands": "_plugin",
}

__all__ = [
    "Capacity", "CapacityOptions", "Estimate", "FairOrder", "GateOptions", "Platform",
    "PlatformOptions", "QuotaBook", "Quotas", "ServiceTarget", "TargetBook", "Tenant",
    "__version__", "filter_regions", "opened", "rate_limit_headers", "rbee_configure",
    "rbee_options", "rbee_register_commands",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    room = _PLACES.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
