"""Unserved jobs: nobody is free, and a selecting policy may say what then.

Policies written for jobs that have candidates must not suffer from those that have none:

* A script that only ever dispatches is not asked at all (`Entry.unserved`). It could but fail on
  its empty array, at each request while the fleet is full.
* ``schedule_job`` and ``schedule_worker`` are asked only when no worker is up for the job, which
  would be refused anyway. Many say ``reject("needs a GPU")`` when their filter keeps nobody, and
  that is no reason to refuse a job that has just to wait for a GPU.
* Failures count in a row of their own: five requests for a model that nobody serves must not set
  aside the policy that places all others.
"""

from __future__ import annotations

from rbee_scheduler import Act, InferenceRequest, Reject, Snapshot, Wait
from rbee_scheduler_script._answers import Choice, selection
from rbee_scheduler_script._policy import Policy
from rbee_scheduler_script._problems import WrongAnswer


__all__ = ["Opinion", "opinion"]

Opinion = Wait | Reject | Act | None


def opinion(policy: Policy, request: InferenceRequest, snapshot: Snapshot) -> Opinion:
    """Return what a selecting policy says of a job that nobody is free for; None: nothing.

    Raises:
        PolicyError: It failed, or answered what is no answer.
    """
    if not _is_asked(policy, request, snapshot):
        return None
    view = policy.view(request, (), snapshot)
    answer = policy.run(view)
    try:
        # Without `when_none`: () is what `workers.least_loaded()` answers when all are full.
        meant = selection(answer, view, None)
    except WrongAnswer as wrong:
        raise policy.refused(wrong, view) from None
    policy.unserved_in_row = 0
    if isinstance(meant, Act):
        return Act(_said(meant.answer), meant.commands)
    return _said(meant)


def _is_asked(policy: Policy, request: InferenceRequest, snapshot: Snapshot) -> bool:
    if policy.set_aside or policy.when_nobody != "asked":
        return False
    sees_the_queue = policy.entry.name == "schedule"
    return sees_the_queue or not snapshot.count_usable(request.model, request.task_type)


def _said(choice: Choice) -> Wait | Reject | None:
    # Ids: of workers that are full. The job waits for one of them without anyone's opinion.
    return choice if isinstance(choice, (Wait, Reject)) else None
