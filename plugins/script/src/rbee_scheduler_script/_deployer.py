"""New versions of a policy while it decides: reviewed aside, swapped between two decisions.

A version comes by a file that changed (`_reload.watch_policy`) or by a call
(`PolicyDeployer.deploy`). It is checked, compiled and tried in another thread; the thread that
decides only swaps. A job under way stays on the worker that the old version gave it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import anyio
import anyio.to_thread
import attrs

from rbee_scheduler import ConfigError, Snapshot
from rbee_scheduler_script._policy import Policy, read_policy
from rbee_scheduler_script._policy_text import PolicyText
from rbee_scheduler_script._refusals import DeployLocked, PolicyRefused
from rbee_scheduler_script._review import Review, review
from rbee_scheduler_script._version import Version, digest_of
from rbee_scheduler_script._versions import VersionStore


__all__ = ["PolicyDeployer", "ReloadStatus"]

PLATFORM: Final = "platform"


@attrs.frozen(kw_only=True)
class ReloadStatus:
    """How the deploying of a policy stands.

    Attributes:
        state: ``"deployed"``, ``"refused"`` (the newest version was; an older one decides), or
            ``"locked"``.
        version: The version that decides.
        refused: The newest one, when it was refused.
        reloads: How often another version was taken since the start.
    """

    state: Literal["deployed", "refused", "locked"]
    version: Version
    refused: Version | None
    reloads: int


class PolicyDeployer:
    """Takes new versions of one policy.

    Args:
        policy: The policy that decides.
        snapshot: Gives the present fleet for dry runs; None: there are none.
        text: The policy as it was written, where that is not the Rhai that runs (YAML).
        versions: Where versions are kept; None: in memory.
        locked: Whether deploying is refused, as in platform mode.
        logger: ``rbee_scheduler.policy`` by default.

    Attributes:
        policy: The policy that decides.
        versions: Its versions.
        logger: Where it is said what was taken and what was refused.

    Example:
        >>> deployer = PolicyDeployer(Policy("fn score(job, worker) { worker.load }"))
        >>> deployer.status().version.number
        1
    """

    def __init__(
        self,
        policy: Policy,
        snapshot: Callable[[], Snapshot] | None = None,
        *,
        text: str | None = None,
        versions: VersionStore | None = None,
        locked: bool = False,
        logger: logging.Logger | None = None,
    ) -> None:
        self.policy = policy
        self.versions = versions or VersionStore()
        self._snapshot = snapshot
        self._locked = locked
        self.logger = logger or logging.getLogger("rbee_scheduler.policy")
        self._lock = anyio.Lock()
        self._reloads = 0
        self._refused: Version | None = None
        self._seen = digest_of(policy.source if text is None else text)
        self._version = self._keep(policy.source if text is None else text, policy.file, "")

    def status(self) -> ReloadStatus:
        """Return how the deploying stands."""
        state: Literal["deployed", "refused", "locked"] = (
            "locked" if self._locked else "refused" if self._refused else "deployed"
        )
        return ReloadStatus(
            state=state, version=self._version, refused=self._refused, reloads=self._reloads
        )

    async def deploy(self, text: str, *, author: str = "", file: str = "") -> Version:
        """Let another version decide from now on.

        The same text again wakes a policy that was set aside.

        Args:
            text: The policy, Rhai or YAML.
            author: Who wants it, for the list of versions.
            file: Name of the file it came from; a suffix ``.yaml`` says that it is YAML.

        Returns:
            The version, which decides now.

        Raises:
            PolicyRefused: It is no good; the one that decided stays.
            DeployLocked: Nothing can be deployed here.
        """
        async with self._lock:
            snapshot = None if self._snapshot is None else self._snapshot()
            self._check_unlocked(snapshot)
            file = file or self.policy.file
            found = await anyio.to_thread.run_sync(
                partial(review, self.policy, text, file=file, snapshot=snapshot)
            )
            # Both happen, or neither: what decides is what the list says.
            with anyio.CancelScope(shield=True):
                version = await self._settle(found, author)
        if version.state == "refused":
            raise PolicyRefused(version)
        return version

    async def rollback(self, which: str = "", *, author: str = "") -> Version:
        """Let an older version decide again; it passes the same review.

        Args:
            which: Its number, or the start of its digest; empty: the one before.
            author: Who wants it.

        Raises:
            ConfigError: There is no such version.
            PolicyRefused: It does not pass today.
            DeployLocked: Nothing can be deployed here.
        """
        find = self.versions.before if not which else partial(self.versions.find, which)
        version = await anyio.to_thread.run_sync(find)
        return await self.deploy(version.source, author=author, file=version.file)

    async def reload(self, path: str | Path | None = None, *, author: str = "") -> Version | None:
        """Deploy what the policy's file holds now, if that has changed since the last look.

        A policy that was set aside comes back, also when nothing has changed.

        Args:
            path: The file; the policy's own by default.
            author: For the list of versions.

        Returns:
            The version that decides now; None when the file says nothing new.

        Raises:
            PolicyRefused: It is no good.
            DeployLocked: Nothing can be deployed here.
            PolicyError: The file can't be read.
        """
        text = await anyio.to_thread.run_sync(read_policy, path or self.policy.file)
        digest = digest_of(text)
        # A blank file is one that is being written.
        known = digest == self._seen and not self.policy.set_aside
        if known or not text.strip():
            return None
        self._seen = digest
        return await self.deploy(text, author=author)

    def noted(self, text: str) -> None:
        """Note that the policy's file holds ``text`` now: it is not news to `reload`."""
        self._seen = digest_of(text)

    # ---- inside ------------------------------------------------------------------------

    def _check_unlocked(self, snapshot: Snapshot | None) -> None:
        mode = "" if snapshot is None else snapshot.surroundings.mode
        if self._locked or mode == PLATFORM:
            raise DeployLocked(
                "policies can't be deployed here: the scheduler is immutable",
                place=self.policy.file,
                hint="change the deployment, and start it anew",
            )

    async def _settle(self, found: Review, author: str) -> Version:
        if found.candidate is None:
            return await self._refuse(found, author)
        return await self._take(found, found.candidate, author)

    async def _take(self, found: Review, candidate: Policy, author: str) -> Version:
        # This task runs where decisions are made, so none is under way here.
        self.policy.adopt(candidate)
        text = found.text
        self._refused = None
        self._version = await anyio.to_thread.run_sync(
            partial(self._keep, text.text, text.file, author, _facts(found))
        )
        self._reloads += 1
        for remark in found.remarks:
            self.logger.warning("policy %s: %s", self.policy.name, remark)
        by = f", by {author}" if author else ""
        self.logger.info(
            "policy %s: %s of %s decides now%s",
            self.policy.name, self._version.name, text.file, by,
        )  # fmt: skip
        return self._version

    async def _refuse(self, found: Review, author: str) -> Version:
        text = found.text
        self._refused = await anyio.to_thread.run_sync(
            partial(self._keep_refused, text, author, found)
        )
        for remark in found.errors:
            self.logger.error(
                "policy %s: %s is refused, %s stays: %s",
                self.policy.name, self._refused.name, self._version.name, remark,
            )  # fmt: skip
        return self._refused

    def _keep_refused(self, text: PolicyText, author: str, found: Review) -> Version:
        refused = self._keep(text.text, text.file, author, _facts(found), state="refused")
        current = self.versions.current()
        if current is None or current.digest != self._version.digest:
            # Another process noted it as deployed before this one looked at it.
            old = self._version
            self._version = self._keep(old.source, old.file, old.author)
        return refused

    def _keep(
        self,
        text: str,
        file: str,
        author: str,
        findings: tuple[Mapping[str, Any], ...] = (),
        *,
        state: Literal["deployed", "refused"] = "deployed",
    ) -> Version:
        """Note a version; where the list can't be written, in memory from then on."""
        about: dict[str, Any] = {"author": author, "file": file, "findings": findings}
        try:
            return self.versions.add(text, state=state, **about)
        except ConfigError as error:
            self.logger.warning("%s; versions are kept in memory", error)
            self.versions = self.versions.in_memory()
            return self.versions.add(text, state=state, **about)


def _facts(found: Review) -> tuple[Mapping[str, Any], ...]:
    return tuple(attrs.asdict(remark) for remark in found.remarks)
