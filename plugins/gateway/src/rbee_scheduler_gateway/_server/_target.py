"""Request targets: the path that decides the route, and the query.

The rule, the same for every form of target:

- The path is percent-decoded once, as UTF-8; ``%252e`` is the text ``%2e`` and stays so.
- A path with a segment ``.`` or ``..``, written out or encoded, is refused. It is not
  resolved: a proxy in front may have compared the path as it came, so what it allowed must
  not become another route here.
- Refused as well: bad escapes, escapes that are not UTF-8, control characters (NUL too), a
  backslash and a fragment, which some programs read as the end of the path or as a slash.
- ``%2F`` is a slash. Models are named ``owner/name``, and clients encode that.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from rbee_scheduler_gateway._server._refused import Refused


__all__ = ["check_path", "decode_path", "split_target"]

# Most targets: nothing to decode, no query, and no dot where a segment begins.
_PLAIN: Final = re.compile(r"(?:/(?!\.)[A-Za-z0-9_.~!$&'()*+,;=:@-]*)+")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#@]+)((?:[/?#].*)?)", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_DOTS: Final = frozenset({".", ".."})


def split_target(method: str, target: str) -> tuple[str, str, str]:
    """Return path, query, and the authority of an absolute target (else nothing).

    Args:
        method: Of the request; only OPTIONS may ask for ``*``.
        target: From the request line, visible ASCII.

    Raises:
        Refused: The target has no form that this method may have, or breaks the rule above.

    Example:
        >>> split_target("GET", "/v1/models/meta%2Fllama?limit=1")
        ('/v1/models/meta/llama', 'limit=1', '')
    """
    if _PLAIN.fullmatch(target):
        return target, "", ""
    authority = ""
    if target == "*":
        if method != "OPTIONS":
            raise Refused(400, f"the target * goes with OPTIONS only, not with {method}")
        return target, "", ""
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise Refused(400, "the target is neither a path nor an http URL")
        authority, target = absolute.groups()
        if not target.startswith("/"):  # http://host?query
            target = f"/{target}"
    if "#" in target or "\\" in target:
        raise Refused(400, "the target holds # or a backslash: encode them")
    path, _, query = target.partition("?")
    return decode_path(path), query, authority


def decode_path(path: str) -> str:
    """Return a path as routes see it.

    Raises:
        Refused: See the rule above.
    """
    if "%" in path:
        if _BAD_ESCAPE.search(path):
            raise Refused(400, "the path holds % without two hexadecimal digits")
        try:
            path = unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            raise Refused(400, "the path's escapes are not UTF-8") from None
    check_path(path)
    return path


def check_path(path: str) -> None:
    """Refuse a decoded path that may lead elsewhere.

    Raises:
        Refused: See the rule above.
    """
    if "/." in path and not _DOTS.isdisjoint(path.split("/")):
        raise Refused(400, "the path holds a segment . or ..: send the path they lead to")
    if _CONTROL.search(path):
        raise Refused(400, "the path holds a control character")
