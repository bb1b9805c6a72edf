"""A body that works for each shape that is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


__all__ = ["EXAMPLES"]

_POLICY: Final = "fn schedule_job(job, pools, workers) { workers.least_loaded() }"
_WORKER: Final = {"id": "gpu-1", "url": "http://10.0.0.7:8080", "model": "story", "slots": 4}

# A moment by which heartbeats can't be new; a sender puts its own clock here.
_MOMENT: Final = "2026-01-01T00:00:00Z"

EXAMPLES: Final[Mapping[str, Any]] = {
    "Cancel": {"job_id": "0123456789abcdef0123456789abcdef"},
    "HiveHeartbeat": {"hive_id": "paris", "timestamp": _MOMENT, "workers": [_WORKER]},
    "Inference": {"prompt": "Once upon a time", "max_tokens": 20, "temperature": 0.7},
    "JobRequest": {"model": "story", "prompt": "Once upon a time", "max_tokens": 20},
    "NewWorker": {"url": "http://127.0.0.1:8081"},
    "OpenAiRequest": {
        "model": "story",
        "messages": [{"role": "user", "content": "Tell me a story"}],
        "prompt": "Once upon a time",
        "input": "Once upon a time",
    },
    "PolicyDeploy": {"author": "ann"},
    "PolicyDraft": {"source": _POLICY, "language": "rhai"},
    "PolicyRollback": {"author": "ann"},
    "PolicyTest": {
        "job": {"model": "story", "prompt": "Once"},
        "workers": [{"id": "gpu-1", "url": "http://10.0.0.7:8080", "model": "story"}],
    },
    "Question": {"model": "story", "prompt": "Once upon a time"},
    "WorkerHeartbeat": {"worker": _WORKER, "timestamp": _MOMENT},
}
