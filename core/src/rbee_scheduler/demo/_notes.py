"""What the log says of policies, shown on the screen: that one was taken, or refused."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final


__all__ = ["policy_notes"]

# Plugins that run policies say here what becomes of them.
LOGGER: Final = "rbee_scheduler.policy"


@asynccontextmanager
async def policy_notes(note: Callable[[str], None]) -> AsyncIterator[None]:
    """Pass on what the log says of policies, as long as the block lasts.

    Args:
        note: Takes one line.
    """
    logger = logging.getLogger(LOGGER)
    handler = _Notes(note)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # else a warning would be shown twice
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Notes(logging.Handler):
    """Hands each record's message on, as one line."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(" ".join(record.getMessage().split()))
