"""The gateway of rbee-scheduler. So far: the fast HTTP client that it will call workers with::

from rbee_scheduler import Scheduler
from rbee_scheduler_gateway import FastTransport

scheduler = Scheduler(registry, transport=FastTransport())
"""

from __future__ import annotations

from rbee_scheduler_gateway._http import FastHttpxTransport, FastTransport, HttpLimits


__version__ = "0.1.0"

__all__ = ["FastHttpxTransport", "FastTransport", "HttpLimits", "__version__"]
