"""The OpenAI surface: requests in, a worker's own bytes out.

From the outside in: `_asked` (what a body asks for), `_relay` (one request through workers),
`_reading` (their answers), `_scan` (what can be told from the bytes without re-framing them),
`_alias` (the worker's own name for a model), `_resume` (going on after a cut). Queen workers have
a way of their own: `_fit` (what they can be asked), `_queen` (asking them), `_chunks` (their
answers in the API's words).
"""

from __future__ import annotations

from rbee_scheduler_gateway._relay._asked import SURFACES, Asked, Surface, read_asked
from rbee_scheduler_gateway._relay._fit import filter_for
from rbee_scheduler_gateway._relay._relay import Relay
from rbee_scheduler_gateway._relay._scan import StreamScan, usage_in


__all__ = [
    "SURFACES",
    "Asked",
    "Relay",
    "StreamScan",
    "Surface",
    "filter_for",
    "read_asked",
    "usage_in",
]
