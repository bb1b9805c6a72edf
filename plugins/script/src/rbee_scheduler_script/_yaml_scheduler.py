"""`YamlScheduler`: a scheduler whose decisions YAML rules make."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from rbee_scheduler import WorkerRegistry
from rbee_scheduler_script import rhai
from rbee_scheduler_script._policy import read_policy
from rbee_scheduler_script._policy_text import is_yaml
from rbee_scheduler_script._scheduler import RhaiScheduler


__all__ = ["YamlScheduler"]


class YamlScheduler(RhaiScheduler):
    """A `RhaiScheduler` that takes its text for YAML rules, whatever the file is called.

    The rules are compiled to Rhai once; `RhaiScheduler.from_file` does the same with files that end
    in `.yaml` or `.yml`.

    Example:
        >>> scheduler = YamlScheduler.from_source('''
        ... rules:
        ...   - name: Cheapest
        ...     condition: true
        ...     action: { select: "workers.min_by(cost_per_token)" }
        ... ''')
        >>> scheduler.policy.role
        'select'
    """

    @classmethod
    def from_source(
        cls,
        source: str,
        registry: WorkerRegistry | None = None,
        *,
        file: str = "<rules>.yaml",
        limits: rhai.Limits | None = None,
        max_failures: int = 5,
        **options: Any,
    ) -> Self:
        """Return a scheduler for the rules in ``source``; see `RhaiScheduler.from_source`.

        Raises:
            RulesError: Something is wrong with the rules; it tells everything that is.
        """
        return super().from_source(
            source,
            registry,
            file=file if is_yaml(file) else f"{file}.yaml",
            limits=limits,
            max_failures=max_failures,
            **options,
        )

    @classmethod
    def from_file(
        cls, path: str | Path, registry: WorkerRegistry | None = None, **options: Any
    ) -> Self:
        """Return a scheduler for the rules in a file; see `from_source`.

        Raises:
            PolicyError: The file can't be read.
            RulesError: Something is wrong with the rules; it tells everything that is.
        """
        return cls.from_source(read_policy(path), registry, file=str(path), **options)
