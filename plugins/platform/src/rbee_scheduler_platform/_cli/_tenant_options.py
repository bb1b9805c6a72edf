"""The options that say what a tenant is; those that are not given change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, Final

import attrs
import click

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._tenant import HOLDABLE, PRIORITIES, ServiceTarget, Tenant


__all__ = ["changed_tenant", "tenant_options"]

NONE: Final = "none"
_QUOTA_HELP: Final = {
    "requests_per_minute": "Requests per minute.",
    "input_tokens_per_minute": "Prompt tokens per minute.",
    "output_tokens_per_minute": "Generated tokens per minute.",
    "tokens_daily": "Tokens from midnight to midnight UTC.",
    "max_concurrent_jobs": "Requests admitted and not ended.",
    "vram_bytes": "GPU memory of those requests, bytes.",
    "tokens_per_request": "Prompt tokens and max_tokens of one request.",
}
_TARGETS: Final = tuple(field.name for field in attrs.fields(ServiceTarget))


def limit(text: str) -> int | str:
    """Return a whole number, or ``none`` for no limit."""
    if text == NONE:
        return NONE
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a whole number nor 'none'") from None


def tenant_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a tenant to a command; pass it what was given as ``given``."""

    def with_given(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in names}
        return function(*args, given=given, **kwargs)

    options = [
        click.option("--name", help="For people."),
        click.option("--weight", type=float, help="Share of the service, against the others'."),
        click.option(
            "--region",
            "regions",
            multiple=True,
            help="Where its requests may run; again for more; none: anywhere.",
        ),
        click.option(
            "--hold",
            multiple=True,
            type=click.Choice([*HOLDABLE, NONE]),
            help="Quota whose excess waits instead of being refused; again for more.",
        ),
        click.option(
            "--target",
            "targets",
            multiple=True,
            metavar="CLASS.NAME=MS",
            help=f"What it was promised, such as {PRIORITIES[0]}.{_TARGETS[0]}=500.",
        ),
    ]
    options += [
        click.option(f"--{name.replace('_', '-')}", name, type=limit, metavar="N|none", help=text)
        for name, text in _QUOTA_HELP.items()
    ]
    names = ["name", "weight", "regions", "hold", "targets", *_QUOTA_HELP]
    decorated: Callable[..., Any] = update_wrapper(with_given, function)
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def changed_tenant(tenant: Tenant, given: Mapping[str, Any]) -> Tenant:
    """Return the tenant with what was given on the command line.

    Raises:
        ConfigError: A value is out of range; the error names it.
    """
    quotas: dict[str, Any] = {
        name: None if given[name] == NONE else given[name]
        for name in _QUOTA_HELP
        if given[name] is not None
    }
    if given["hold"]:
        quotas["hold"] = tuple(name for name in given["hold"] if name != NONE)
    changes: dict[str, Any] = {
        name: given[name] for name in ("name", "weight") if given[name] is not None
    }
    if given["regions"]:
        changes["regions"] = tuple(name for name in given["regions"] if name != NONE)
    if given["targets"]:
        changes["targets"] = _with_targets(tenant.targets, given["targets"])
    return attrs.evolve(tenant, quotas=attrs.evolve(tenant.quotas, **quotas), **changes)


def _with_targets(
    targets: Mapping[str, ServiceTarget], given: tuple[str, ...]
) -> dict[str, ServiceTarget]:
    made = dict(targets)
    for text in given:
        name, _, value = text.partition("=")
        priority, _, figure = name.partition(".")
        if priority not in PRIORITIES or figure not in _TARGETS:
            raise ConfigError(
                f"{text!r} is no target",
                place="--target",
                hint=f"write CLASS.NAME=MS: {', '.join(PRIORITIES)}; {', '.join(_TARGETS)}",
            )
        try:
            bound = None if value == NONE else float(value)
        except ValueError:
            raise ConfigError(
                f"{value!r} is no number", place=f"--target {name}", hint="give ms, or none"
            ) from None
        made[priority] = attrs.evolve(made.get(priority, ServiceTarget()), **{figure: bound})
    return made
