"""Identity: who asks, as far as their token tells; nothing else a client says counts."""

from __future__ import annotations

from hmac import compare_digest
from typing import Literal

import attrs

from rbee_scheduler import SchedulerError


__all__ = ["OWNER", "Access", "Forbidden", "Identity", "StaticTokens", "Unauthorized", "bearer"]

Role = Literal["operator", "tenant", "worker"]

# Who may use a route: anybody; anybody with a token; workers and operators; operators.
Access = Literal["open", "tenant", "worker", "operator"]

_ROLES: dict[str, frozenset[str]] = {
    "tenant": frozenset({"operator", "tenant"}),
    "worker": frozenset({"operator", "worker"}),
    "operator": frozenset({"operator"}),
}


class Unauthorized(SchedulerError):
    """Raised when a request has no token, or one that is not known."""

    code = "UNAUTHORIZED"
    http_status = 401


class Forbidden(SchedulerError):
    """Raised when a token is known, but may not do this."""

    code = "FORBIDDEN"
    http_status = 403


@attrs.frozen(kw_only=True)
class Identity:
    """Who asks.

    Attributes:
        role: ``"operator"``: may do everything; ``"tenant"``: may have requests served;
            ``"worker"``: may send heartbeats.
        tenant_id: Whose requests they are, where there are tenants.
    """

    role: Role = "operator"
    tenant_id: str | None = None

    def may(self, access: Access) -> bool:
        """Return whether a route with ``access`` is theirs to use."""
        return access == "open" or self.role in _ROLES[access]


# Who asks where no tokens are configured: one host, one owner.
OWNER = Identity()


class StaticTokens:
    """The tokens of a home or a lab: few, from the configuration, compared in constant time.

    Args:
        operators: Tokens of those who may do everything.
        workers: Tokens that may send heartbeats only.

    Example:
        >>> tokens = StaticTokens(["s3cret"], [])
        >>> tokens.identify("s3cret").role
        'operator'
    """

    __slots__ = ("_known",)

    def __init__(
        self, operators: tuple[str, ...] | list[str], workers: tuple[str, ...] | list[str]
    ) -> None:
        self._known = [(token.encode(), Identity(role="operator")) for token in operators]
        self._known += [(token.encode(), Identity(role="worker")) for token in workers]

    def __bool__(self) -> bool:
        return bool(self._known)

    def identify(self, token: str) -> Identity | None:
        """Return whose token it is, or None. All are compared, whichever one it is."""
        given = token.encode("utf-8", "surrogateescape")
        found = None
        for known, identity in self._known:
            if compare_digest(known, given):
                found = identity
        return found


def bearer(header: str) -> str:
    """Return the token of an Authorization header; empty when it has none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
