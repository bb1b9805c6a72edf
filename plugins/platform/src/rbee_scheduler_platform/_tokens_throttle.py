"""The throttle: who gives wrong tokens waits, longer each time."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import ClassVar

import attrs

from rbee_scheduler import QuotaExceeded


__all__ = ["Throttle", "ThrottleConfig", "Throttled"]


class Throttled(QuotaExceeded):
    """Raised when an address has given too many wrong tokens; `retry_after` says how long."""

    code: ClassVar[str] = "TOO_MANY_FAILURES"


@attrs.frozen(kw_only=True)
class ThrottleConfig:
    """How patient the throttle is.

    Attributes:
        free: Failures that cost nothing.
        first: Pause after the one that follows, seconds; it doubles with each.
        longest: Longest pause, seconds.
        forget: Seconds without a failure after which an address is forgotten.
        addresses: Most addresses remembered; the one that failed longest ago goes first.
        pending: Most tokens of one address that are checked at once.
    """

    free: int = 10
    first: float = 1.0
    longest: float = 60.0
    forget: float = 600.0
    addresses: int = 10_000
    pending: int = 32


@attrs.define
class _Address:
    failures: int = 0
    pending: int = 0
    seen_at: float = 0.0
    blocked_until: float = 0.0


class Throttle:
    """Counts failures by address. Times are monotonic seconds.

    Args:
        config: How patient it is.
    """

    __slots__ = ("_config", "_known")

    def __init__(self, config: ThrottleConfig | None = None) -> None:
        self._config = config or ThrottleConfig()
        self._known: OrderedDict[str, _Address] = OrderedDict()  # by the last failure or try

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return len(self._known)

    def begin(self, client: str, now: float) -> None:
        """Note that a token of ``client`` is about to be checked.

        Raises:
            Throttled: It must wait.
        """
        self._forget(now)
        name = _network(client)
        address = self._known.get(name)
        if address is None:
            address = self._known[name] = _Address()
        wait = address.blocked_until - now
        if address.pending >= self._config.pending:
            wait = max(wait, self._config.first)
        if wait > 0:
            raise Throttled(
                "too many wrong tokens from this address",
                hint="check the token; a right one is refused, too, until the pause is over",
                retry_after=wait,
            )
        address.pending += 1
        address.seen_at = now
        self._known.move_to_end(name)
        self._bound()

    def end(self, client: str, now: float, *, failed: bool) -> None:
        """Note how the check that was begun has ended."""
        name = _network(client)
        address = self._known.get(name)
        if address is None:  # forgotten meanwhile, among too many
            return
        address.pending = max(0, address.pending - 1)
        if not failed:
            if not address.failures and not address.pending:
                del self._known[name]
            return
        config = self._config
        address.failures += 1
        address.seen_at = now
        over = address.failures - config.free
        if over > 0:
            # 2**64 s is longer than any pause; the exponent is bounded for the float's sake.
            address.blocked_until = now + min(
                config.first * 2.0 ** min(over - 1, 64), config.longest
            )
        self._known.move_to_end(name)

    def _forget(self, now: float) -> None:
        while self._known:
            name, oldest = next(iter(self._known.items()))
            if now - oldest.seen_at < self._config.forget:
                return
            del self._known[name]

    def _bound(self) -> None:
        while len(self._known) > self._config.addresses:
            self._known.popitem(last=False)


def _network(client: str) -> str:
    """Return what one owner has: an IPv4 address, or a /64 of IPv6."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{int(address) >> 64:x}::/64"
    return client
