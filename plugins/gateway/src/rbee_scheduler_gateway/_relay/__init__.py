"""The OpenAI surface: requests in, a worker's own bytes out.

From the outside in: `_openai` (the routes), `_asked` (what a body asks for), `_relay` (one
request through workers), `_scan` (what can be told from the bytes without re-framing them),
`_resume` (going on after a cut).
"""

from __future__ import annotations

from rbee_scheduler_gateway._relay._asked import SURFACES, Asked, Surface, read_asked
from rbee_scheduler_gateway._relay._relay import Relay
from rbee_scheduler_gateway._relay._scan import StreamScan, usage_in


__all__ = ["SURFACES", "Asked", "Relay", "StreamScan", "Surface", "read_asked", "usage_in"]
