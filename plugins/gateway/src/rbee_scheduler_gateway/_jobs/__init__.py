"""Jobs: requests that run in the service, whoever listens.

From the outside in: `_job_routes` and `_queen` (who asks), `_read` (what a body asks for),
`_jobs` (all of them), `_run` (one job from its first event to its last), `_job` (what is known
of one).
"""

from __future__ import annotations

from rbee_scheduler_gateway._jobs._job import Job
from rbee_scheduler_gateway._jobs._job_routes import job_routes
from rbee_scheduler_gateway._jobs._jobs import Jobs


__all__ = ["Job", "Jobs", "job_routes"]
