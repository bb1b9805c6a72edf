"""The load balancing strategies that a gateway is expected to have.

Install the package, and name one in the configuration (``strategy = "least-in-flight"``) or
in a request. Each is a plain function of the candidates and the snapshot: it keeps no counts
of its own, so that a decision can be repeated, explained and simulated.

>>> from rbee_scheduler.testing import fleet, free_workers
>>> from rbee_scheduler_strategies import LeastInFlight
>>> workers = free_workers(3, slots=4)
>>> workers[1] = workers[1].revised(running=1)
>>> snapshot = fleet(workers, turn=3)
>>> LeastInFlight().rbee_select_worker(snapshot.free("m"), snapshot)
['w2', 'w0']
"""

from __future__ import annotations

from rbee_scheduler_strategies._affinity import SessionAffinity
from rbee_scheduler_strategies._least import LeastInFlight, PowerOfTwo
from rbee_scheduler_strategies._plugin import (
    Options,
    Strategies,
    rbee_configure,
    rbee_options,
)
from rbee_scheduler_strategies._unseen import RandomWorker, RoundRobin
from rbee_scheduler_strategies._worth import Cheapest, Fastest


__all__ = [
    "Cheapest",
    "Fastest",
    "LeastInFlight",
    "Options",
    "PowerOfTwo",
    "RandomWorker",
    "RoundRobin",
    "SessionAffinity",
    "Strategies",
    "rbee_configure",
    "rbee_options",
]
