"""What the function of a script is called with."""

from __future__ import annotations

from typing import Any

from rbee_scheduler_script._entry import CTX_FIELDS, Entry
from rbee_scheduler_script._view import View


__all__ = ["arguments"]


def arguments(entry: Entry, view: View) -> tuple[Any, ...]:
    """Return what the entry's function is called with; what it does not read is left empty."""
    if entry.name == "schedule":
        return ({name: _field(view, name) for name in CTX_FIELDS if name in entry.reads},)
    if entry.name == "schedule_job":
        return (view.job, view.pools if entry.reads else [], view.workers)
    if entry.name == "schedule_worker":
        return (view.job,)
    return (view.job, view.workers)


def _field(view: View, name: str) -> Any:
    if name == "hives":
        return view.pools
    if name == "tenants":
        return list(view.tenants.values())
    return getattr(view, name)
