"""What can go wrong with the demo's workers; a branch of the tree in `rbee_scheduler._errors`.

::

    SchedulerError
    └── DemoError              DEMO_FAILED          the model could not be made or stored
        ├── DemoExtraMissing   DEMO_EXTRA_MISSING   a package of the extra is not installed
        └── ServerStartFailed  SERVER_START_FAILED  llama.cpp did not come up
"""

from __future__ import annotations

from rbee_scheduler._errors import SchedulerError


__all__ = ["DemoError", "DemoExtraMissing", "ServerStartFailed"]


class DemoError(SchedulerError):
    """Raised when the demo's model can't be made or stored; base of the others."""

    code = "DEMO_FAILED"


class DemoExtraMissing(DemoError):
    """Raised when a package that only the demo needs is not installed."""

    code = "DEMO_EXTRA_MISSING"


class ServerStartFailed(DemoError):
    """Raised when a llama.cpp server ended, or stayed silent, before it was ready."""

    code = "SERVER_START_FAILED"
