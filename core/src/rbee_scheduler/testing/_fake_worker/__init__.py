"""A scripted worker for tests: both protocols, and every way to be broken, over real TCP."""

from rbee_scheduler.testing._fake_worker._dialect import Dialect
from rbee_scheduler.testing._fake_worker._fault import Fault
from rbee_scheduler.testing._fake_worker._gate import Gate
from rbee_scheduler.testing._fake_worker._ledger import SeenConnection
from rbee_scheduler.testing._fake_worker._request import SeenRequest
from rbee_scheduler.testing._fake_worker._script import Script, Usage
from rbee_scheduler.testing._fake_worker._worker import FakeWorker


__all__ = [
    "Dialect",
    "FakeWorker",
    "Fault",
    "Gate",
    "Script",
    "SeenConnection",
    "SeenRequest",
    "Usage",
]
