"""A booking: what one request holds of its tenant's quotas, from admission to its end."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import attrs

from rbee_scheduler import Usage
from rbee_scheduler_platform._quota._estimate import Estimate
from rbee_scheduler_platform._quota._meters import Instant, Meter
from rbee_scheduler_platform._quota._quotas import QuotaKind


__all__ = ["Booking", "Denial", "Ledger", "RateLimit", "Taken"]


@attrs.frozen(kw_only=True)
class Denial:
    """A quota's no; nothing was booked.

    Attributes:
        quota: The field of `Quotas` that is spent; of several, the one that takes longest.
        limit: Its value.
        remaining: How much of it is left.
        needed: How much the request needs.
        retry_after: Seconds until the same request fits, when nothing else is booked
            meanwhile; None: that depends on requests that run, or it never fits.
        never: Whether the request is larger than the quota.
    """

    quota: str
    limit: int
    remaining: int
    needed: int
    retry_after: float | None = None
    never: bool = False

    @property
    def reason(self) -> str:
        """What a client is told."""
        if self.never:
            return f"{self.quota}: the request needs {self.needed} of {self.limit} at most"
        return f"{self.quota}: {self.needed} needed, {self.remaining} of {self.limit} left"


@attrs.frozen(kw_only=True)
class RateLimit:
    """One quota as a client may be told of it.

    Attributes:
        name: The field of `Quotas`.
        limit: Its value.
        remaining: How much fits now.
        reset: Seconds until all of it fits again; 0: now, or nobody knows.
        more: Seconds until more fits than does now; 0 as for `reset`.
        window: Seconds it counts over; 0: it counts what is in use.
    """

    name: str
    limit: int
    remaining: int
    reset: float = 0.0
    more: float = 0.0
    window: int = 0


class Taken(NamedTuple):
    """What a booking took of one quota.

    The meter is kept, and not looked up again: when a limit is taken away and set anew while
    the request runs, the new meter has not counted it, and must get nothing back.
    """

    kind: QuotaKind
    meter: Meter
    stamp: int

    @classmethod
    def of(cls, kind: QuotaKind, meter: Meter, estimate: Estimate, now: Instant) -> Taken:
        """Take what ``estimate`` books."""
        return cls(kind, meter, meter.take(kind.booked(estimate), now))


class Ledger(Protocol):
    """What a booking asks of the book it is in."""

    def instant(self) -> Instant:
        """Return this moment."""
        ...

    def meter(self, tenant_id: str, kind: QuotaKind) -> Meter | None:
        """Return the tenant's meter, or None where there is no limit any more."""
        ...

    def closed(self, booking: Booking, *, held: bool) -> None:
        """Take out a booking that has ended; ``held``: which a quota held back until then."""
        ...

    def claimed(self, booking: Booking) -> None:
        """Note that a booking holds all its quotas now."""
        ...


class Booking:
    """What a request holds of its tenant's quotas. Ended once, by `settle` or `refund`.

    Attributes:
        tenant_id: Who pays.
        request_id: For which request.
        estimate: What was booked.
        streamed_tokens: Tokens that came so far.
    """

    __slots__ = (
        "_book", "_taken", "_waiting", "estimate", "open", "request_id", "streamed_tokens",
        "tenant_id",
    )  # fmt: skip

    def __init__(
        self,
        book: Ledger,
        tenant_id: str,
        request_id: str,
        estimate: Estimate,
        *,
        taken: list[Taken],
        waiting: tuple[QuotaKind, ...] = (),
    ) -> None:
        self._book = book
        self._taken = taken
        self._waiting = waiting
        self.tenant_id = tenant_id
        self.request_id = request_id
        self.estimate = estimate
        self.streamed_tokens = 0
        self.open = True

    @property
    def held(self) -> tuple[str, ...]:
        """Quotas that hold it back: it must wait until `ready_at`; empty: it may go."""
        return tuple(kind.name for kind in self._waiting)

    def ready_at(self) -> float:
        """Return the monotonic second from which the quotas that hold it back have room.

        A moment that is not later than now: it may go. inf: when another request ends.
        """
        now = self._book.instant()
        wait = 0.0
        for kind in self._waiting:
            meter = self._book.meter(self.tenant_id, kind)
            if meter is not None:
                # A limit that was lowered to less than it needs: it goes when all of it is free.
                cost = min(kind.booked(self.estimate), meter.most)
                wait = max(wait, meter.wait(int(cost), now))
        return now.us / 1e6 + wait if wait else -math.inf

    def claim(self) -> None:
        """Take the quotas that held it back, because it runs now; later calls do nothing."""
        if not self._waiting or not self.open:
            return
        waiting, self._waiting = self._waiting, ()
        now = self._book.instant()
        for kind in waiting:
            meter = self._book.meter(self.tenant_id, kind)
            if meter is not None:
                self._taken.append(Taken.of(kind, meter, self.estimate, now))
        self._book.claimed(self)

    def streamed(self, tokens: int) -> None:
        """Note tokens that came: what counts when no worker says how many there were."""
        self.streamed_tokens += tokens

    def settle(self, usage: Usage | None = None) -> Estimate:
        """End it: charge what was used, give the rest back.

        Args:
            usage: The worker's count. Where it says nothing, the estimate stands for the
                prompt, and what was streamed for the output.

        Returns:
            What it was charged; of a booking that had ended, nothing.
        """
        usage = usage or Usage()
        prompt, output = usage.prompt_tokens, usage.completion_tokens
        used = Estimate(  # a worker that counts below 0 must not give back what others booked
            input_tokens=self.estimate.input_tokens if prompt is None else max(0, prompt),
            output_tokens=self.streamed_tokens if output is None else max(0, output),
        )
        if not self.open:
            return Estimate()
        self.claim()
        self._end(used)
        return used

    def refund(self) -> None:
        """End it as if it had never been: the request did not run."""
        if self.open:
            self._end(None)

    def _end(self, used: Estimate | None) -> None:
        self.open = False
        held, self._waiting = bool(self._waiting), ()
        now = self._book.instant()
        for kind, meter, stamp in self._taken:
            charged = 0 if used is None else kind.used(used)
            meter.give(kind.booked(self.estimate) - charged, stamp, now)
        self._taken = []
        self._book.closed(self, held=held)

    def state(self) -> dict[str, Any]:
        """Return the booking as plain data, that goes with its meters' `Meter.state`."""
        return {
            "request_id": self.request_id,
            "tenant_id": self.tenant_id,
            "estimate": attrs.asdict(self.estimate),
            "taken": [
                [kind.name, stamp]
                for kind, meter, stamp in self._taken
                if meter is self._book.meter(self.tenant_id, kind)
            ],
            "waiting": list(self.held),
            "streamed": self.streamed_tokens,
        }
