"""Metrics: counted as calls end, read off when somebody looks, written for Prometheus.

From the inside out: `_names` (every name there is), `_cells` (where numbers are counted),
`_recorder` (counts calls and outcomes), `_plugin_time`, `_state` (what can be read off),
`_metrics` (all of it), `_text` (how it is written), `_exposition` (``GET /metrics``; the only
one that imports prometheus-client).
"""

from __future__ import annotations

from rbee_scheduler_gateway._metrics._metrics import Metrics


__all__ = ["Metrics"]
