"""What operators are shown: everything but secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from rbee_scheduler import Worker, unstructure


__all__ = ["masked", "shown_url", "shown_worker"]

MASK: Final = "***"

# As in `rbee-scheduler config show`, and lists of such: `tokens`, `worker_tokens`.
_SECRET: Final = re.compile(
    r"api_?key|tokens?$|secret|passw|credential|authorization", re.IGNORECASE
)
_COUNTED: Final = re.compile(r"max_|_per_|cost_")


def masked(value: Any) -> Any:
    """Return plain data with what looks like a secret left out.

    Example:
        >>> masked({"labels": {"api_key": "s3cret", "rack": "7"}})
        {'labels': {'api_key': '***', 'rack': '7'}}
    """
    if isinstance(value, Mapping):
        return {key: _masked_item(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    return shown_url(value) if isinstance(value, str) and "://" in value else value


def _masked_item(key: str, item: Any) -> Any:
    # Numbers count tokens; only texts can be one.
    if _SECRET.search(key) and not _COUNTED.search(key):
        if isinstance(item, str):
            return MASK if item else item
        if isinstance(item, (list, tuple)):
            return [MASK for _ in item]
    return masked(item)


def shown_url(url: str) -> str:
    """Return an URL without the user and password that it may hold.

    Example:
        >>> shown_url("http://ann:s3cret@10.0.0.7:8080/llama")
        'http://***@10.0.0.7:8080/llama'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=f"{MASK}@{parts.netloc.rpartition('@')[2]}"))


def shown_worker(worker: Worker) -> dict[str, Any]:
    """Return a worker as plain data, without the key that it is called with."""
    data: dict[str, Any] = masked(unstructure(worker))
    data["usable"] = worker.usable
    data["free"] = worker.free
    return data
