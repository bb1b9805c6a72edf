"""The gatekeeper: who asks, whether they may, and whether a web page made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from rbee_scheduler import ConfigError, PluginError, SchedulerError
from rbee_scheduler_gateway._exchange import Exchange
from rbee_scheduler_gateway._identity import (
    OWNER,
    Forbidden,
    Identity,
    StaticTokens,
    Unauthorized,
    bearer,
)
from rbee_scheduler_gateway._options import GatewayOptions
from rbee_scheduler_gateway._routes import Route


__all__ = ["Gatekeeper", "is_loopback"]

# What a page of an allowed origin may read of an answer's head.
_EXPOSED = b"x-correlation-id, x-rbee-worker, x-rbee-strategy, retry-after"

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach ``host``."""
    if host in _LOOPBACK or host.startswith("unix:"):
        return True
    try:  # an address, and not 127.example.org, which is anybody's to point anywhere
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gatekeeper:
    """Decides who asks, and whether they may.

    Args:
        options: The gateway's settings.
        identifiers: Implementations of `rbee_identify`.
        failed: Told of one that fails; nobody is let in then.

    Raises:
        ConfigError: The mode asks for tokens, and there are none.
    """

    __slots__ = ("_calls", "_failed", "_origins", "_own_hosts", "_passed", "_tokens")

    def __init__(
        self,
        options: GatewayOptions,
        identifiers: Sequence[Any],
        failed: Callable[[PluginError], None] = lambda _: None,
    ) -> None:
        self._failed = failed
        self._tokens = StaticTokens(options.tokens, options.worker_tokens)
        self._calls = tuple(identifiers)
        self._origins = frozenset(options.cors_origins)
        self._passed: set[str] = set()  # Host headers that were found to be this service's
        self._own_hosts = _LOOPBACK | {options.host}
        if options.mode == "platform" and not self._calls:
            raise ConfigError(
                "platform mode has nobody who knows the tenants",
                place="$.mode",
                hint="pip install rbee-scheduler-platform, and list it under [[plugins]]",
            )
        guarded = bool(self._calls) or bool(options.tokens)
        if options.mode == "lab" and not guarded:
            raise ConfigError(
                "lab mode needs a token",
                place="$.tokens",
                hint="set tokens, such as the output of: openssl rand -hex 24",
            )
        if options.mode == "home" and not guarded and not is_loopback(options.host):
            raise ConfigError(
                f"{options.host} can be reached from elsewhere, and there is no token",
                place="$.host",
                hint="set tokens (openssl rand -hex 24), or listen on 127.0.0.1",
            )

    @property
    def open(self) -> bool:
        """Whether everybody who can reach the service is its owner."""
        return not self._calls and not self._tokens

    async def identify(self, exchange: Exchange, route: Route) -> Identity:
        """Return who asks.

        Raises:
            Unauthorized: Nobody known, and the route is not open.
            Forbidden: Known, but this is not theirs to do.
        """
        if self.open:
            self._check_page(exchange)
            return OWNER
        if route.access == "open":
            return OWNER
        token = bearer(exchange.headers.get("authorization", ""))
        identity = await self._known(token, exchange.client) if token else None
        if identity is None:
            raise Unauthorized(
                "this token is not known" if token else "there is no token",
                hint="send Authorization: Bearer TOKEN",
            )
        if not identity.may(route.access):
            raise Forbidden(
                f"this is for {'operators' if route.access == 'operator' else route.access + 's'}"
            )
        return identity

    async def _known(self, token: str, client: str) -> Identity | None:
        for call in self._calls:
            try:
                answer = call.function(token, client)
                if call.is_async:
                    answer = await answer
                if answer is not None and not isinstance(answer, Identity):
                    raise TypeError(f"a {type(answer).__name__} is no Identity")  # noqa: TRY301 - a defect like others
            except SchedulerError:  # said on purpose: Unauthorized, Forbidden, too many failures
                raise
            except Exception as problem:
                # Fails closed: the next one is not asked, it might let in who was locked out.
                self._failed(call.failure(problem))
                raise SchedulerError("who asks can't be told now; the log says why") from problem
            if answer is not None:
                return answer
        return self._tokens.identify(token)

    def _check_page(self, exchange: Exchange) -> None:
        """Refuse what a web page made the owner's browser send: nothing else protects them.

        A page of another origin is told by its Origin header; one that had its own name point
        here (DNS rebinding) by the Host header.
        """
        headers = exchange.headers
        host = headers.get("host", "")
        if host in self._passed and "origin" not in headers:  # as with nearly all requests
            return
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name and name.lower() not in self._own_hosts and not is_loopback(name):
            raise Forbidden(
                f"the host {name!r} is not this service's", hint="use 127.0.0.1, or set tokens"
            )
        origin = headers.get("origin")
        if origin is not None and not self.allows(origin) and origin != f"http://{host}":
            raise Forbidden(
                f"pages of {origin!r} may not use this service", hint="see cors_origins"
            )
        if len(self._passed) < 64:  # noqa: PLR2004 - names of this machine, however they are written
            self._passed.add(host)

    def allows(self, origin: str) -> bool:
        """Return whether pages of ``origin`` may call the service."""
        return origin in self._origins or "*" in self._origins

    def cors(self, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        """Return the headers that let a page read the answer; none where CORS is off."""
        origin = headers.get("origin") if self._origins else None
        if origin is None or not self.allows(origin):
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1", "replace")),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"origin"),
        ]
