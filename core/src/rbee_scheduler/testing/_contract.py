"""The contract: what every plugin must hold, as checks to run and tests to subclass.

`check_plugin` runs the checks on an installed plugin (``rbee-scheduler plugins check``).
A plugin's own tests subclass `PluginContract`, which pytest collects::

    class TestMyPlugin(PluginContract):
        plugin = "my-plugin"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, ClassVar

import anyio
import attrs

from rbee_scheduler._errors import PluginError, SchedulerError
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Call, Chain, Plugins, PluginSource
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._scheduler import Scheduler
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler.testing._clock import VirtualClock
from rbee_scheduler.testing._fleet import fleet, free_workers
from rbee_scheduler.testing._samples import sample_request, samples


__all__ = ["CHECKS", "ContractViolation", "Finding", "PluginContract", "check_plugin"]


@attrs.frozen(kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        check: Name of the check.
        ok: Whether the plugin passed.
        detail: What was wrong.
    """

    check: str
    ok: bool
    detail: str = ""


class ContractViolation(AssertionError):
    """Raised when a plugin breaks the contract; the message says how."""


# ---- the checks: each raises ContractViolation with what is wrong -------------------------------


def loads_and_registers(plugins: Plugins) -> None:
    """The plugin loads; every hook it has is a known one."""
    failed = [row for row in plugins.rows if row.status == "failed"]
    _require(not failed, "; ".join(row.error for row in failed))
    active = [row for row in plugins.rows if row.status == "active"]
    _require(active, "no plugin is active")
    _require(any(row.hooks for row in active), "the plugin implements no hook")


def decides_the_same_twice(plugins: Plugins) -> None:
    """Equal snapshots and requests give equal decisions."""
    for chain, request, workers in samples(plugins):
        first = _decide(chain, request, fleet(workers, turn=3, seed=5))
        again = _decide(chain, request, fleet(workers, turn=3, seed=5))
        _require(first == again, f"strategy {chain.strategy}: {first} and then {again}")


def leaves_its_arguments_alone(plugins: Plugins) -> None:
    """A decision changes neither the request nor the workers it was shown."""
    for chain, request, workers in samples(plugins):
        snapshot = fleet(workers)
        before = (repr(request), [dict(vars(w)) for w in snapshot.workers()])
        _decide(chain, request, snapshot)
        after = (repr(request), [dict(vars(w)) for w in snapshot.workers()])
        _require(before == after, f"strategy {chain.strategy} changed what it was shown")


def names_only_candidates(plugins: Plugins) -> None:
    """Whoever is chosen is free, serves the model, and was dropped by no hard filter."""
    for chain, request, workers in samples(plugins):
        snapshot = fleet(workers)
        decision = _decide(chain, request, snapshot)
        free = {w.id for w in snapshot.free(request.model, request.task_type)}
        chosen = [decision.worker.id, *decision.fallbacks] if decision.worker else []
        _require(
            free.issuperset(chosen), f"strategy {chain.strategy} chose {chosen}, free were {free}"
        )


def respects_hard_filters(plugins: Plugins) -> None:
    """A worker that a hard filter drops is never chosen."""
    for chain, request, workers in samples(plugins):
        snapshot = fleet(workers)
        candidates = snapshot.free(request.model, request.task_type)
        banned = {w.id: "banned by the contract" for w in candidates[::2]}
        filters = (*chain.filter_workers, _filter_call(banned))
        decision = _decide(attrs.evolve(chain, filter_workers=filters), request, snapshot)
        chosen = [decision.worker.id, *decision.fallbacks] if decision.worker else []
        _require(
            banned.keys().isdisjoint(chosen), f"strategy {chain.strategy} chose a banned worker"
        )


def survives_an_empty_fleet(plugins: Plugins) -> None:
    """Nobody there is an answer, not an accident."""
    for strategy in plugins.strategies:
        decision = _decide(plugins.chain(strategy), sample_request(Random(0)), fleet([]))
        _require(decision.worker is None, f"strategy {strategy} chose a worker that is not there")


