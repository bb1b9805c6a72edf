"""Bearer tokens: ``rbee_<id>_<secret>``, of which the store keeps the id and a hash.

The secret has 256 random bits, so that no dictionary helps against its hash. argon2id guards
what is left: a stolen store is of no use even if the random source was weak. The parameters are
OWASP's minimum for argon2id (19 MiB, 2 passes, 1 lane): 15 to 40 ms of one core, which a gateway
pays once per token and start.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import attrs
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from rbee_scheduler_platform._records import Role, TokenRecord


__all__ = [
    "HashCost",
    "NewToken",
    "Secret",
    "TokenHasher",
    "new_secret",
    "new_token",
    "parse_token",
    "rotated_token",
]

_PREFIX: Final = "rbee"
_ID_BYTES: Final = 8  # 16 characters
_SECRET_BYTES: Final = 32
_LONGEST: Final = 256  # characters; a real one has 65


@attrs.frozen(kw_only=True)
class HashCost:
    """What one argon2id hash costs.

    Attributes:
        memory_kib: Memory, KiB.
        passes: Passes over it.
        lanes: Threads.
    """

    memory_kib: int = 19 * 1024
    passes: int = 2
    lanes: int = 1


class NewToken(NamedTuple):
    """A token that was just made: its text, to be shown once, and what is stored."""

    text: str
    record: TokenRecord


class Secret(NamedTuple):
    """The secret part of a token, and what is stored of it."""

    text: str
    hash: str


class TokenHasher:
    """Hashes secrets and compares them; slow on purpose, so not on the event loop.

    Args:
        cost: What one hash costs; tests take less.
    """

    __slots__ = ("_hasher", "_nobody")

    def __init__(self, cost: HashCost | None = None) -> None:
        cost = cost or HashCost()
        self._hasher = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes
        )
        self._nobody = ""

    def hash(self, secret: str) -> str:
        """Return the hash of a secret, with its parameters and a random salt."""
        return self._hasher.hash(secret)

    def matching(self, hashes: tuple[str, ...], secret: str) -> str:
        """Return the hash that is ``secret``'s, or an empty string.

        Args:
            hashes: Hashes to compare with; without any, one that is nobody's is compared, so
                that an unknown id costs what a wrong secret does.
            secret: What was given.
        """
        if not hashes:
            self._nobody = self._nobody or self.hash(secrets.token_urlsafe(_SECRET_BYTES))
        found = ""
        for known in hashes or (self._nobody,):
            if self._verified(known, secret) and hashes:
                found = found or known
        return found

    def _verified(self, known: str, secret: str) -> bool:
        try:
            return self._hasher.verify(known, secret)
        except (VerificationError, InvalidHashError):
            return False


def new_token(
    hasher: TokenHasher,
    *,
    now: float,
    tenant: str = "",
    role: Role = "tenant",
    name: str = "",
    expires_at: float = 0.0,
) -> NewToken:
    """Make a token.

    Args:
        hasher: Hashes its secret.
        now: Wall-clock ms.
        tenant: Whom it stands for; empty for an operator.
        role: ``"tenant"`` or ``"operator"``.
        name: For people.
        expires_at: Wall-clock ms from which it is no good; 0: never.

    Example:
        >>> token = new_token(TokenHasher(HashCost(memory_kib=8, passes=1)), now=0, tenant="acme")
        >>> token.text.startswith(f"rbee_{token.record.id}_")
        True
    """
    secret = new_secret(hasher)
    record = TokenRecord(
        id=secrets.token_hex(_ID_BYTES),
        tenant=tenant,
        role=role,
        name=name,
        hash=secret.hash,
        created_at=now,
        expires_at=expires_at,
    )
    return NewToken(f"{_PREFIX}_{record.id}_{secret.text}", record)


def new_secret(hasher: TokenHasher) -> Secret:
    """Make a secret; slow, because it is hashed."""
    text = secrets.token_urlsafe(_SECRET_BYTES)
    return Secret(text, hasher.hash(text))


def rotated_token(record: TokenRecord, secret: Secret, *, now: float, grace: float) -> NewToken:
    """Give a token another secret; the one it had stays good for a while.

    Args:
        record: The token.
        secret: The secret.
        now: Wall-clock ms.
        grace: Seconds for which the old secret is good; 0: it is no good from now on.
    """
    changed = attrs.evolve(
        record,
        hash=secret.hash,
        previous_hash=record.hash if grace > 0 else "",
        previous_until=now + grace * 1000.0 if grace > 0 else 0.0,
        rotated_at=now,
    )
    return NewToken(f"{_PREFIX}_{record.id}_{secret.text}", changed)


def parse_token(text: str) -> tuple[str, str] | None:
    """Return id and secret of a token's text, or None when it has not the form of one.

    Example:
        >>> parse_token("rbee_0123456789abcdef_s3cret")
        ('0123456789abcdef', 's3cret')
    """
    if len(text) > _LONGEST or not text.isascii():
        return None
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    if prefix != _PREFIX or len(token_id) != 2 * _ID_BYTES or not secret:
        return None
    return token_id, secret
