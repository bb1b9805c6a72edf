"""The request: what a client wants generated, and what a policy may read of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import attrs

from rbee_scheduler._errors import UnprocessableRequest
from rbee_scheduler._validate import Checks, as_tuple


__all__ = ["Geo", "InferenceRequest", "User"]

PRIORITIES = ("interactive", "batch")

check = Checks(UnprocessableRequest)


def _prompt_is_text(_: Any, __: Any, value: Any) -> None:
    # Without the value, unlike all other checks: a prompt must not get into a log.
    if not isinstance(value, str):
        raise UnprocessableRequest(
            "prompt is no text", place="$.prompt", hint="it must be a string"
        )


@attrs.frozen(kw_only=True)
class Geo:
    """A place on Earth.

    Attributes:
        latitude: Degrees north, -90 to 90.
        longitude: Degrees east, -180 to 180.
        region: A label such as ``"eu-west"``; compared as text.
    """

    latitude: float = attrs.field(default=0.0, validator=check.number(at_least=-90, at_most=90))
    longitude: float = attrs.field(default=0.0, validator=check.number(at_least=-180, at_most=180))
    region: str = ""


@attrs.frozen(kw_only=True)
class User:
    """Who asks, as far as a policy may know: a place, no identity."""

    geo: Geo = attrs.field(factory=Geo)


# A record without __slots__, like Worker: it is copied once or twice on its way, and copying a
# __dict__ takes 0.5 us where as many slots take 2.5 us (CPython 3.11).
@attrs.frozen(kw_only=True, slots=False, eq=True, hash=False)
class InferenceRequest:
    """One request for inference; immutable, checked when it is made.

    Attributes:
        job_id: Names the request in events, logs and errors.
        model: Model name, an alias or the canonical reference.
        prompt: Text to continue. May be empty only when `messages` are given.
        messages: Chat messages (``role`` and ``content``); chosen over `prompt`.
        max_tokens: Most tokens to generate, at least 1.
        temperature: Sampling temperature, 0 (greedy) or more.
        top_p: Nucleus sampling, 0 to 1.
        top_k: Sample among this many tokens, at least 1.
        seed: Seed of the worker's sampler.
        stop: Texts that end the generation.
        repetition_penalty: Above 0; 1 changes nothing.
        task_type: ``"text-gen"``, ``"image-gen"``, ``"embedding"``, ...
        priority: ``"interactive"`` or ``"batch"``.
        tenant_id: Who pays (platform mode).
        session_id: Requests of one conversation share it.
        user: Where the user is.
        deadline: Wall-clock milliseconds since 1970 after which no answer is wanted.
        deadline_ms: The same as a budget: milliseconds from `created_at`.
        created_at: When it was made, wall-clock ms; 0: set by the scheduler's clock.
        queued_at: When it began to wait, wall-clock ms; 0: not yet.
        retry_count: How many workers have failed it so far.
        estimated_vram_bytes: Caller's estimate of the memory it needs.
        estimated_duration_ms: Caller's estimate of its duration.
        resume: Whether a stream cut half-way may go on, on another worker.
        strategy: Name of a strategy to use instead of the deployment's, where allowed.

    Raises:
        UnprocessableRequest: A value is out of range; the error names it.

    Example:
        >>> request = InferenceRequest(job_id="job-1", model="llama-3-8b", prompt="Hi")
        >>> request.id, request.model_ref, request.type
        ('job-1', 'llama-3-8b', 'text-gen')
    """

    job_id: str = attrs.field(validator=check.non_empty)
    model: str = attrs.field(validator=check.non_empty)
    prompt: str = attrs.field(default="", repr=False, validator=_prompt_is_text)
    messages: tuple[Mapping[str, Any], ...] = attrs.field(
        default=(),
        converter=as_tuple,
        repr=False,
        validator=check.listed((dict, Mapping), "messages"),
    )
    max_tokens: int = attrs.field(default=256, validator=check.integer(at_least=1))
    temperature: float = attrs.field(default=0.7, validator=check.number(at_least=0))
    top_p: float | None = attrs.field(
        default=None, validator=check.number(at_least=0, at_most=1, optional=True)
    )
    top_k: int | None = attrs.field(
        default=None, validator=check.integer(at_least=1, optional=True)
    )
    seed: int | None = attrs.field(default=None, validator=check.integer(optional=True))
    stop: tuple[str, ...] = attrs.field(
        default=(), converter=as_tuple, validator=check.listed(str, "strings")
    )
    repetition_penalty: float | None = attrs.field(
        default=None, validator=check.number(above=0, optional=True)
    )
    task_type: str = attrs.field(default="text-gen", validator=check.non_empty)
    priority: str = attrs.field(default="interactive", validator=check.one_of(PRIORITIES))
    tenant_id: str | None = attrs.field(default=None, validator=check.text(optional=True))
    session_id: str | None = attrs.field(default=None, validator=check.text(optional=True))
    user: User | None = None
    deadline: float | None = attrs.field(default=None, validator=check.number(optional=True))
    deadline_ms: float | None = attrs.field(default=None, validator=check.number(optional=True))
    created_at: float = attrs.field(default=0.0, validator=check.number(at_least=0))
    queued_at: float = attrs.field(default=0.0, validator=check.number(at_least=0))
    retry_count: int = attrs.field(default=0, validator=check.integer(at_least=0))
    estimated_vram_bytes: int | None = attrs.field(
        default=None, validator=check.integer(at_least=0, optional=True)
    )
    estimated_duration_ms: float | None = attrs.field(
        default=None, validator=check.number(at_least=0, optional=True)
    )
    resume: bool = False
    strategy: str | None = attrs.field(default=None, validator=check.text(optional=True))

    def __attrs_post_init__(self) -> None:
        if not self.prompt and not self.messages:
            raise UnprocessableRequest(
                "prompt is empty", place="$.prompt", hint="give a prompt, or messages"
            )

    @property
    def id(self) -> str:
        """The same as `job_id`; the name policies use."""
        return self.job_id

    @property
    def type(self) -> str:
        """The same as `task_type`; the name policies use."""
        return self.task_type

    @property
    def model_ref(self) -> str:
        """The same as `model`; canonical once the scheduler has resolved aliases."""
        return self.model

    @property
    def prompt_hash(self) -> str:
        """sha256 of what is sent (messages, or the prompt), hex: what logs and stores may hold."""
        text = repr([dict(message) for message in self.messages]) if self.messages else self.prompt
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def deadline_at(self, created_at: float) -> float | None:
        """Return the moment after which no answer is wanted, or None.

        Args:
            created_at: Wall-clock ms from which `deadline_ms` counts.
        """
        if self.deadline_ms is None:
            return self.deadline
        budget = created_at + self.deadline_ms
        return budget if self.deadline is None else min(budget, self.deadline)

    def wait_time_ms(self, now: float) -> float:
        """Return for how many ms the request has waited in the queue at ``now``."""
        return max(0.0, now - self.queued_at) if self.queued_at else 0.0

    def changed(self, **changes: Any) -> InferenceRequest:
        """Return a copy with ``changes``, unchecked: for values that are known to be sound.

        Costs 0.5 us where `attrs.evolve`, which checks all fields again, costs 6.
        """
        copy = object.__new__(InferenceRequest)
        object.__setattr__(copy, "__dict__", self.__dict__ | changes)
        return copy

    def checked(
        self, sound: Mapping[str, Any] = MappingProxyType({}), /, **changes: Any
    ) -> InferenceRequest:
        """Return a copy with ``changes``, each of them checked; the rest is known to be sound.

        Args:
            sound: Values of fields that need no check.
            **changes: Values of fields.

        Raises:
            UnprocessableRequest: One is out of range; the error names it.
            TypeError: There is no such field.
        """
        copy = self.changed(**sound)
        values = copy.__dict__
        fields = _fields()
        for name, value in changes.items():
            field = fields.get(name)
            if field is None:
                raise TypeError(f"a request has no {name!r}")
            if field.converter is not None:
                value = field.converter(value)  # noqa: PLW2901 - as attrs does it
            if field.validator is not None:
                field.validator(copy, field, value)
            values[name] = value
        copy.__attrs_post_init__()
        return copy


@cache
def _fields() -> Mapping[str, Any]:
    return attrs.fields_dict(InferenceRequest)
