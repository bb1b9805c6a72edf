"""Which event loop runs."""

from __future__ import annotations

import sys


__all__ = ["on_trio"]


def on_trio() -> bool:
    """Return whether trio runs this task, also as a guest of asyncio."""
    trio = sys.modules.get("trio")  # who runs on trio has imported it
    return trio is not None and trio.lowlevel.in_trio_task()
