"""The seal: what a queued job must keep until it has run, unreadable without the key.

AES-256-GCM with a random nonce of 96 bits; the job's id is authenticated with it, so that no
payload can be put to another job. Random nonces are safe for 2^32 payloads of one key (NIST SP
800-38D, 8.3): at 100 jobs a second for a year and four months.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._errors import StoreError


if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


__all__ = ["KEY_VARIABLE", "Sealer", "new_key"]

KEY_VARIABLE: Final = "RBEE_PLATFORM_KEY"

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Sealer:
    """Seals and unseals payloads with one key, which is read when it is first needed.

    Args:
        key: The key, 32 bytes as URL-safe base64; empty: the environment variable
            ``RBEE_PLATFORM_KEY``, else the key file.
        file: The key file, mode 0600; made with a new key when there is none; None: no file.
    """

    __slots__ = ("_cipher", "_file", "_key")

    def __init__(self, *, key: str = "", file: Path | None = None) -> None:
        self._key = key
        self._file = file
        self._cipher: AESGCM | None = None

    def seal(self, payload: bytes, name: str) -> bytes:
        """Return ``payload`` encrypted, for ``name`` alone.

        Raises:
            ConfigError: There is no key, or it is none.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._ready().encrypt(nonce, payload, name.encode())

    def unseal(self, sealed: bytes, name: str) -> bytes:
        """Return what `seal` had sealed for ``name``.

        Raises:
            ConfigError: There is no key.
            StoreError: It was sealed with another key or for another name, or was changed.
        """
        from cryptography.exceptions import InvalidTag  # slow to import, and seldom needed

        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._ready().decrypt(nonce, encrypted, name.encode())
        except (InvalidTag, ValueError):
            raise StoreError(
                f"the payload of {name!r} can't be unsealed",
                hint="it was sealed with another key, or was changed",
            ) from None

    def _ready(self) -> AESGCM:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers import aead  # slow to import

            self._cipher = aead.AESGCM(self._read_key())
        return self._cipher

    def _read_key(self) -> bytes:
        given = self._key or os.environ.get(KEY_VARIABLE, "")
        if given:
            return _decoded(given, KEY_VARIABLE)
        if self._file is None:
            raise ConfigError(
                "there is no key to seal jobs with",
                hint=f"give all gateways the same {KEY_VARIABLE}: 32 bytes as URL-safe base64",
            )
        return _decoded(_file_content(self._file), str(self._file))


def new_key() -> str:
    """Return a new key, as `Sealer` takes it."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _file_content(file: Path) -> str:
    """Return the key in the file; make it when there is none."""
    try:
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            mode = stat.S_IMODE(file.stat().st_mode)
            if os.name == "posix" and mode & 0o077:
                raise ConfigError(
                    f"others may read the key (its mode is {mode:04o})",
                    place=str(file),
                    hint=f"chmod 600 {file}",
                ) from None
            return file.read_text("ascii")
        with os.fdopen(handle, "w", encoding="ascii") as writable:
            writable.write(new_key())
            writable.flush()
            os.fsync(writable.fileno())
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the key can't be read or made: {getattr(error, 'strerror', None) or error}",
            place=str(file),
            hint=f"it must be yours; or set {KEY_VARIABLE}",
        ) from error


def _decoded(text: str, place: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(text.strip().encode())
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError(
            "it is no key",
            place=place,
            hint="it must be 32 bytes as URL-safe base64",
        )
    return key
