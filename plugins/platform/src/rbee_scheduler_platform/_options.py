"""The options of one ``[[plugins]]`` table."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._tenant import PRIORITIES


__all__ = ["PlatformOptions"]


def _number(*, above: float | None = None, at_least: float = 0.0, at_most: float = 1e12) -> Any:
    def validate(_: Any, attribute: Any, value: Any) -> None:
        low = value > above if above is not None else value >= at_least
        if not low or not value <= at_most:
            wanted = f"above {above:g}" if above is not None else f"at least {at_least:g}"
            raise ConfigError(
                f"{attribute.name} is {value!r}",
                place=f"$.{attribute.name}",
                hint=f"it must be {wanted}" + (f" and at most {at_most:g}" * (at_most < 1e12)),  # noqa: PLR2004 - as above: no bound
            )

    return validate


def _by_class(_: Any, attribute: Any, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        if name not in PRIORITIES or not value > 0:
            raise ConfigError(
                f"{name} = {value!r} makes no sense",
                place=f"$.{attribute.name}",
                hint=f"give numbers above 0 for {' and '.join(PRIORITIES)}",
            )


def _queues() -> dict[str, int]:
    return {"interactive": 1_000, "batch": 10_000}


@attrs.frozen(kw_only=True)
class PlatformOptions:
    """Options of the platform.

    Attributes:
        store: Path of a SQLite file, or ``postgresql://...``; empty: the instance is idle, as it
            is where the package is installed and nobody listed it.
        key_file: File with the key that seals jobs; empty: the SQLite file's name and ``.key``.
            The variable ``RBEE_PLATFORM_KEY`` wins.
        gateway_id: Names this gateway in the store: the same after a restart, and no other
            gateway's. Empty: ``"main"`` with SQLite, which one gateway uses at a time, and the
            host's name with PostgreSQL.
        synchronous: SQLite: ``"FULL"`` survives a loss of power, ``"NORMAL"`` a crash.
        queue: Most jobs that wait, by class.
        first_token_limit: Seconds; a request whose first token is predicted later is refused, by
            class. A class that is missing waits as long as it must.
        batch_bound: Seconds a batch job waits behind interactive ones.
        predict_output: Whether fairness charges the expected output at dispatch.
        fill: Part of a worker's KV cache that is given out, 0 to 1.
        headroom: Part of it on top, for who is next and below its share.
        slots: Slots of a worker that says neither its slots nor its KV cache.
        audit_days: Days that audit records are kept; 0: for ever.
        lease_seconds: Seconds without a sign of life after which others take over.
        metrics_tenants: Whether metrics name tenants.
        token_memory_kib: Memory that checking a new token takes, KiB (argon2id).
        token_passes: Passes over it.
    """

    store: str = attrs.field(default="", repr=False)  # a URL may hold a password
    key_file: str = ""
    gateway_id: str = ""
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    queue: Mapping[str, int] = attrs.field(factory=_queues, validator=_by_class)
    first_token_limit: Mapping[str, float] = attrs.field(factory=dict, validator=_by_class)
    batch_bound: float = attrs.field(default=60.0, validator=_number())
    predict_output: bool = False
    fill: float = attrs.field(default=0.85, validator=_number(above=0.0, at_most=1.0))
    headroom: float = attrs.field(default=0.15, validator=_number(at_most=1.0))
    slots: int = attrs.field(default=16, validator=_number(at_least=1))
    audit_days: float = attrs.field(default=365.0, validator=_number())
    lease_seconds: float = attrs.field(default=30.0, validator=_number(at_least=3))
    metrics_tenants: bool = False
    token_memory_kib: int = attrs.field(default=19 * 1024, validator=_number(at_least=8))
    token_passes: int = attrs.field(default=2, validator=_number(at_least=1))

    @property
    def shared(self) -> bool:
        """Whether several gateways may use the store at once."""
        return self.store.startswith(("postgresql://", "postgres://"))

    @property
    def gateway(self) -> str:
        """This gateway's id."""
        return self.gateway_id or (platform.node() if self.shared else "main") or "main"
