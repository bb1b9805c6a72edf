"""What ``rbee-scheduler top`` shows: readings of a gateway, and pictures of them.

`_reading` asks a gateway, `_view` compares two readings, `_picture` makes lines of that, and
`_screen` shows them on a terminal. Only the first and the last know anything of the world.
"""

from __future__ import annotations

from rbee_scheduler_gateway._top._picture import picture
from rbee_scheduler_gateway._top._reading import Reading, read_gateway
from rbee_scheduler_gateway._top._view import View, WorkerView, view_of


__all__ = ["Reading", "View", "WorkerView", "picture", "read_gateway", "view_of"]
