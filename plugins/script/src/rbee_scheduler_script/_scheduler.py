"""`RhaiScheduler`: the original's programmable scheduler, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rbee_scheduler import PolicyError, Scheduler, SchedulerConfig, WorkerRegistry
from rbee_scheduler_script import rhai
from rbee_scheduler_script._hooks import SelectPolicy, WhenNone
from rbee_scheduler_script._policy import Policy, read_policy
from rbee_scheduler_script._policy_text import PolicyText, policy_text
from rbee_scheduler_script._status import PolicyStatus
from rbee_scheduler_script._watching import deployer_of


if TYPE_CHECKING:
    from rbee_scheduler_script._deployer import PolicyDeployer


__all__ = ["RhaiScheduler"]


class RhaiScheduler(Scheduler):
    """A scheduler whose decisions a Rhai script makes.

    Args:
        policy: The script, compiled; its role is ``"select"``.
        registry: The workers; a new, empty registry when not given.
        plugins: Other plugins that take part: filters, scorers, quotas, observers.
        config: The settings; its `strategy` is the policy's.
        when_none: What ``()`` means: ``"wait"``, ``"reject"``, or ``"next"``.
        text: The policy as it was written, where that is YAML.
        watch: Whether ``async with`` also loads the policy's file anew when it changes.
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
        text: PolicyText | None = None,
        watch: bool = False,
        **options: Any,
    ) -> None:
        if policy.role != "select":
            raise PolicyError(
                f"is a policy of role {policy.role!r}, which chooses no worker",
                place=policy.file,
                hint="list it as a plugin beside one that does",
            )
        self.policy = policy
        self._text = text or PolicyText(file=policy.file, text=policy.source, source=policy.source)
        carrier = SelectPolicy(policy, when_none)
        if watch:
            carrier.companion = self._watch
        # An empty registry is falsy, and still the caller's.
        workers = WorkerRegistry() if registry is None else registry
        super().__init__(workers, [carrier, *plugins], config, **options)

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
        text = policy_text(source, file)
        policy = Policy(
            text.source, file=file, role="select", limits=limits, max_failures=max_failures
        )
        return cls(policy, registry, text=text, **options)

    @classmethod
    def from_file(
        cls, path: str | Path, registry: WorkerRegistry | None = None, **options: Any
    ) -> Self:
        """Return a scheduler for the policy in a file, Rhai or YAML; see `from_source`.

        With ``watch=True``, ``async with`` loads the file anew whenever it changes.

        Raises:
            PolicyError: The file can't be read, the script does not compile, or it has no
                function that decides.
        """
        return cls.from_source(read_policy(path), registry, file=str(path), **options)

    def status(self) -> PolicyStatus:
        """Return how the policy is doing."""
        return self.policy.status()

    @cached_property
    def deployer(self) -> PolicyDeployer:
        """What takes new versions: ``await scheduler.deployer.deploy(text, author="ann")``."""
        return deployer_of(self.policy, self._text, self.registry)

    def _watch(self, _registry: WorkerRegistry) -> AbstractAsyncContextManager[object]:
        from rbee_scheduler_script._reload import watch_policy

        return watch_policy(self.deployer)
