"""Holding a stream at a token until the test says so: concurrency without a clock."""

from __future__ import annotations

from rbee_scheduler.testing._fake_worker._board import Board


class Gate:
    """Holds every reply whose script carries it.

    One gate may hold many replies at once, so that a test brings N requests to exactly the same
    point, looks around, and lets them go.

    Example:
        >>> gate = Gate(after=2)  # doctest: +SKIP
        >>> worker.enqueue(Script(gate=gate))  # doctest: +SKIP
        >>> await gate.wait_for(1)  # two tokens are out, the third is held  # doctest: +SKIP
        >>> gate.release()  # doctest: +SKIP

    Args:
        after: How many tokens pass before the gate; None holds the reply before its first byte.
        every: Hold before every further token too, for stepping through a stream.
    """

    def __init__(self, *, after: int | None = 0, every: bool = False) -> None:
        self.after = after
        self.every = every
        self._board = Board()
        self._held = 0
        self._passes = 0
        self._open = False

    @property
    def held(self) -> int:
        """How many replies stand before the gate now."""
        return self._held

    async def wait_for(self, replies: int = 1) -> None:
        """Return once that many replies stand before the gate."""
        await self._board.until(lambda: self._held >= replies)

    def step(self, passes: int = 1) -> None:
        """Let that many replies (or tokens, with ``every``) through, and hold those after them."""
        self._passes += passes
        self._board.change()

    def release(self) -> None:
        """Open the gate for good."""
        self._open = True
        self._board.change()

    async def hold(self, token: int | None) -> None:
        """Stand before token number ``token`` (None: before the headers); for the fake worker."""
        if not self._holds(token):
            return
        self._held += 1
        self._board.change()
        try:
            await self._board.until(lambda: self._open or self._passes > 0)
        finally:
            self._held -= 1
            self._board.change()
        if not self._open:
            self._passes -= 1

    def _holds(self, token: int | None) -> bool:
        if token is None or self.after is None:
            return token is self.after
        return token == self.after or (self.every and token > self.after)
