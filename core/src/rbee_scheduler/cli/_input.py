"""Files that a command is given: requests and workers as JSON, from a path or stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbee_scheduler._errors import ConfigError


if TYPE_CHECKING:
    from rbee_scheduler._request import InferenceRequest
    from rbee_scheduler._worker import Worker


__all__ = ["load_request", "load_workers", "read_input", "source_name"]


def load_request(path: str) -> InferenceRequest:
    """Return the request in the JSON file at ``path``; ``-`` is stdin.

    Raises:
        InvalidRequest: It is no request; the place names file and JSON path.
        ConfigError: The file can't be read.
    """
    from rbee_scheduler._request import InferenceRequest
    from rbee_scheduler._wire import loads

    return loads(read_input(path), InferenceRequest, source=source_name(path))


def load_workers(path: str) -> list[Worker]:
    """Return the workers in the JSON file at ``path``; ``-`` is stdin.

    The file holds an array of workers, or an object with one at ``workers``. A worker's
    id may be left out: ``host:port`` of its URL.

    Raises:
        ConfigError: The file can't be read, or holds something else.
    """
    from rbee_scheduler._config import with_worker_ids
    from rbee_scheduler._wire import loads, structure
    from rbee_scheduler._worker import Worker

    source = source_name(path)
    anything: Any = Any  # JSON first; what is left out is filled in before it is checked
    data = loads(read_input(path), anything, source=source, error=ConfigError)
    place = f"{source}:$"
    if isinstance(data, dict) and set(data) == {"workers"}:
        data, place = data["workers"], f"{place}.workers"
    if not isinstance(data, list):
        raise ConfigError(
            "no array of workers", place=place, hint='write [{"url": "http://...", "model": "..."}]'
        )
    workers = structure(with_worker_ids(data), list[Worker], place=place, error=ConfigError)
    seen: set[str] = set()
    for index, worker in enumerate(workers):
        if worker.id in seen:
            raise ConfigError(
                f"{worker.id!r} is there twice",
                place=f"{place}[{index}].id",
                hint="give each worker an id of its own",
            )
        seen.add(worker.id)
    return workers


def read_input(path: str) -> bytes:
    """Return the bytes of the file at ``path``; ``-`` is stdin.

    Raises:
        ConfigError: It can't be read; the message says why.
    """
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"can't read it: {error.strerror or error}", place=path, hint="check the path"
        ) from error


def source_name(path: str) -> str:
    """Return how messages call the file at ``path``."""
    return "<stdin>" if path == "-" else path
