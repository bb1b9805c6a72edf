"""The gateway of rbee-scheduler: so far, the fast HTTP client that it will call workers with.

Use it with any scheduler::

    from rbee_scheduler_gateway import FastTransport

    scheduler = Scheduler(registry, transport=FastTransport())
"""

from __future__ import annotations

from rbee_scheduler_gateway._http import FastHttpxTransport, FastTransport, HttpLimits


__version__ = "0.1.0"

__all__ = ["FastHttpxTransport", "FastTransport", "HttpLimits", "__version__"]
