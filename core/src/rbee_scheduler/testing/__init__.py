"""What plugin authors test with: a contract, a fake worker, a virtual clock, strategies.

Needs the extra ``rbee-scheduler[testing]`` (pytest, hypothesis, trio); each name is
imported when it is first used, so that one without hypothesis works without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from rbee_scheduler.testing import _strategies as strategies
    from rbee_scheduler.testing._clock import VirtualClock as VirtualClock
    from rbee_scheduler.testing._contract import ContractViolation as ContractViolation
    from rbee_scheduler.testing._contract import Finding as Finding
    from rbee_scheduler.testing._contract import PluginContract as PluginContract
    from rbee_scheduler.testing._contract import check_plugin as check_plugin
    from rbee_scheduler.testing._fake_worker import Dialect as Dialect
    from rbee_scheduler.testing._fake_worker import FakeWorker as FakeWorker
    from rbee_scheduler.testing._fake_worker import Fault as Fault
    from rbee_scheduler.testing._fake_worker import Gate as Gate
    from rbee_scheduler.testing._fake_worker import Script as Script
    from rbee_scheduler.testing._fake_worker import SeenConnection as SeenConnection
    from rbee_scheduler.testing._fake_worker import SeenRequest as SeenRequest
    from rbee_scheduler.testing._fleet import fleet as fleet
    from rbee_scheduler.testing._fleet import free_workers as free_workers


_ROOMS = {
    "_clock": "VirtualClock",
    "_contract": "ContractViolation Finding PluginContract check_plugin",
    "_fake_worker": "Dialect FakeWorker Fault Gate Script SeenConnection SeenRequest",
    "_fleet": "fleet free_workers",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = sorted([*_ROOM_OF, "strategies"])  # noqa: PLE0605 - one table, not two lists to keep equal


def __getattr__(name: str) -> Any:
    if name == "strategies":
        value: Any = import_module(f"{__name__}._strategies")
    elif name in _ROOM_OF:
        value = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
