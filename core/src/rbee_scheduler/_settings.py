"""The settings of a scheduler, with their defaults; `_config` reads them from files."""

from __future__ import annotations

import attrs

from rbee_scheduler._liveness import LivenessConfig
from rbee_scheduler._validate import number


__all__ = ["LimitsConfig", "QueueConfig", "RetryConfig", "SchedulerConfig", "TimeoutConfig"]


@attrs.frozen(kw_only=True)
class QueueConfig:
    """What happens when no worker is free.

    Attributes:
        capacity: Most jobs that may wait; -1: no bound; 0: nobody waits.
        timeout: Longest wait, seconds.
    """

    capacity: int = attrs.field(default=-1, validator=number(at_least=-1))
    timeout: float = attrs.field(default=300.0, validator=number(above=0))


@attrs.frozen(kw_only=True)
class RetryConfig:
    """What happens when a worker fails before its first token.

    Another worker is tried at once; coming back to one that failed takes a pause. When
    none is up, the pause lasts until one of them may be back (`LivenessConfig.cooldown`).
    The pause before try n is ``initial_delay * multiplier ** (n - 2)``, at most
    ``max_delay``, times a random factor between ``1 - jitter`` and 1.

    Attributes:
        max_attempts: Workers tried for one request, the first one included.
        initial_delay: First pause, seconds.
        multiplier: Growth of the pause.
        max_delay: Longest pause, seconds.
        jitter: Share of the pause that is random, 0 to 1.
    """

    max_attempts: int = attrs.field(default=5, validator=number(at_least=1))
    initial_delay: float = attrs.field(default=0.05, validator=number(at_least=0))
    multiplier: float = attrs.field(default=2.0, validator=number(at_least=1, at_most=100))
    max_delay: float = attrs.field(default=60.0, validator=number(at_least=0))
    jitter: float = attrs.field(default=0.5, validator=number(at_least=0, at_most=1))

    def delay(self, attempt: int, chance: float) -> float:
        """Return the pause before ``attempt`` (2 is the first retry), seconds.

        Args:
            attempt: Number of the try that follows.
            chance: A random number, 0 to 1.
        """
        growth = self.multiplier ** min(attempt - 2, 64)
        return min(self.initial_delay * growth, self.max_delay) * (1.0 - self.jitter * chance)


@attrs.frozen(kw_only=True)
class TimeoutConfig:
    """Time limits of one try with one worker, seconds.

    Attributes:
        connect: Until the connection stands.
        first_token: From sending the request to the first event.
        idle: Between two events.
        total: From admission to the end, over all tries, waiting included.
        cancel: For telling a worker that a job is cancelled.
    """

    connect: float = attrs.field(default=5.0, validator=number(above=0))
    first_token: float = attrs.field(default=120.0, validator=number(above=0))
    idle: float = attrs.field(default=60.0, validator=number(above=0))
    total: float = attrs.field(default=1800.0, validator=number(above=0))
    cancel: float = attrs.field(default=5.0, validator=number(above=0))


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """Sizes and times that protect the scheduler.

    Attributes:
        max_prompt_bytes: Longest prompt, UTF-8 bytes.
        max_line_bytes: Longest line or event of a worker's stream.
        max_answer_bytes: Longest answer of a worker that is no stream.
        hook_timeout: Seconds a life-cycle hook may take.
    """

    max_prompt_bytes: int = attrs.field(default=4 * 1024 * 1024, validator=number(at_least=1))
    max_line_bytes: int = attrs.field(default=1024 * 1024, validator=number(at_least=1))
    max_answer_bytes: int = attrs.field(default=16 * 1024 * 1024, validator=number(at_least=1))
    hook_timeout: float = attrs.field(default=5.0, validator=number(above=0))


@attrs.frozen(kw_only=True)
class SchedulerConfig:
    """All settings of a `Scheduler`.

    Attributes:
        strategy: Strategy that decides; empty: the first plugin's first strategy.
        fallback: Strategy that decides when a plugin fails; empty: registration order.
        allow_strategy_override: Whether a request may name another strategy.
        seed: Seed of all chance.
        queue: What happens when no worker is free.
        retry: What happens when a worker fails.
        timeout: Time limits.
        limits: Sizes and times that protect the scheduler.
        liveness: When a silent or failing worker stops getting requests.
    """

    strategy: str = ""
    fallback: str = ""
    allow_strategy_override: bool = True
    seed: int = 0
    queue: QueueConfig = attrs.field(factory=QueueConfig)
    retry: RetryConfig = attrs.field(factory=RetryConfig)
    timeout: TimeoutConfig = attrs.field(factory=TimeoutConfig)
    limits: LimitsConfig = attrs.field(factory=LimitsConfig)
    liveness: LivenessConfig = attrs.field(factory=LivenessConfig)
