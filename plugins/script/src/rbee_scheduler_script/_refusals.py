"""Why a version of a policy was not deployed."""

from __future__ import annotations

from rbee_scheduler import PolicyError
from rbee_scheduler_script._version import Version


__all__ = ["DeployLocked", "PolicyRefused"]


class PolicyRefused(PolicyError):
    """Raised when a new version is refused; the old one goes on deciding.

    Attributes:
        version: The refused one, with its findings.
    """

    code = "POLICY_REFUSED"

    def __init__(self, version: Version) -> None:
        self.version = version
        first, *others = [f for f in version.findings if f["severity"] == "error"]
        more = f" (and {len(others)} more)" if others else ""
        super().__init__(
            f"{first['message']}{more}; {version.name} is refused, the old one stays",
            place=first["place"],
            hint=first["hint"],
        )


class DeployLocked(PolicyError):
    """Raised when policies can't be deployed here: the platform's scheduler is immutable."""

    code = "DEPLOY_LOCKED"
