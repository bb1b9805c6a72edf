"""Policies: drafts are saved, checked, tested and deployed while the service runs.

From the outside in: `_policy_routes` (who asks), `_workshop` (what the plugin `script` does
with a policy), `_trial` (a look at one), `_drafts` (where drafts are kept).
"""

from __future__ import annotations

from rbee_scheduler_gateway._policies._policy_routes import policy_routes


__all__ = ["policy_routes"]
