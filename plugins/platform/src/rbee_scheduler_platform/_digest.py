"""The digest: one number for everything that decides; in each audit record."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files


__all__ = ["code_digest", "deployment_digest"]


@cache
def code_digest() -> str:
    """Return the sha256 (hex) of this package's code: names and contents of its files."""
    found = hashlib.sha256()
    waiting = [("", files(__package__ or "rbee_scheduler_platform"))]
    lines = []
    while waiting:
        place, folder = waiting.pop()
        for entry in folder.iterdir():
            name = f"{place}/{entry.name}"
            if entry.is_dir():
                waiting.append((name, entry))
            elif name.endswith(".py"):
                lines.append(f"{name} {hashlib.sha256(entry.read_bytes()).hexdigest()}\n")
    for line in sorted(lines):
        found.update(line.encode())
    return found.hexdigest()


def deployment_digest(plugins: str) -> str:
    """Return the sha256 (hex) of the plugins in force and of this package's code.

    Args:
        plugins: `Plugins.digest`: names, versions, order and options of all of them.
    """
    return hashlib.sha256(f"{plugins}\n{code_digest()}\n".encode()).hexdigest()
