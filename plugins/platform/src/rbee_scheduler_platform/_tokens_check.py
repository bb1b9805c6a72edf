"""Authentication: whose token it is, in 1 us when it is known, in 30 ms when it is not.

A token that argon2 has verified is remembered under a keyed BLAKE2b of its text: the key is this
process's alone, so that what is in memory is of no use elsewhere. What is remembered is dropped
when the token, its tenant or its time changes.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import OrderedDict
from typing import Final, NamedTuple

import anyio
from anyio import to_thread

from rbee_scheduler import Clock
from rbee_scheduler_gateway._identity import Forbidden, Identity, Unauthorized
from rbee_scheduler_platform._records import TokenRecord
from rbee_scheduler_platform._tokens import TokenHasher, parse_token
from rbee_scheduler_platform._tokens_directory import Directory, DirectoryView
from rbee_scheduler_platform._tokens_throttle import Throttle, Throttled


__all__ = ["Authenticator"]

_HINT: Final = "send Authorization: Bearer rbee_..., as `tenant token create` printed it"

# Checks that may wait for argon2; at 2 at once and 30 ms each the last waits one second.
WAITING: Final = 64


class _Known(NamedTuple):
    identity: Identity
    token_id: str
    hash: str  # which of the token's hashes it was
    until: float  # wall-clock ms


class Authenticator:
    """Says whose token it is.

    Args:
        directory: Tenants and tokens.
        hasher: Compares secrets.
        clock: Source of time.
        throttle: Slows down those who guess.
        at_once: Most argon2 runs at once; each takes a core and 19 MiB.
        remembered: Most tokens remembered; the one not seen for longest goes first.
    """

    def __init__(
        self,
        directory: Directory,
        hasher: TokenHasher,
        clock: Clock,
        *,
        throttle: Throttle | None = None,
        at_once: int = 2,
        remembered: int = 10_000,
    ) -> None:
        self._directory = directory
        self._hasher = hasher
        self._clock = clock
        self._throttle = Throttle() if throttle is None else throttle
        self._at_once = at_once
        self._busy = 0  # checks that run, or wait for one that does
        self._limiter: anyio.CapacityLimiter | None = None
        self._remembered = remembered
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._checking: dict[bytes, anyio.Event] = {}
        directory.subscribe(self._changed)

    def known(self, token: str) -> Identity | None:
        """Return whose token it is, if that is known already; never waits."""
        mark = self._mark(token)
        entry = self._known.get(mark)
        if entry is None:
            return None
        if entry.until <= self._clock.now():
            del self._known[mark]
            return None
        self._known.move_to_end(mark)
        return entry.identity

    async def check(self, token: str, client: str) -> Identity:
        """Return whose token it is.

        Args:
            token: As it was sent; empty: none was.
            client: Address of the peer, whose failures are counted.

        Raises:
            Unauthorized: There is no such token, its secret is another, it has expired, or was
                revoked; which one is not said.
            Forbidden: Its tenant is disabled.
            Throttled: Too many wrong tokens came from this address.
        """
        parsed = parse_token(token)
        if parsed is None:  # no guess, for it could not be right: it is not held against anybody
            raise Unauthorized("there is no token, or it is none of this service", hint=_HINT)
        mark = self._mark(token)
        # Whoever comes with the token that is being checked waits for that one check.
        while (identity := self.known(token)) is None and mark in self._checking:
            await self._checking[mark].wait()
        if identity is not None:
            return identity
        self._throttle.begin(client, self._clock.monotonic())
        failed = True
        done = self._checking[mark] = anyio.Event()
        try:
            identity = await self._verify(*parsed, mark)
            failed = False
        except Throttled:
            failed = False  # that is our fault
            raise
        finally:
            self._throttle.end(client, self._clock.monotonic(), failed=failed)
            del self._checking[mark]
            done.set()
        return identity

    async def _verify(self, token_id: str, secret: str, mark: bytes) -> Identity:
        record = self._directory.view.tokens.get(token_id)
        matched = await self._matching(() if record is None else _hashes(record), secret)
        # It may have been revoked while argon2 ran.
        entry = self._entry(token_id, matched, self._directory.view) if matched else None
        if entry is None or entry.until <= self._clock.now():
            raise Unauthorized("the token is wrong, expired or revoked", hint=_HINT)
        self._known[mark] = entry
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return entry.identity

    async def _matching(self, hashes: tuple[str, ...], secret: str) -> str:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._at_once)
        if self._busy >= self._at_once + WAITING:
            raise Throttled("too many tokens are being checked", retry_after=1.0)
        self._busy += 1
        try:
            return await to_thread.run_sync(
                self._hasher.matching, hashes, secret, limiter=self._limiter
            )
        finally:
            self._busy -= 1

    def _entry(self, token_id: str, matched: str, view: DirectoryView) -> _Known | None:
        """Return what to remember of a token whose hash ``matched``; None: it is no good.

        Raises:
            Forbidden: Its tenant is disabled.
        """
        record = view.tokens.get(token_id)
        if record is None or not record.good_at(self._clock.now()):
            return None
        until = record.expires_at or math.inf
        if matched != record.hash:
            if matched != record.previous_hash:
                return None
            until = min(until, record.previous_until)
        if record.tenant:
            tenant = view.tenants.get(record.tenant)
            if tenant is None or not tenant.enabled:
                raise Forbidden(
                    f"the tenant {record.tenant!r} is disabled", hint="ask the operator"
                )
        identity = Identity(role=record.role, tenant_id=record.tenant or None)
        return _Known(identity, token_id, matched, until)

    def _changed(self, view: DirectoryView) -> None:
        """Drop or renew what is remembered; no secret has to be compared again."""
        for mark, old in tuple(self._known.items()):
            try:
                entry = self._entry(old.token_id, old.hash, view)
            except Forbidden:
                entry = None
            if entry is None:
                del self._known[mark]
            else:
                self._known[mark] = entry

    def _mark(self, token: str) -> bytes:
        text = token.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()


def _hashes(record: TokenRecord) -> tuple[str, ...]:
    # Both are compared always: how long it takes says nothing about when it was rotated.
    return tuple(known for known in (record.hash, record.previous_hash) if known)
