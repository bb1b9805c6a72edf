"""The service as a process, or as several.

From the outside in: `_plan` (what to serve, as data), `_alone` (one process), `_parent` and
`_child` (several, told what to do over a `_channel`), `_service` (from the first connection to
the last: drain, cut, reload), `_signals`, `_changes` (of files), `_tls`.
"""

from __future__ import annotations

from rbee_scheduler_gateway._service._alone import Started, serve_alone
from rbee_scheduler_gateway._service._plan import Plan, with_default_strategy
from rbee_scheduler_gateway._service._service import LIVE_OPTIONS, Service, limits_of


__all__ = [
    "LIVE_OPTIONS",
    "Plan",
    "Service",
    "Started",
    "limits_of",
    "serve_alone",
    "with_default_strategy",
]
