"""The charge: what one admitted request holds of the platform, until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rbee_scheduler import InferenceRequest, Outcome
from rbee_scheduler_platform._ledger import Entry
from rbee_scheduler_platform._quota import Booking, Estimate
from rbee_scheduler_platform._tenant import Tenant


if TYPE_CHECKING:
    from rbee_scheduler_platform._runtime import Runtime


__all__ = ["PlatformCharge"]


class PlatformCharge:
    """A `Charge`: a booking of quotas, a fair share, and an open charge in the store.

    Args:
        runtime: What it belongs to.
        request: The request.
        tenant: Who pays, as of its admission.
        booking: What it holds of quotas in memory; None: the store counts, or nothing does.
        entry: Its charge in the store.

    Attributes:
        told: Whether the scheduler has told of its admission; of a dry run it never does.
    """

    __slots__ = (
        "_runtime", "booking", "entry", "noted", "priority", "streamed_tokens", "tenant", "told",
    )  # fmt: skip

    def __init__(
        self,
        runtime: Runtime,
        request: InferenceRequest,
        tenant: Tenant,
        booking: Booking | None,
        entry: Entry,
    ) -> None:
        self._runtime = runtime
        self.tenant = tenant
        self.priority = request.priority
        self.booking = booking
        self.entry = entry
        self.streamed_tokens = 0
        self.noted = 0  # of these, those that the store knows of
        self.told = False

    def streamed(self, tokens: int) -> None:
        """Charge tokens that came."""
        self.streamed_tokens += tokens
        if self.booking is not None:
            self.booking.streamed(tokens)
        self._runtime.order.streamed(self.entry.job_id, tokens)

    def settle(self, outcome: Outcome) -> None:
        """Charge what was really used; of a request that ran."""
        booked, usage = self.entry.booked, outcome.usage
        prompt, output = usage.prompt_tokens, usage.completion_tokens
        if self.booking is not None:
            used = self.booking.settle(usage)
        else:
            used = Estimate(
                input_tokens=booked.input_tokens if prompt is None else prompt,
                output_tokens=self.streamed_tokens if output is None else output,
            )
        runtime = self._runtime
        runtime.order.settle(self.entry.job_id, used.input_tokens, used.output_tokens)
        runtime.ledger.end(self.entry, used, _told(outcome, used))
        runtime.counts.tokens["input"] += used.input_tokens
        runtime.counts.tokens["output"] += used.output_tokens
        runtime.gone(self)

    def refund(self) -> None:
        """Give everything back; of a request that never ran."""
        if self.booking is not None:
            self.booking.refund()
        runtime = self._runtime
        runtime.order.refund(self.entry.job_id)
        runtime.ledger.end(self.entry, None, {"outcome": "refunded"})
        runtime.gone(self)

    def note_progress(self) -> None:
        """Let the store know of what came since the last time."""
        if self.streamed_tokens != self.noted:
            self.noted = self.streamed_tokens
            self._runtime.ledger.progress(self.entry, self.entry.booked.input_tokens, self.noted)


def _told(outcome: Outcome, used: Estimate) -> dict[str, Any]:
    told: dict[str, Any] = {
        "outcome": outcome.kind,
        "attempts": outcome.attempts,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
    }
    if outcome.error is not None:
        told["error"] = outcome.error.code
    return told
