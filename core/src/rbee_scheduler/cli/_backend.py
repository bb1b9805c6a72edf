"""The event loop that a command runs on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from rbee_scheduler._errors import ConfigError


__all__ = ["backend_options"]


def backend_options(backend: str) -> dict[str, Any]:
    """Return what anyio needs to run on ``backend``: uvloop under asyncio where installed.

    Raises:
        ConfigError: The backend is not installed.
    """
    if backend == "asyncio":
        return {"use_uvloop": True} if find_spec("uvloop") else {}
    if find_spec(backend) is None:
        raise ConfigError(
            f"the backend {backend!r} is not installed",
            hint=f"pip install 'rbee-scheduler[{backend}]', or choose asyncio",
        )
    return {}
