"""The gateway: one HTTP service in front of all workers."""

from __future__ import annotations


__version__ = "0.1.0"
