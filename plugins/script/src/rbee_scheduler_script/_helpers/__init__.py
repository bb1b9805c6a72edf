"""The helpers that policies may call, room by room; `CATALOG` has them all.

Each is declared as data (`Helper`): its name, how it is called, what it answers, an example that
runs as a test. Scripts get them by `bind_all`; ``rbee-scheduler policy helpers`` and
docs/helpers.md are made of the same data.
"""

from __future__ import annotations

from rbee_scheduler_script._helpers._catalog import CATALOG, HelperCatalog, HelperGroup, bind_all
from rbee_scheduler_script._helpers._helper import Helper


__all__ = ["CATALOG", "Helper", "HelperCatalog", "HelperGroup", "bind_all"]
