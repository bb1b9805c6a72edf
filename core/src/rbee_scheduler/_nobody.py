"""Nobody: what a decision says when no worker is left to choose from, and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rbee_scheduler._decision import Decision
from rbee_scheduler._errors import NoWorkersAvailable
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._snapshot import Snapshot


__all__ = ["nobody_free", "nobody_kept"]

# Reasons of filters named in an error; with 10,000 workers each may have its own.
REASONS_SHOWN = 3

# A pause after which a client may ask again when workers exist but none is up, seconds.
RETRY_AFTER = 1.0


def nobody_free(
    request: InferenceRequest, snapshot: Snapshot, strategy: str, exclude: Collection[str]
) -> Decision:
    """Return a wait when a worker of the model will be free, else a rejection.

    Args:
        request: The request.
        snapshot: All workers at this moment.
        strategy: The strategy that would have decided.
        exclude: Ids of workers that failed this request already.
    """
    model, task = request.model, request.task_type
    usable = snapshot.count_usable(model, task)
    if usable:
        tried = ", or failed this request already" if exclude else ""
        reason = f"all {usable} workers of {model!r} are full{tried}"
        return Decision("wait", strategy, reason=reason)
    known = snapshot.count_with_model(model)
    if known:
        error = NoWorkersAvailable(
            f"{known} workers serve {model!r}, but none is up for {task!r}",
            hint="see `rbee-scheduler workers` for their states",
            retry_after=RETRY_AFTER,
        )
    else:
        error = NoWorkersAvailable(
            f"no worker serves {model!r}",
            hint="add a worker that does, or check the model's name",
        )
    return Decision("reject", strategy, reason=error.message, error=error)


def nobody_kept(
    request: InferenceRequest, strategy: str, reasons: Sequence[str], *, waits: bool
) -> Decision:
    """Return a wait or a rejection for a request whose candidates were all dropped.

    Args:
        request: The request.
        strategy: The strategy that would have decided.
        reasons: The filters' reason for each candidate.
        waits: Whether a worker that is full now would pass.
    """
    given = sorted(set(reasons))
    why = ", ".join(given[:REASONS_SHOWN])
    if len(given) > REASONS_SHOWN:
        why += f", and {len(given) - REASONS_SHOWN} other reasons"
    if waits:
        return Decision("wait", strategy, reason=f"those that pass are full ({why})")
    error = NoWorkersAvailable(
        f"filters dropped all {len(reasons)} free workers of {request.model!r}: {why}",
        hint="`rbee-scheduler route --explain` shows which filter dropped which worker",
    )
    return Decision("reject", strategy, reason=error.message, error=error)
