"""What can be done with a policy; everything that needs the plugin `script` is here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import attrs

from rbee_scheduler import (
    ConfigError,
    InferenceRequest,
    PolicyError,
    UnprocessableRequest,
    Worker,
)
from rbee_scheduler_gateway._identity import Forbidden
from rbee_scheduler_gateway._policies._drafts import Draft, Drafts, Language
from rbee_scheduler_gateway._policies._trial import checked, tried
from rbee_scheduler_gateway._refusals import Conflict, NotFound


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway
    from rbee_scheduler_script import PolicyDeployer, Version


__all__ = ["Deployed", "PolicyUnfit", "Workshop", "language_of"]


class PolicyUnfit(UnprocessableRequest):
    """Raised when a policy is not deployed because something is wrong with it.

    Args:
        message: What is wrong, first of all.
        findings: All that is wrong.
        **place: As for every error.
    """

    code = "POLICY_REFUSED"

    def __init__(self, message: str, findings: Iterable[Mapping[str, Any]], **place: Any) -> None:
        super().__init__(message, **place)
        self.findings = [dict(finding) for finding in findings]


@attrs.frozen
class Deployed:
    """What became of a deployment.

    Attributes:
        version: The version that decides now.
        lasting: Whether its file says so, too: then it decides after a restart as well.
    """

    version: Version
    lasting: bool


class Workshop:
    """Does everything with policies, for one gateway.

    Args:
        gateway: The gateway.
        drafts: Where drafts are; None: the user's state folder.

    Raises:
        NotFound: The plugin `script` is not installed.
    """

    def __init__(self, gateway: Gateway, drafts: Drafts | None = None) -> None:
        if find_spec("rbee_scheduler_script") is None:
            raise NotFound(
                "there are no policies: the plugin 'script' is not installed",
                hint="pip install rbee-scheduler-script",
            )
        from rbee_scheduler_script._versions import state_folder

        self._gateway = gateway
        self.drafts = drafts or Drafts(state_folder() / "drafts")

    def deployers(self) -> dict[str, PolicyDeployer]:
        """Return what deploys to each policy that is in force, by the plugin's name."""
        found = {}
        for call in self._gateway.plugins.calls("rbee_policy_deployer"):
            try:
                deployer: PolicyDeployer | None = call.function(self._gateway.registry)
            except Exception as problem:  # noqa: BLE001 - the others' policies are there all the same
                self._gateway.metrics.plugin_failed(call.failure(problem))
                continue
            if deployer is not None:
                found[call.plugin] = deployer
        return found

    # ---- what there is -------------------------------------------------------------------

    def fleet(self) -> Sequence[Worker]:
        """Return the present fleet."""
        return self._gateway.registry.snapshot().workers()

    def names(self) -> list[str]:
        """Return the names of all policies: in force, then drafts."""
        return list(self.deployers() | self.drafts.all())

    async def shown(self, name: str, *, source: bool = False) -> dict[str, Any]:
        """Return what is known of a policy.

        Args:
            name: Its name.
            source: Whether to show its texts.

        Raises:
            NotFound: There is none.
        """
        deployer, draft = self.deployers().get(name), self.drafts.find(name)
        if deployer is None and draft is None:
            raise NotFound(f"there is no policy {name[:80]!r}", hint="see GET /v1/policies")
        in_force = None
        if deployer is not None:  # its versions are a file, which may be large
            in_force = await anyio.to_thread.run_sync(partial(_in_force, deployer, source=source))
        return {
            "name": name,
            "in_force": in_force,
            "draft": None if draft is None else _shown_draft(draft, source=source),
        }

    def draft(self, name: str) -> Draft:
        """Return the draft of a policy; where it has none, what is in force.

        Raises:
            NotFound: There is neither.
        """
        draft = self.drafts.find(name)
        if draft is not None:
            return draft
        deployer = self.deployers().get(name)
        if deployer is None:
            raise NotFound(f"there is no policy {name[:80]!r}", hint="save one with PUT")
        return Draft(name, language_of(deployer), deployer.status().version.source)

    # ---- looking at one ------------------------------------------------------------------

    async def check(self, draft: Draft) -> list[dict[str, Any]]:
        """Return what the checker and the compiler find in a policy."""
        return await anyio.to_thread.run_sync(partial(checked, draft))

    async def test(
        self, draft: Draft, request: InferenceRequest, workers: Iterable[Worker] | None
    ) -> dict[str, Any]:
        """Return what a policy decides alone, and each step on the way.

        Args:
            draft: The policy.
            request: A job.
            workers: A fleet; None: the present one.

        Raises:
            PolicyUnfit: It does not compile.
        """
        present = self._gateway.registry.snapshot()
        fleet = present.workers() if workers is None else tuple(workers)
        try:
            return await anyio.to_thread.run_sync(partial(tried, draft, request, fleet, present))
        except PolicyError as error:
            raise _unfit(error) from error

    # ---- letting one decide --------------------------------------------------------------

    def target(self, name: str) -> tuple[str, PolicyDeployer]:
        """Return what a policy is deployed to, by name: what has the name, else the only one.

        Raises:
            Conflict: There is none, or several.
        """
        deployers = self.deployers()
        if name in deployers:
            return name, deployers[name]
        if len(deployers) == 1:
            return next(iter(deployers.items()))
        raise Conflict(
            f"{len(deployers) or 'no'} policies are in force, and none is called {name[:80]!r}",
            hint="name a target: see in_force in GET /v1/policies"
            if deployers
            else 'list the plugin: [[plugins]] name = "script", options = {file = "policy.rhai"}',
        )

    def check_unlocked(self) -> None:
        """Refuse what would change who decides, where nobody may.

        Raises:
            Forbidden: In platform mode.
        """
        if self._gateway.options.mode == "platform":
            raise Forbidden(
                "policies can't be deployed: the platform's scheduler is immutable",
                hint="change the deployment, and start it anew",
            )

    async def deploy(self, draft: Draft, deployer: PolicyDeployer, author: str) -> Deployed:
        """Let a draft decide from the next request on; its file says so, too.

        Raises:
            Forbidden: Nothing can be deployed here.
            PolicyUnfit: It is no good; the one that decided stays.
            Conflict: The file in force is of the other language.
        """
        self.check_unlocked()
        if language_of(deployer) != draft.language:
            raise Conflict(
                f"{draft.file} and {deployer.policy.file} are of different languages",
                hint="save it in the language of what is in force",
            )
        return await self._settled(deployer, partial(deployer.deploy, draft.source, author=author))

    async def roll_back(self, deployer: PolicyDeployer, which: str, author: str) -> Deployed:
        """Let an older version decide again.

        Args:
            deployer: Of the policy.
            which: Number or digest; empty: the version before.
            author: Who wants it.

        Raises:
            Forbidden: Nothing can be deployed here.
            PolicyUnfit: It does not pass today.
            NotFound: There is no such version.
        """
        self.check_unlocked()
        find = deployer.versions.before if not which else partial(deployer.versions.find, which)
        try:
            await anyio.to_thread.run_sync(find)
        except ConfigError as missing:
            raise NotFound(missing.message, hint=missing.hint) from missing
        return await self._settled(deployer, partial(deployer.rollback, which, author=author))

    async def _settled(self, deployer: PolicyDeployer, deploy: Any) -> Deployed:
        from rbee_scheduler_script import DeployLocked, PolicyRefused

        try:
            version: Version = await deploy()
        except DeployLocked as locked:
            raise Forbidden(locked.message, hint=locked.hint, place=locked.place) from locked
        except PolicyRefused as refused:
            raise _unfit(refused, refused.version.findings) from refused
        return Deployed(version, await self._write(deployer, version.source))

    async def _write(self, deployer: PolicyDeployer, text: str) -> bool:
        """Put what is in force into its file; return whether that could be done."""
        from rbee_scheduler_script._live_file import replace_text

        if not lasts(deployer):
            return False
        deployer.noted(text)  # it is in force: whoever watches the file need not act
        try:
            await anyio.to_thread.run_sync(replace_text, Path(deployer.policy.file), text)
        except ConfigError as error:  # such as a read-only mount
            self._gateway.logger.warning("the policy in force will not outlive this: %s", error)
            return False
        return True


