"""Values as TOML, as far as the configuration has them; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


__all__ = ["toml_value"]


def toml_value(value: Any) -> str:
    """Return ``value`` as it would stand after ``key =``; tables are written inline.

    Example:
        >>> toml_value({"name": "gpu", "labels": {"a b": [1, 2.5, True]}})
        '{name = "gpu", labels = {"a b" = [1, 2.5, true]}}'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        pairs = (f"{_key(k)} = {toml_value(v)}" for k, v in value.items() if v is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, (int, float)):
        return repr(value)
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: Any) -> str:
    text = str(key)
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else toml_value(text)
