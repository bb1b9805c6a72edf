"""The optional extra ``demo``: found or missed with a clear word, never at import time."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rbee_scheduler.demo._errors import DemoExtraMissing


if TYPE_CHECKING:
    from types import ModuleType


__all__ = ["load_extra", "require_extra"]


def require_extra(name: str) -> None:
    """Check that a package of the extra is installed, without importing it.

    Importing llama.cpp into the parent would cost memory there and serve nothing: only
    the child process uses it.

    Args:
        name: Import name of the package: ``gguf`` or ``xllamacpp``.

    Raises:
        DemoExtraMissing: It is not installed; the message names the remedy.
    """
    if find_spec(name) is None:
        raise _missing(name)


def load_extra(name: str) -> ModuleType:
    """Import a package of the extra.

    Args:
        name: Import name of the package: ``gguf``, ``numpy`` or ``xllamacpp``.

    Returns:
        The module.

    Raises:
        DemoExtraMissing: It is not installed; the message names the remedy.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(error.name or name) from error


def _missing(name: str) -> DemoExtraMissing:
    return DemoExtraMissing(
        f"the demo's llama.cpp workers need the package {name!r}, which is not installed",
        hint="pip install 'rbee-scheduler[demo]'",
    )
