"""The simple strategy: the first available worker of the requested model.

>>> from rbee_scheduler import WorkerRegistry
>>> from rbee_scheduler_simple import SimpleScheduler
>>> scheduler = SimpleScheduler(WorkerRegistry())
>>> scheduler.strategy
'simple'
"""

from __future__ import annotations

from rbee_scheduler_simple._scheduler import SimpleScheduler
from rbee_scheduler_simple._strategy import SimpleStrategy, rbee_register_strategies


__all__ = ["SimpleScheduler", "SimpleStrategy", "rbee_register_strategies"]
