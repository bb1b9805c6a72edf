"""Looking at a policy that decides nothing; called in another thread, for it may take its time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from rbee_scheduler import (
    Explanation,
    InferenceRequest,
    PolicyError,
    Scheduler,
    Snapshot,
    Worker,
    WorkerRegistry,
)
from rbee_scheduler_gateway._policies._drafts import Draft


__all__ = ["checked", "tried"]


def checked(draft: Draft) -> list[dict[str, Any]]:
    """Return what the checker and the compiler find in a policy."""
    from rbee_scheduler_script import Policy
    from rbee_scheduler_script._policy_text import policy_text
    from rbee_scheduler_script._review import check_text, remark_of

    try:
        text = policy_text(draft.source, draft.file)
        remarks = check_text(text)
        if not any(remark.severity == "error" for remark in remarks):
            Policy(text.source, file=draft.file)
    except PolicyError as error:
        remarks = (remark_of(error, draft.file),)
    return [attrs.asdict(remark) for remark in remarks]


def tried(
    draft: Draft, request: InferenceRequest, fleet: Iterable[Worker], present: Snapshot
) -> dict[str, Any]:
    """Return what a policy decides alone, and each step on the way.

    Args:
        draft: The policy.
        request: A job.
        fleet: The workers it sees.
        present: Knows the models.

    Raises:
        PolicyError: It does not compile.
    """
    from rbee_scheduler_script import as_plugin
    from rbee_scheduler_script._policy_text import policy_text
    from rbee_scheduler_script._trace import Recorder, TracedPolicy

    text, recorder = policy_text(draft.source, draft.file), Recorder()
    policy = TracedPolicy(text, recorder, name=draft.name)
    recorder.begin(request)
    # A registry of its own: nothing here is seen by what runs.
    registry = WorkerRegistry(catalog=present.catalog)
    for worker in fleet:
        registry.add(worker)
    explanation: Explanation = Scheduler(registry, [as_plugin(policy)]).explain(request)
    last = text.source.count("\n") + 1  # behind it stands what was added to batch
    return {
        "decision": explanation.to_dict(),
        "trace": [
            {
                "kind": step.kind,
                "place": text.place(step.line, step.column),
                "helper": step.name or None,
                "count": step.count,
                "outcomes": dict(step.outcomes),
            }
            for step in recorder.steps.values()
            if step.line <= last
        ],
    }
