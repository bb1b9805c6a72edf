"""What a worker's bytes tell, without taking them apart: tokens, usage, errors, the end.

Parsing each event costs more than relaying it. A look for a few marks costs 0.3 us per chunk,
and only what matters at the end (usage, the reason for ending) is parsed, once.
"""

from __future__ import annotations

import json
import re

from rbee_scheduler import Usage


__all__ = ["StreamScan", "reason_in", "usage_in"]

_INPUT = re.compile(rb'"(?:prompt_tokens|input_tokens|prompt_n)"\s*:\s*(\d+)')
_OUTPUT = re.compile(rb'"(?:completion_tokens|output_tokens|predicted_n)"\s*:\s*(\d+)')
_REASON = re.compile(rb'"finish_reason"\s*:\s*"([a-z_]+)"')
_ERROR = re.compile(
    rb"(?:^|[\r\n])(?:event: ?error|error: ?\{|"
    rb'data: ?\{\s*"(?:error"\s*:(?!\s*null)|object"\s*:\s*"error"))'
)
_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")

# How the Responses API ends; it has no [DONE].
_RESPONSE_END = re.compile(
    rb'(?:(?:^|[\r\n])event: ?|"type"\s*:\s*")response\.(?:completed|incomplete|failed)\b'
)

# An event that grows beyond this is passed on in pieces.
LONGEST = 1024 * 1024


def usage_in(data: bytes) -> Usage:
    """Return the tokens that an answer says it used; None where it does not.

    The last usage that has numbers counts; llama.cpp's timings stand in for one.

    Example:
        >>> usage_in(b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}')
        Usage(prompt_tokens=3, completion_tokens=5)
    """
    # In a text these marks would have a backslash before their second quote.
    for mark in (b'"usage"', b'"timings"'):
        end = len(data)
        while (start := data.rfind(mark, 0, end)) >= 0:
            prompt, completion = _INPUT.search(data, start, end), _OUTPUT.search(data, start, end)
            if prompt or completion:
                return Usage(
                    prompt_tokens=int(prompt[1]) if prompt else None,
                    completion_tokens=int(completion[1]) if completion else None,
                )
            end = start
    return Usage()


def reason_in(data: bytes) -> str:
    """Return the reason for ending that an answer gives; empty when it gives none.

    Example:
        >>> reason_in(b'{"choices": [{"finish_reason": "length", "index": 0}]}')
        'length'
    """
    reasons = _REASON.findall(data)
    return reasons[-1].decode() if reasons else ""


class StreamScan:
    """Looks at the chunks of an event stream as they pass, and keeps events whole.

    A chunk mostly ends where an event does, and goes on as it is. What comes after the last
    whole event is kept for the next chunk: a client that is cut off must not be left with half
    an event, behind which the error could not be read.

    Args:
        choices: How many answers the stream carries; each of them has an end of its own.

    Attributes:
        done: Whether ``[DONE]`` was there.
        events: Events with data that ended so far, without ``[DONE]``.
        failed: Whether the worker sent an error event.
        fresh: Those that ended with the last chunk.
        rest: What was kept.
    """

    __slots__ = (
        "_before", "_choices", "_last", "_older", "_usage", "_words", "done", "events", "failed",
        "fresh", "rest",
    )  # fmt: skip

    def __init__(self, choices: int = 1) -> None:
        self._choices = choices
        # The finish, the usage and [DONE] are three events, and mostly three chunks.
        self._last = self._before = self._older = b""
        self._usage = b""
        self._words = b""
        self.rest = b""
        self.done = False
        self.events = 0
        self.failed = False
        self.fresh = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; return what may go on to the client."""
        data = self.rest + chunk if self.rest else chunk
        if data.endswith(b"\n\n"):
            self.rest = b""
        else:
            end = _end_of_events(data)
            self.rest = data[end:]
            data = data[:end]
            if not data:
                self.fresh = 0
                return data
        self._look(data)
        return data

    def flush(self) -> bytes:
        """Return what was kept, unless it is half an event: the stream has ended as it should."""
        data = self.rest
        if not data or _is_half(data):
            return b""
        self.rest = b""
        self._look(data)
        return data

    def _look(self, data: bytes) -> None:
        # No raw line break can stand in JSON: these are lines of data, and not text.
        fresh = data.count(b"\ndata:") + data.startswith(b"data:")
        if b'"usage"' in data or b'"timings"' in data:
            self._usage = data
        if b"[DONE]" in data and _DONE.search(data):
            self.done = True
            fresh -= 1
        if b"error" in data and _ERROR.search(data):
            self.failed = True
            self._words = data
        self.fresh = fresh
        self.events += fresh
        self._older, self._before, self._last = self._before, self._last, data

    @property
    def usage(self) -> Usage:
        """Tokens, as the worker counted them."""
        return usage_in(self._usage)

    @property
    def finish_reason(self) -> str:
        """The worker's reason for ending; empty when it gave none in its last events."""
        return reason_in(self._tail)

    @property
    def ended(self) -> bool:
        """Whether the worker said that it was through."""
        return (
            self.done
            or self.failed
            or (self._choices == 1 and bool(self.finish_reason))
            or _RESPONSE_END.search(self._tail) is not None
        )

    @property
    def last_words(self) -> str:
        """The worker's error event, for an error's message."""
        return " ".join(self._words[-300:].decode("utf-8", "replace").split())

    @property
    def _tail(self) -> bytes:
        return b"\n".join((self._usage, self._older, self._before, self._last))


def _end_of_events(data: bytes) -> int:
    """Return where the last whole event in ``data`` ends."""
    for end in (b"\n\n", b"\r\n\r\n", b"\r\r"):  # all that the specification of SSE allows
        found = data.rfind(end)
        if found >= 0:
            return found + len(end)
    return len(data) if len(data) > LONGEST else 0


def _is_half(data: bytes) -> bool:
    """Return whether an event without a blank line behind it was cut in its middle."""
    lines = data.splitlines()
    last = lines[-1] if lines else b""
    if not last or last.startswith(b":") or _DONE.match(last):
        return False
    try:
        json.loads(last.removeprefix(b"data:"))
    except ValueError:
        return True
    return False
