"""The versions of one policy, kept in a file that several processes may use.

The file is one JSON document, replaced as a whole: a reader sees all of it or none. It holds the
texts, too, so that a roll-back needs nothing else; it is readable by its owner alone, for a policy
may name tenants and prices.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from rbee_scheduler import Clock, ConfigError, SystemClock
from rbee_scheduler_script._version import Version, VersionState, digest_of
from rbee_scheduler_script._versions_file import locked, read_versions, write_versions


__all__ = ["VersionStore", "state_folder"]

APP: Final = "rbee-scheduler"
KEPT: Final = 50
# Characters of a digest that make a name: fewer could be meant as a number.
SHORTEST: Final = 4


class VersionStore:
    """The versions of one policy.

    Args:
        path: The file they are kept in; None: only in memory.
        clock: Source of the time of new versions.
        keep: How many are kept; older ones are forgotten, never the one that is deployed.

    Example:
        >>> versions = VersionStore()
        >>> versions.add("fn score(job, worker) { 1 }", state="deployed", author="ann").number
        1
        >>> versions.current().author
        'ann'
    """

    def __init__(
        self, path: Path | None = None, *, clock: Clock | None = None, keep: int = KEPT
    ) -> None:
        self.path = path
        self._clock = clock or SystemClock()
        self._keep = max(1, keep)
        self._memory: tuple[Version, ...] = ()

    @classmethod
    def of_file(cls, file: str | Path, folder: Path | None = None, **options: Any) -> VersionStore:
        """Return the versions of the policy in ``file``.

        Args:
            file: Where the policy lives; it need not exist.
            folder: Where versions are kept; `state_folder` by default.
            **options: ``clock`` and ``keep``.
        """
        where = Path(file).absolute()
        # Two policies of one name live in different folders, and so do their versions.
        key = hashlib.sha256(str(where).encode()).hexdigest()[:12]
        return cls((folder or state_folder()) / f"{where.name}-{key}.json", **options)

    def in_memory(self) -> VersionStore:
        """Return a store with the same settings that forgets everything at the end."""
        return VersionStore(clock=self._clock, keep=self._keep)

    # ---- asking --------------------------------------------------------------------------

    def all(self) -> tuple[Version, ...]:
        """Return all versions, the oldest first.

        Raises:
            ConfigError: The file can't be read, or is something else.
        """
        return self._memory if self.path is None else read_versions(self.path)

    def current(self) -> Version | None:
        """Return the version that is deployed."""
        return _last(self.all(), "deployed")

    def find(self, which: str) -> Version:
        """Return the version of a number, or of a digest by its start (four characters or more).

        Raises:
            ConfigError: There is none, or several.
        """
        versions = self.all()
        found = [one for one in versions if str(one.number) == which]
        if not found and len(which) >= SHORTEST:
            found = [one for one in versions if one.digest.startswith(which)]
        if len({one.digest for one in found}) == 1:
            return found[-1]
        problem = "several versions have" if found else "there is no version"
        known = ", ".join(str(one.number) for one in versions) or "none"
        raise ConfigError(f"{problem} {which!r}", hint=f"there are: {known}")

    def before(self) -> Version:
        """Return the version to go back to: the one that was deployed before the present one.

        Raises:
            ConfigError: There is none.
        """
        versions = self.all()
        current = _last(versions, "deployed")
        digest = "" if current is None else current.digest
        older = [
            one
            for one in versions
            if one.state == "superseded"
            and one.digest != digest
            and (current is None or one.number < current.number)
        ]
        if not older:
            raise ConfigError(
                "there is no version to go back to", hint="deploy one before going back"
            )
        return older[-1]

    # ---- adding --------------------------------------------------------------------------

    def add(
        self,
        source: str,
        *,
        state: VersionState,
        author: str = "",
        file: str = "",
        findings: Iterable[Mapping[str, Any]] = (),
    ) -> Version:
        """Keep a version, and return it; the one that was deployed is superseded by a new one.

        The same text in the same state again is the version that there is: several processes
        may see one file change.

        Raises:
            ConfigError: The file can't be written.
        """
        digest = digest_of(source)
        with locked(self.path):
            versions = self.all()
            latest = _last(versions, state)
            newest = versions[-1] if versions else None
            if state == "deployed" and latest is not None and latest.digest == digest:
                return latest
            if newest is not None and (newest.digest, newest.state) == (digest, state):
                return newest
            version = Version(
                number=1 if newest is None else newest.number + 1,
                digest=digest,
                time=self._clock.now(),
                author=author,
                file=file,
                source=source,
                state=state,
                findings=tuple(dict(finding) for finding in findings),
            )
            if state == "deployed":
                versions = tuple(map(_superseded, versions))
            self._write(self._bounded((*versions, version)))
            return version

    def _bounded(self, versions: tuple[Version, ...]) -> tuple[Version, ...]:
        excess = len(versions) - self._keep
        if excess <= 0:
            return versions
        old = [one for one in versions[:excess] if one.state == "deployed"]
        return (*old, *versions[excess + len(old) :])

    def _write(self, versions: tuple[Version, ...]) -> None:
        if self.path is None:
            self._memory = versions
            return
        write_versions(self.path, versions)


def state_folder() -> Path:
    """Return the user's folder for versions: below ``XDG_STATE_HOME``, by default of the home.

    A relative ``XDG_STATE_HOME`` is ignored, as the base directory specification says.

    Raises:
        ConfigError: There is neither.
    """
    chosen = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        base = chosen if chosen.is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise ConfigError(
            "there is no home folder to keep versions in", hint="set XDG_STATE_HOME"
        ) from error
    return base / APP / "policies"


def _superseded(version: Version) -> Version:
    if version.state != "deployed":
        return version
    return attrs.evolve(version, state="superseded")


def _last(versions: Iterable[Version], state: VersionState) -> Version | None:
    found = [one for one in versions if one.state == state]
    return found[-1] if found else None
