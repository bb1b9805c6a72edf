"""The contract: what every plugin must hold, as checks to run and tests to subclass.

`check_plugin` runs the checks on an installed plugin (``rbee-scheduler plugins check``).
A plugin's own tests subclass `PluginContract`, which pytest collects::

    class TestMyPlugin(PluginContract):
        plugin = "my-plugin"
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from random import Random
from typing import Any, ClassVar

import anyio
import attrs

from rbee_scheduler._decision import Decision
from rbee_scheduler._errors import PluginError, SchedulerError
from rbee_scheduler._outcome import Outcome
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Call, Chain, Plugins, PluginSource
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._scheduler import Scheduler
from rbee_scheduler._settings import QueueConfig, SchedulerConfig
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler.testing._clock import VirtualClock
from rbee_scheduler.testing._contract_calls import call_failures, lane_failures
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
    active = [row for row in plugins.rows if row.status == "active"]
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
        before = deepcopy((request, snapshot.workers()))
        _decide(chain, request, snapshot)
        _require(
            before == (request, snapshot.workers()),
            f"strategy {chain.strategy} changed what it was shown",
        )


def names_only_candidates(plugins: Plugins) -> None:
    """Whoever is chosen is free and serves the model; no hook fails on the way."""
    for chain, request, workers in samples(plugins):
        _, failures = _decide(chain, request, fleet(workers))
        _require(not failures, "; ".join(failures))


def respects_hard_filters(plugins: Plugins) -> None:
    """A worker that another plugin's hard filter drops is not chosen."""
    for chain, request, workers in samples(plugins):
        snapshot = fleet(workers)
        if _decide(chain, request, snapshot)[1]:
            continue  # it fails without the ban, too: another check says so
        banned = {w.id: "banned" for w in snapshot.free(request.model, request.task_type)[::2]}
        filters = (*chain.filter_workers, _filter_call(banned))
        _, failures = _decide(attrs.evolve(chain, filter_workers=filters), request, snapshot)
        _require(not failures, f"some workers were banned by a filter: {'; '.join(failures)}")


def survives_an_empty_fleet(plugins: Plugins) -> None:
    """Nobody there is an answer, not an accident; quota checks and the queue are asked, too."""
    nobody, request = fleet([]), sample_request(Random(0))
    for strategy in plugins.strategies:
        chain = plugins.chain(strategy)
        _, failures = _decide(chain, request, nobody)
        failures += anyio.run(call_failures, chain.check_quota, request, nobody)
        failures += anyio.run(call_failures, chain.order_queue, [], nobody)
        _require(not failures, "; ".join(failures))


def keeps_lanes_in_order(plugins: Plugins) -> None:
    """An order of a lane names each job at most once, and only jobs that wait."""
    for strategy in plugins.strategies:
        failures = lane_failures(plugins.chain(strategy).order_lane)
        _require(not failures, "; ".join(failures))


def survives_ten_thousand_candidates(plugins: Plugins) -> None:
    """A large fleet is decided like a small one."""
    crowd = _crowd()
    for strategy in plugins.strategies:
        _, failures = _decide(plugins.chain(strategy), sample_request(Random(0)), crowd)
        _require(not failures, "; ".join(failures))


def runs_on_both_backends(plugins: Plugins) -> None:
    """The scheduler decides, reserves and releases with it alike on asyncio and on trio."""
    answers = {backend: anyio.run(_live, plugins, backend=backend) for backend in _backends()}
    _require(len(set(answers.values())) == 1, f"backends disagree: {answers}")


CHECKS: tuple[Callable[[Plugins], None], ...] = (
    loads_and_registers,
    decides_the_same_twice,
    leaves_its_arguments_alone,
    names_only_candidates,
    respects_hard_filters,
    survives_an_empty_fleet,
    keeps_lanes_in_order,
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
            check(_load(plugin))
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
        owned = {n: test for n, test in vars(PluginContract).items() if n.startswith("test_")}
        overridden = [n for n, test in owned.items() if getattr(cls, n) is not test]
        if overridden:
            raise TypeError(
                f"{cls.__name__} overrides {', '.join(overridden)}, which the contract owns"
            )


def _contract_test(check: Callable[[Plugins], None]) -> Callable[[PluginContract], None]:
    def test(self: PluginContract) -> None:
        if self.plugin is None:
            raise TypeError(f"set {type(self).__name__}.plugin to the plugin's name")
        check(_load(self.plugin))

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


def _load(plugin: PluginSource) -> Plugins:
    # Whatever the process's environment says of other plugins, this one is meant.
    return Plugins([plugin], strict=True, environ={})


@cache
def _crowd() -> Snapshot:
    """Return 10,000 free workers; making them takes half a second, and nobody changes them."""
    return fleet(free_workers(10_000, slots=4))


def _decide(
    chain: Chain, request: InferenceRequest, snapshot: Snapshot
) -> tuple[Decision, list[str]]:
    """Return the decision, and the failures of the plugin that the pipeline caught."""
    failures: list[PluginError] = []
    decision = decide(request, snapshot, chain, on_failure=failures.append)
    return decision, list(map(str, failures))


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


async def _live(plugins: Plugins) -> tuple[Any, ...]:
    """Return all that a scheduler sees of the plugin, on the running backend."""
    registry = WorkerRegistry(clock=VirtualClock())
    for worker in free_workers(5, slots=2):
        registry.add(worker)
    seen: list[Any] = []
    # A plugin that wants to wait would do so for ever: nothing changes here.
    config = SchedulerConfig(queue=QueueConfig(capacity=0))
    for strategy in plugins.strategies:
        request = attrs.evolve(sample_request(Random(1)), strategy=strategy)
        async with Scheduler(registry, plugins, config, logger=_silent()) as scheduler:
            try:
                seen.append((await scheduler.schedule(request)).worker_id)
            except SchedulerError as error:
                seen.append(error.code)
            seen += scheduler.statistics().plugin_failures
        seen += await _life_cycle(plugins.chain(strategy), request, registry.snapshot())
    return tuple(seen)


async def _life_cycle(chain: Chain, request: InferenceRequest, snapshot: Snapshot) -> list[str]:
    """Reserve and release once; return what each hook raised.

    A lease that can't be had where the check runs is no violation; one that can't be had
    on one backend alone is.
    """
    worker = snapshot.workers()[0]
    outcome = Outcome(job_id=request.job_id, kind="success", worker_id=worker.id, attempts=1)
    calls: list[tuple[Call, tuple[Any, ...]]]
    calls = [(call, (request, worker)) for call in chain.reserve]
    calls += [(call, (request, worker, outcome)) for call in chain.release]
    raised = []
    for call, arguments in calls:
        try:
            answer = call.function(*arguments)
            if call.is_async:
                await answer
        except Exception as problem:  # noqa: BLE001 - a plugin may raise anything
            raised.append(f"{call.hook}: {type(problem).__name__}: {problem}")
    return raised


def _silent() -> logging.Logger:
    """Return a logger of no consequence: failures are findings here, not news."""
    logger = logging.Logger("rbee_scheduler.contract")  # noqa: LOG001 - not shared on purpose
    logger.addHandler(logging.NullHandler())
    return logger
