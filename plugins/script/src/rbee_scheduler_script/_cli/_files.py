"""What the commands share: the policy's file, the fleet, one decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click


if TYPE_CHECKING:
    from rbee_scheduler import Explanation, InferenceRequest, WorkerRegistry
    from rbee_scheduler.cli._source import DeploymentSource
    from rbee_scheduler_script._policy import Policy
    from rbee_scheduler_script._policy_text import PolicyText


__all__ = ["compiled_policy", "explain_with", "load_policy", "registry_of", "role_option"]

F = TypeVar("F", bound=Callable[..., Any])


def role_option(function: F) -> F:
    """Add ``--role``, for a file that can play several."""
    option = click.option(
        "--role",
        type=click.Choice(["select", "filter", "soft-filter", "score"]),
        default=None,
        help="What it is used for; by default the first that it has a function for.",
    )
    return option(function)


def load_policy(path: str) -> PolicyText:
    """Return the policy in the file at ``path``; ``-`` is Rhai on stdin.

    Raises:
        PolicyError: The file can't be read, or the YAML makes no sense.
    """
    from rbee_scheduler.cli._input import read_input, source_name
    from rbee_scheduler_script._policy_text import policy_text, read_policy_text

    if path != "-":
        return read_policy_text(path)
    return policy_text(read_input(path).decode("utf-8", "replace"), source_name(path))


def registry_of(workers: str | None, source: DeploymentSource) -> WorkerRegistry:
    """Return a registry with the workers of a file, else with those of the configuration.

    Raises:
        ConfigError: The file or the configuration is wrong.
    """
    from rbee_scheduler.cli._input import load_workers

    deployment = source.configuration().deployment
    if workers is not None:
        deployment = attrs.evolve(deployment, workers=tuple(load_workers(workers)))
    return deployment.make_registry()


def explain_with(
    policy: Policy, registry: WorkerRegistry, request: InferenceRequest
) -> Explanation:
    """Return what the shipped decision makes of ``request`` with ``policy`` alone."""
    from rbee_scheduler import Scheduler, SchedulerConfig
    from rbee_scheduler_script._hooks import as_plugin

    scheduler = Scheduler(registry, [as_plugin(policy)], SchedulerConfig())
    return scheduler.explain(attrs.evolve(request, strategy=None))


def compiled_policy(text: PolicyText, role: Any, **options: Any) -> Policy:
    """Return the policy, compiled.

    Raises:
        PolicyError: It does not compile, or has no function for the role.
    """
    from rbee_scheduler_script._policy import Policy

    return Policy(text.source, file=text.file, role=role or "", name=_name(text.file), **options)


def _name(file: str) -> str:
    from pathlib import Path

    return Path(file).stem or "policy"
