"""The plugin `script`: its options, and what carries the hooks of an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from rbee_scheduler import ConfigError, hookimpl


if TYPE_CHECKING:
    import click

    from rbee_scheduler_script import rhai


__all__ = ["Options", "rbee_configure", "rbee_options", "rbee_register_commands"]


@attrs.frozen(kw_only=True)
class Options:
    """Options of one ``[[plugins]]`` table.

    Attributes:
        file: Path of the policy, a Rhai file.
        source: The policy itself, instead of a file.
        role: ``"select"`` (a strategy of the instance's name), ``"filter"``, ``"soft-filter"`` or
            ``"score"``; empty: the first of these for which the policy has a function.
        when_none: What ``()`` of a selecting policy means: ``"wait"``, ``"reject"``, or ``"next"``
            (the next selector is asked, and last the scores).
        better: Whether ``"higher"`` or ``"lower"`` numbers of a scoring policy are better.
        max_failures: Failures in a row after which the policy is set aside; 0: never.
        time_ms: Milliseconds one run may take.
        memory_mb: MiB one run may allocate.
        operations: Steps one run may take.
        watch: Whether the policy is loaded anew when its file changes, without a restart.
    """

    file: str = ""
    source: str = ""
    role: Literal["", "select", "filter", "soft-filter", "score"] = ""
    when_none: Literal["wait", "reject", "next"] = "wait"
    better: Literal["higher", "lower"] = "higher"
    max_failures: int = attrs.field(default=5, validator=attrs.validators.ge(0))
    time_ms: float = attrs.field(default=50.0, validator=attrs.validators.gt(0))
    memory_mb: float = attrs.field(default=64.0, validator=attrs.validators.gt(0))
    operations: int = attrs.field(default=5_000_000, validator=attrs.validators.gt(0))
    watch: bool = True

    def __attrs_post_init__(self) -> None:
        if self.source and self.file:
            raise ConfigError(
                "there is both a file and a source", place="$.source", hint="keep one of them"
            )

    def limits(self) -> rhai.Limits:
        """Return what one run may cost."""
        from rbee_scheduler_script import rhai

        return rhai.Limits(
            time_ms=self.time_ms,
            memory=int(self.memory_mb * 1024 * 1024),
            operations=self.operations,
        )


class _Idle:
    """An instance without a policy: installed, and asked for nothing."""


@hookimpl
def rbee_options() -> type:
    """Return the class of the options."""
    return Options


@hookimpl
def rbee_configure(name: str, options: Options) -> object:
    """Compile the policy of an instance.

    Without a file or a source there is nothing to compile; so it is when the package is installed
    and the deployment lists no plugins.
    """
    if not options.file and not options.source:
        return _Idle()
    # The engine and its helpers take 100 ms to import; who has no policy needs neither.
    from rbee_scheduler_script._hooks import as_plugin
    from rbee_scheduler_script._policy import Policy, read_policy
    from rbee_scheduler_script._policy_text import policy_text
    from rbee_scheduler_script._watching import desk_of, watching

    text = policy_text(options.source or read_policy(options.file), options.file or f"<{name}>")
    policy = Policy(
        text.source,
        name=name,
        file=text.file,
        role=options.role,
        limits=options.limits(),
        max_failures=options.max_failures,
    )
    plugin = as_plugin(policy, when_none=options.when_none, better=options.better)
    plugin.desk = desk_of(policy, text)
    if options.file and options.watch:
        plugin.companion = watching(plugin.desk)
    return plugin


@hookimpl
def rbee_register_commands(cli: click.Group) -> None:
    """Add the group ``policy``."""
    from rbee_scheduler_script._cli import policy

    cli.add_command(policy)