def lasts(deployer: PolicyDeployer) -> bool:
    """Return whether a policy has a file, so that what is deployed outlives the service."""
    return not deployer.policy.file.startswith("<")


def language_of(deployer: PolicyDeployer) -> Language:
    """Return the language of the policy in force."""
    return "yaml" if deployer.policy.file.lower().endswith((".yaml", ".yml")) else "rhai"


def _unfit(error: PolicyError, findings: Iterable[Mapping[str, Any]] = ()) -> PolicyUnfit:
    return PolicyUnfit(error.message, findings, place=error.place, hint=error.hint)


def _in_force(deployer: PolicyDeployer, *, source: bool) -> dict[str, Any]:
    status = deployer.status()
    return {
        "language": language_of(deployer),
        "file": deployer.policy.file if lasts(deployer) else None,
        "state": status.state,
        "reloads": status.reloads,
        "version": status.version.to_dict(source=source),
        "versions": [one.to_dict() for one in deployer.versions.all()],
        "refused": None if status.refused is None else status.refused.to_dict(),
        "status": attrs.asdict(deployer.policy.status()),
    }


def _shown_draft(draft: Draft, *, source: bool) -> dict[str, Any]:
    from rbee_scheduler_script._version import digest_of

    about = {"language": draft.language, "digest": digest_of(draft.source)}
    return about | {"source": draft.source} if source else about
