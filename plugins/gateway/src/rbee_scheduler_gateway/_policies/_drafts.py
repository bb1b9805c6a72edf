"""Drafts: policies that decide nothing yet, one file each in the user's state folder."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import attrs

from rbee_scheduler import ConfigError, InvalidRequest


__all__ = ["Draft", "Drafts", "Language"]

Language = Literal["rhai", "yaml"]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LANGUAGES: Final[Mapping[str, Language]] = {".rhai": "rhai", ".yaml": "yaml"}


@attrs.frozen
class Draft:
    """A draft.

    Attributes:
        name: Its name.
        language: ``"rhai"`` or ``"yaml"``.
        source: Its text.
    """

    name: str
    language: Language
    source: str

    @property
    def file(self) -> str:
        """Name of its file, for places in errors."""
        return f"{self.name}.{self.language}"


class Drafts:
    """The drafts of a folder.

    Args:
        folder: Where they are; made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> dict[str, Draft]:
        """Return all drafts, by name."""
        try:
            paths = sorted(self._folder.iterdir())
        except OSError:
            return {}
        named = [path for path in paths if path.suffix in _LANGUAGES]
        return {path.stem: self._read(path) for path in named if _NAME.fullmatch(path.stem)}

    def find(self, name: str) -> Draft | None:
        """Return a draft, or None."""
        if not _NAME.fullmatch(name):
            return None
        for suffix in _LANGUAGES:
            path = self._path(name, suffix)
            if path.is_file():
                return self._read(path)
        return None

    def save(self, draft: Draft) -> None:
        """Keep a draft, instead of the one of its name.

        Raises:
            InvalidRequest: That is no name.
            ConfigError: It can't be written.
        """
        path = self._path(draft.name, f".{draft.language}")
        try:
            # For its owner alone: a policy may name tenants and prices.
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, part = tempfile.mkstemp(prefix=".", dir=self._folder)
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(draft.source)
            Path(part).replace(path)
        except OSError as error:
            raise ConfigError(
                f"the draft can't be written: {error.strerror or error}", place=str(self._folder)
            ) from error
        for suffix, language in _LANGUAGES.items():
            if language != draft.language:
                self._path(draft.name, suffix).unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """Forget a draft, if there is one."""
        if not _NAME.fullmatch(name):
            return
        for suffix in _LANGUAGES:
            self._path(name, suffix).unlink(missing_ok=True)

    def _read(self, path: Path) -> Draft:
        text = path.read_text(encoding="utf-8", errors="replace")
        return Draft(path.stem, _LANGUAGES[path.suffix], text)

    def _path(self, name: str, suffix: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name[:80]!r} is no name for a policy",
                hint="use 1 to 64 letters, digits, dots, hyphens and underscores",
            )
        return self._folder / f"{name}{suffix}"
