"""`RhaiScheduler`: the original's programmable scheduler, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from rbee_scheduler import PolicyError, Scheduler, SchedulerConfig, WorkerRegistry
from rbee_scheduler_script import rhai
from rbee_scheduler_script._hooks import SelectPolicy, WhenNone
from rbee_scheduler_script._policy import Policy, read_policy
from rbee_scheduler_script._status import PolicyStatus


__all__ = ["RhaiScheduler"]


class RhaiScheduler(Scheduler):
    """A scheduler whose decisions a Rhai script makes.

    Args:
        policy: The script, compiled; its role is ``"select"``.
        registry: The workers; a new, empty registry when not given.
        plugins: Other plugins that take part: filters, scorers, quotas, observers.
        config: The settings; its `strategy` is the policy's.
        when_none: What ``()`` means: ``"wait"``, ``"reject"``, or ``"next"``.
        **options: Passed on to `Scheduler`.

    Example:
        >>> scheduler = RhaiScheduler.from_source(
        ...     "fn schedule_job(job, pools, workers) { workers.min_by(|w| w.cost_per_token) }"
        ... )
        >>> scheduler.strategy
        'script'
    """

    def __init__(
        self,
        policy: Policy,
        registry: WorkerRegistry | None = None,
        *,
        plugins: Iterable[Any] = (),
        config: SchedulerConfig | None = None,
        when_none: WhenNone = "wait",
        **options: Any,
    ) -> None:
        if policy.role != "select":
            raise PolicyError(
                f"is a policy of role {policy.role!r}, which chooses no worker",
                place=policy.file,
                hint="list it as a plugin beside one that does",
            )
        self.policy = policy
        asked = [SelectPolicy(policy, when_none), *plugins]
        super().__init__(registry or WorkerRegistry(), asked, config, **options)

    @classmethod
    def from_source(
        cls,
        source: str,
        registry: WorkerRegistry | None = None,
        *,
        file: str = "<policy>",
        limits: rhai.Limits | None = None,
        max_failures: int = 5,
        **options: Any,
    ) -> Self:
        """Return a scheduler for the script ``source``.

        Args:
            source: The script.
            registry: The workers.
            file: Name of the script, for places in errors.
            limits: What one run may cost.
            max_failures: Failures in a row after which the policy is set aside; 0: never.
            **options: Of the scheduler.

        Raises:
            PolicyError: The script does not compile, or has no function that decides.
        """
        policy = Policy(source, file=file, role="select", limits=limits, max_failures=max_failures)
        return cls(policy, registry, **options)

    @classmethod
    def from_file(
        cls, path: str | Path, registry: WorkerRegistry | None = None, **options: Any
    ) -> Self:
        """Return a scheduler for the script in a file; see `from_source`.

        Raises:
            PolicyError: The file can't be read, the script does not compile, or it has no
                function that decides.
        """
        return cls.from_source(read_policy(path), registry, file=str(path), **options)

    def status(self) -> PolicyStatus:
        """Return how the policy is doing."""
        return self.policy.status()
