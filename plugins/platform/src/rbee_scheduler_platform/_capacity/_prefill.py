"""The prefill speed: seconds per prompt token, learnt from first tokens."""

from __future__ import annotations


__all__ = ["PrefillSpeed"]

# Weight of the newest first token: the last 20 or so count.
NEWEST = 0.1


class PrefillSpeed:
    """An exponentially weighted mean of the seconds each prompt token takes.

    Example:
        >>> speed = PrefillSpeed()
        >>> speed.seconds(1000) is None
        True
        >>> speed.learn(seconds=0.5, tokens=1000)
        >>> speed.seconds(3000)
        1.5
    """

    __slots__ = ("_per_token",)

    def __init__(self) -> None:
        self._per_token: float | None = None

    def learn(self, seconds: float, tokens: int) -> None:
        """Learn from a first token.

        Args:
            seconds: From the moment the request was sent.
            tokens: Prompt tokens that the worker went through meanwhile.
        """
        if tokens > 0:
            sample = seconds / tokens
            if self._per_token is None:
                self._per_token = sample
            else:
                self._per_token += NEWEST * (sample - self._per_token)

    def seconds(self, tokens: float) -> float | None:
        """Return how long ``tokens`` take; None: nothing known yet."""
        return None if self._per_token is None else tokens * self._per_token
