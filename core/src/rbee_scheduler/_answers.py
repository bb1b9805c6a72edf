"""What hooks answer: small records, so that an answer says what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import attrs
from attrs.validators import deep_iterable, instance_of, optional

from rbee_scheduler._commands import PoolCommand
from rbee_scheduler._errors import QuotaExceeded, SchedulerError
from rbee_scheduler._outcome import Outcome
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._validate import as_tuple, number


__all__ = ["Act", "Allow", "Charge", "Deny", "LaneOrder", "Reject", "Scores", "Soft", "Wait"]


class LaneOrder(Protocol):
    """Keeps the order of the jobs that wait for one model and task.

    Each job is added once, and removed once when it waits no longer. The order must not fail:
    when a method raises, the lane goes on in the order in which jobs came.
    """

    def add(self, request: InferenceRequest) -> None:
        """Take a job that begins to wait."""
        ...

    def remove(self, request: InferenceRequest) -> None:
        """Forget a job: it got a worker, was withdrawn, or failed."""
        ...

    def __iter__(self) -> Iterator[str]:
        """Yield job ids, next one first, lazily; leave out those that may not go now.

        The scheduler takes one or a few, and starts anew after each job that got a worker.
        """
        ...


_SECONDS = number(at_least=0, optional=True)


class Charge(Protocol):
    """What a quota check booked. Exactly one of its two methods is called, once.

    It may have a third one, ``streamed(tokens)``: called as tokens come, with how many, as far
    as that can be told from the stream; `settle` brings the worker's own count.
    """

    def settle(self, outcome: Outcome) -> None:
        """Replace what was booked by what was really used."""
        ...

    def refund(self) -> None:
        """Undo the booking: the request never ran."""
        ...


def _is_charge(_: Any, __: Any, value: Any) -> None:
    # Found now, the check fails closed; found at the end, the booking would stand for ever.
    if value is not None and not (hasattr(value, "settle") and hasattr(value, "refund")):
        raise TypeError(f"{value!r} is no charge: it needs settle(outcome) and refund()")


@attrs.frozen
class Allow:
    """A quota check's yes, with what it booked."""

    charge: Charge | None = attrs.field(default=None, validator=_is_charge)


@attrs.frozen
class Deny:
    """A quota check's no; or that of an `rbee_reserve`, where no other worker would help.

    Attributes:
        reason: Shown to the client; names the quota and the limit.
        retry_after: Seconds until another try makes sense, where known.
        error: What the request ends with; None: `QuotaExceeded`, made of the two above.
    """

    reason: str = attrs.field(validator=instance_of(str))
    retry_after: float | None = attrs.field(default=None, kw_only=True, validator=_SECONDS)
    error: SchedulerError | None = attrs.field(
        default=None, kw_only=True, validator=optional(instance_of(SchedulerError))
    )

    def as_error(self) -> SchedulerError:
        """Return the error that the request ends with."""
        return self.error or QuotaExceeded(self.reason, retry_after=self.retry_after)


@attrs.frozen
class Soft:
    """Wraps a filter's answer: a wish, dropped when it would leave nobody.

    Attributes:
        dropped: Worker id -> reason, as a hard filter answers it bare.
    """

    dropped: Mapping[str, str]


@attrs.frozen
class Scores:
    """A scorer's answer, with the meaning of its numbers.

    Attributes:
        values: Worker id -> number. A worker that is left out counts as the worst.
        better: Whether ``"higher"`` or ``"lower"`` numbers are better.
        lowest: Smallest possible value; the smallest one seen when not given.
        highest: Largest possible value; the largest one seen when not given.

    Example:
        >>> Scores({"gpu-1": 0.25, "gpu-2": 1.0}, better="lower", lowest=0, highest=1).better
        'lower'
    """

    values: Mapping[str, float]
    better: Literal["higher", "lower"] = attrs.field(default="higher", kw_only=True)
    lowest: float | None = attrs.field(default=None, kw_only=True)
    highest: float | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Wait:
    """A selector's "not now": the request waits in the queue.

    Attributes:
        reason: Shown by `explain`.
        retry_after: Seconds after which to ask again, even when nothing has changed.
    """

    reason: str = attrs.field(default="", validator=instance_of(str))
    retry_after: float | None = attrs.field(default=None, kw_only=True, validator=_SECONDS)


@attrs.frozen
class Reject:
    """A selector's "never": the request ends with `Rejected`.

    Attributes:
        reason: Shown to the client.
    """

    reason: str = attrs.field(validator=instance_of(str))


@attrs.frozen
class Act:
    """Wraps a selector's answer: the answer, and commands that go out with it.

    Attributes:
        answer: What it would answer bare: worker ids, `Wait`, `Reject`, or None.
        commands: For pool managers (`rbee_pool_command`), in this order. An explanation
            shows them and sends none.
    """

    answer: Sequence[str] | Wait | Reject | None
    commands: tuple[PoolCommand, ...] = attrs.field(
        converter=as_tuple, validator=deep_iterable(instance_of(PoolCommand))
    )