def survives_ten_thousand_candidates(plugins: Plugins) -> None:
    """A large fleet is decided like a small one."""
    snapshot = fleet(free_workers(10_000, slots=4))
    for strategy in plugins.strategies:
        decision = _decide(plugins.chain(strategy), sample_request(Random(0)), snapshot)
        _require(decision.worker is not None, f"strategy {strategy}: {decision.reason}")


def runs_on_both_backends(plugins: Plugins) -> None:
    """The scheduler decides with it on asyncio and on trio alike."""
    answers = {backend: anyio.run(_schedule, plugins, backend=backend) for backend in _backends()}
    _require(len(set(answers.values())) == 1, f"backends disagree: {answers}")


CHECKS: tuple[Callable[[Plugins], None], ...] = (
    loads_and_registers,
    decides_the_same_twice,
    leaves_its_arguments_alone,
    names_only_candidates,
    respects_hard_filters,
    survives_an_empty_fleet,
    survives_ten_thousand_candidates,
    runs_on_both_backends,
)


def check_plugin(plugin: PluginSource) -> list[Finding]:
    """Run all checks on a plugin.

    Args:
        plugin: Name of an installed plugin, a `PluginConfig`, or a plugin object.

    Returns:
        One finding per check, in the order of `CHECKS`; all of them failed when the
        plugin does not load.
    """
    findings: list[Finding] = []
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            check(Plugins([plugin], strict=True))
        except ContractViolation as failure:
            findings.append(Finding(check=name, ok=False, detail=str(failure)))
        except Exception as failure:  # noqa: BLE001 - a plugin may raise anything
            detail = f"{type(failure).__name__}: {failure}"
            findings.append(Finding(check=name, ok=False, detail=detail))
        else:
            findings.append(Finding(check=name, ok=True))
    return findings


class PluginContract:
    """Subclass it in a plugin's tests and set `plugin`; pytest runs one test per check.

    Attributes:
        plugin: Name of the installed plugin, a `PluginConfig`, or a plugin object.
    """

    plugin: ClassVar[Any] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A plugin that overrides a check would pass what nobody checked.
        overridden = [n for n in vars(cls) if n.startswith("test_") and hasattr(PluginContract, n)]
        if overridden:
            raise TypeError(
                f"{cls.__name__} overrides {', '.join(overridden)}, which the contract owns"
            )


def _contract_test(check: Callable[[Plugins], None]) -> Callable[[PluginContract], None]:
    def test(self: PluginContract) -> None:
        if self.plugin is None:
            raise TypeError(f"set {type(self).__name__}.plugin to the plugin's name")
        check(Plugins([self.plugin], strict=True))

    test.__name__ = f"test_{check.__name__}"
    test.__doc__ = check.__doc__
    return test


for _check in CHECKS:
    setattr(PluginContract, f"test_{_check.__name__}", _contract_test(_check))


# ---- helpers ---------------------------------------------------------------------------------


def _require(condition: object, otherwise: str) -> None:
    # Not `assert`: the checks must hold under `python -O`, too.
    if not condition:
        raise ContractViolation(otherwise)


def _decide(chain: Chain, request: InferenceRequest, snapshot: Snapshot) -> Any:
    """Decide; a failure of the plugin is the finding, not the fall-back's answer."""
    failures: list[PluginError] = []
    decision = decide(request, snapshot, chain, on_failure=failures.append)
    _require(not failures, "; ".join(map(str, failures)))
    return decision


def _filter_call(banned: dict[str, str]) -> Any:
    def ban(*_: Any) -> dict[str, str]:
        return banned

    return Call(ban, "contract", "rbee-scheduler", "rbee_filter_workers")


def _backends() -> Sequence[str]:
    try:
        import trio  # noqa: F401 - only whether it is there
    except ImportError:
        return ("asyncio",)
    return ("asyncio", "trio")


async def _schedule(plugins: Plugins) -> tuple[str, ...]:
    registry = WorkerRegistry(clock=VirtualClock())
    for worker in free_workers(5, slots=2):
        registry.add(worker)
    chosen = []
    for strategy in plugins.strategies:
        request = attrs.evolve(sample_request(Random(1)), strategy=strategy)
        async with Scheduler(registry, plugins) as scheduler:
            try:
                chosen.append((await scheduler.schedule(request)).worker_id)
            except SchedulerError as error:
                chosen.append(error.code)
    return tuple(chosen)
