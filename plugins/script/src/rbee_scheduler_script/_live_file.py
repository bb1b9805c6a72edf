"""The file from which a scheduler takes its policy, changed by someone who is not that scheduler.

A scheduler that watches the file takes the new version at once; one that does not takes it at its
next start. Either way the list of versions says what was deployed, and by whom.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import attrs

from rbee_scheduler import ConfigError, PolicyError, Snapshot
from rbee_scheduler_script._policy import Policy, Role, read_policy
from rbee_scheduler_script._policy_text import (
    PolicyText,
    is_yaml,
    policy_text,
    read_policy_text,
)
from rbee_scheduler_script._review import Review, remark_of, review
from rbee_scheduler_script._version import Version
from rbee_scheduler_script._versions import VersionStore


__all__ = ["LiveFile", "replace_text"]


class LiveFile:
    """A policy's file, and its versions.

    Args:
        path: The file; it need not exist yet.
        role: What its policy is used for; empty: what the file's present policy is for.
        versions: Its versions; those in the user's state folder by default.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        role: Role | Literal[""] = "",
        versions: VersionStore | None = None,
    ) -> None:
        self.path = Path(path)
        self.versions = versions or VersionStore.of_file(self.path)
        self._role = role

    def deploy(
        self, text: str, *, file: str, author: str, snapshot: Snapshot | None = None
    ) -> tuple[Version, Review]:
        """Review a new version; put it into the file when it is good.

        Args:
            text: As it was written.
            file: Where it comes from.
            author: Who wants it.
            snapshot: A fleet to try it on; None: it is not tried.

        Returns:
            The version, deployed or refused, and its review.

        Raises:
            ConfigError: The file can't be written, or is of the other language.
        """
        if is_yaml(file) != is_yaml(str(self.path)):
            raise ConfigError(
                f"{file} and {self.path} are of different languages",
                place=str(self.path),
                hint="give both the suffix of what they hold: .rhai or .yaml",
            )
        self._note_present()
        found = self._review(text, file, snapshot)
        facts = [attrs.asdict(remark) for remark in found.remarks]
        about: dict[str, Any] = {"author": author, "file": file, "findings": facts}
        if found.candidate is None:
            return self.versions.add(text, state="refused", **about), found
        # The list first: who watches the file finds the author there.
        version = self.versions.add(text, state="deployed", **about)
        replace_text(self.path, text)
        return version, found

    def _review(self, text: str, file: str, snapshot: Snapshot | None) -> Review:
        present = self._present(text, file)
        if isinstance(present, Review):
            return present
        return review(present, text, file=file, snapshot=snapshot)

    def _present(self, text: str, file: str) -> Policy | Review:
        """Return the policy that is deployed, or is to be: its role holds for the new one."""
        with suppress(PolicyError):
            written = read_policy_text(self.path)
            return Policy(written.source, file=str(self.path), role=self._role)
        try:
            written = policy_text(text, file)
            return Policy(written.source, file=file, role=self._role)
        except PolicyError as error:
            return Review(
                text=PolicyText(file=file, text=text, source=text),
                remarks=(remark_of(error, file),),
                candidate=None,
            )

    def _note_present(self) -> None:
        """Keep what the file holds now, so that it can be gone back to."""
        with suppress(PolicyError):
            text = read_policy(self.path)
            if text.strip():
                self.versions.add(text, state="deployed", file=str(self.path))


def replace_text(path: Path, text: str) -> None:
    """Put ``text`` into a file as a whole: who reads it sees the old or the new one."""
    # Through a link to what it leads to: the link is somebody's order.
    target = Path(os.path.realpath(path))
    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        Path(part).replace(target)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise ConfigError(
            f"can't write it: {error.strerror or error}", place=str(path), hint="check the path"
        ) from error
