"""``rbee-scheduler policy``: check, run, test, simulate, format, write and deploy policies."""

from __future__ import annotations

from rbee_scheduler_script._cli._group import policy


__all__ = ["policy"]
