"""The worker's own name for a model, put into a body that is otherwise left as it came."""

from __future__ import annotations

import json
import re


__all__ = ["with_model"]

_SPACE = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")


def with_model(body: bytes, model: str) -> bytes:
    """Return ``body`` with ``model`` as the value of its key ``model``, at the top level only.

    Written anew, a body would lose what JSON parsers do not keep: doubled keys, the digits of
    long numbers, lone surrogates.

    Args:
        body: A JSON object, known to be one.
        model: The name.

    Example:
        >>> with_model(b'{"tools": [{"model": "a"}], "model" : "a"}', "b")
        b'{"tools": [{"model": "a"}], "model" : "b"}'
    """
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    skip = json.JSONDecoder().raw_decode
    pieces: list[str] = []
    kept = 0
    place = _after(_SPACE, text, text.index("{") + 1)
    while text[place] != "}":
        key, place = skip(text, place)
        place = _after(_COLON, text, place)
        _, end = skip(text, place)
        if key == "model":
            pieces += [text[kept:place], json.dumps(model)]
            kept = end
        place = _after(_SPACE, text, end)
        if text[place] == ",":
            place = _after(_SPACE, text, place + 1)
    return "".join([*pieces, text[kept:]]).encode("utf-8", "surrogatepass")


def _after(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return match.end() if match else place
