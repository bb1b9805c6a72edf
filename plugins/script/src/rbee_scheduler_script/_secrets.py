"""Prompts, taken out of what a policy says: they must not get into a log.

A policy may read the prompt, so it may also put it where it does not belong: into a log line, into
what it throws, into its answer. There it may stand as it is, escaped, or cut at the end; all of
that is found. What a script makes of a prompt (its upper-case form, every second word) is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any, Final

from rbee_scheduler import InferenceRequest


__all__ = ["scrubbed"]

# The start of a prompt by which it is recognised, whatever became of its end.
_HEAD: Final = 16

# A shorter prompt is looked for as a word of its own: "no" is part of every other message.
_WORD: Final = 6


def scrubbed(text: str, request: InferenceRequest | None) -> str:
    """Return ``text`` without what the client of ``request`` wrote.

    Args:
        text: What goes to a log or into an error.
        request: The job at hand, if any.
    """
    if request is None:
        return text
    for secret in (request.prompt, *_texts([m.get("content") for m in request.messages])):
        # No more of it than there is text: a prompt may have megabytes.
        forms = [form for form in _forms(secret[: len(text) + 1]) if form[:_HEAD] in text]
        if secret and forms:
            text = _without(text, forms, f"<prompt {request.prompt_hash[:12]}>")
    return text


def _texts(content: Any) -> Iterator[str]:
    """Yield the texts of messages; a message of several parts has them deeper inside."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        yield from _texts([value for key, value in content.items() if key != "type"])
    elif isinstance(content, Sequence):
        for part in content:
            yield from _texts(part)


def _forms(secret: str) -> dict[str, None]:
    """Return the ways in which a text is written in messages: as it is, and escaped."""
    return dict.fromkeys(
        (
            secret,
            repr(secret)[1:-1],
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        )
    )


def _without(text: str, forms: list[str], mark: str) -> str:
    """Return ``text`` with ``mark`` for each place where one of ``forms``, or its start, stands."""
    if len(forms[0]) < _WORD:
        return re.sub(rf"(?<!\w){re.escape(forms[0])}(?!\w)", lambda _: mark, text)
    pieces: list[str] = []
    start = 0
    heads = re.compile("|".join(re.escape(form[:_HEAD]) for form in forms))
    while (found := heads.search(text, start)) is not None:
        at = found.start()
        pieces += [text[start:at], mark]
        start = at + max(_common(text, at, form) for form in forms)
    return "".join([*pieces, text[start:]])


def _common(text: str, at: int, form: str) -> int:
    """Return how much of ``form`` stands in ``text`` at a place."""
    pairs = zip(islice(text, at, None), form, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
