"""The tenant: who shares the GPUs, with what weight, within which quotas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from rbee_scheduler import ConfigError


__all__ = ["HOLDABLE", "PRIORITIES", "Quotas", "ServiceTarget", "Tenant"]

PRIORITIES = ("interactive", "batch")

# More than anything that is counted here; 64 bits hold it.
MOST = 1e18

# Quotas whose excess may wait in the queue; one request that is too big never fits later.
HOLDABLE = (
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "tokens_daily",
    "max_concurrent_jobs",
    "vram_bytes",
)


def _positive(_: Any, attribute: Any, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < MOST:
        raise ConfigError(
            f"{attribute.name} is {value!r}",
            place=f"$.{attribute.name}",
            hint="it must be a number above 0; leave it out for no limit",
        )


def _holdable(_: Any, attribute: Any, names: Any) -> None:
    for name in names:
        if name not in HOLDABLE:
            raise ConfigError(
                f"{name!r} can't hold requests back",
                place=f"$.{attribute.name}",
                hint=f"these can: {', '.join(HOLDABLE)}",
            )


@attrs.frozen(kw_only=True)
class Quotas:
    """What a tenant may use; None: no limit.

    Attributes:
        requests_per_minute: Requests, smoothed over the minute (GCRA).
        input_tokens_per_minute: Prompt tokens.
        output_tokens_per_minute: Generated tokens; `max_tokens` is reserved until the end.
        tokens_daily: Prompt and generated tokens from midnight to midnight UTC.
        max_concurrent_jobs: Requests admitted and not ended.
        vram_bytes: Estimated GPU memory of the requests that are admitted and not ended.
        tokens_per_request: Prompt tokens and `max_tokens` of one request.
        hold: Quotas whose excess waits in the queue instead of being refused (429).
    """

    requests_per_minute: int | None = attrs.field(default=None, validator=_positive)
    input_tokens_per_minute: int | None = attrs.field(default=None, validator=_positive)
    output_tokens_per_minute: int | None = attrs.field(default=None, validator=_positive)
    tokens_daily: int | None = attrs.field(default=None, validator=_positive)
    max_concurrent_jobs: int | None = attrs.field(default=None, validator=_positive)
    vram_bytes: int | None = attrs.field(default=None, validator=_positive)
    tokens_per_request: int | None = attrs.field(default=None, validator=_positive)
    hold: tuple[str, ...] = attrs.field(default=(), converter=tuple, validator=_holdable)


@attrs.frozen(kw_only=True)
class ServiceTarget:
    """What a tenant was promised for one class of requests; None: nothing.

    Attributes:
        first_token_ms: From admission to the first token.
        per_token_ms: Mean between two tokens after the first.
    """

    first_token_ms: float | None = attrs.field(default=None, validator=_positive)
    per_token_ms: float | None = attrs.field(default=None, validator=_positive)


def _known_classes(_: Any, attribute: Any, targets: Mapping[str, Any]) -> None:
    for name in targets:
        if name not in PRIORITIES:
            raise ConfigError(
                f"there is no class {name!r}",
                place=f"$.{attribute.name}",
                hint=f"there are: {', '.join(PRIORITIES)}",
            )


def _named(_: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 128:  # noqa: PLR2004 - it becomes a key and a label
        raise ConfigError(
            f"{attribute.name} is {value!r}",
            place=f"$.{attribute.name}",
            hint="it must be 1 to 128 printable characters",
        )


@attrs.frozen(kw_only=True)
class Tenant:
    """Who shares the GPUs.

    Attributes:
        id: Unique name; appears in records, never in a client's headers.
        name: For people.
        weight: Share of the service, against the other tenants' weights.
        quotas: What it may use.
        targets: What it was promised, by class (``"interactive"``, ``"batch"``).
        regions: Where its requests may run; empty: anywhere. A worker without a region counts
            as outside.
        enabled: Whether its requests are admitted.
        created_at: Wall-clock ms.

    Raises:
        ConfigError: A value is out of range; the error names it.

    Example:
        >>> Tenant(id="acme", weight=2.0).quotas.requests_per_minute is None
        True
    """

    id: str = attrs.field(validator=_named)
    name: str = ""
    weight: float = attrs.field(default=1.0, validator=_positive)
    quotas: Quotas = attrs.field(factory=Quotas)
    targets: Mapping[str, ServiceTarget] = attrs.field(factory=dict, validator=_known_classes)
    regions: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    enabled: bool = True
    created_at: float = 0.0
