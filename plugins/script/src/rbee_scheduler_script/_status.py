"""How a policy is doing."""

from __future__ import annotations

from typing import Literal

import attrs


__all__ = ["PolicyStatus", "WhenNobody"]

WhenNobody = Literal["asked", "not-asked", "set-aside"]


@attrs.frozen(kw_only=True)
class PolicyStatus:
    """How a policy is doing.

    Attributes:
        name: The policy.
        file: Where it comes from.
        digest: sha256 of the script, hex.
        role: What it is used for.
        state: ``"active"``, or ``"set-aside"`` after too many failures in a row.
        runs: How often it was run since it was loaded.
        failures: How often it failed.
        timeouts: How many of the failures were for time or work.
        failures_in_row: Failures since it last gave an answer; those for jobs that nobody was free
            for count apart.
        when_nobody: Whether it is asked about jobs that nobody is free for: ``"not-asked"`` when it
            selects no workers or has nothing to say of them, ``"set-aside"`` after too many
            failures in a row with them.
        last_error: The latest failure.
        metrics: What it set with `emit_metric`.
    """

    name: str
    file: str
    digest: str
    role: str
    state: Literal["active", "set-aside"]
    runs: int
    failures: int
    timeouts: int
    failures_in_row: int
    when_nobody: WhenNobody
    last_error: str
    metrics: dict[str, float]
