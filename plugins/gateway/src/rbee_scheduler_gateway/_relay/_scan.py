"""What a worker's bytes tell, without taking them apart: tokens, usage, errors, the end.

Parsing each event costs more than relaying it. A look for a few marks costs 0.3 us per chunk,
and only what matters at the end (usage, the reason for ending) is parsed, once.
"""

from __future__ import annotations

import re

from rbee_scheduler import Usage


__all__ = ["StreamScan", "usage_in"]

_USAGE = re.compile(rb'"(?:usage|timings)"\s*:\s*\{')
_INPUT = re.compile(rb'"(?:prompt_tokens|input_tokens|prompt_n)"\s*:\s*(\d+)')
_OUTPUT = re.compile(rb'"(?:completion_tokens|output_tokens|predicted_n)"\s*:\s*(\d+)')
_REASON = re.compile(rb'"finish_reason"\s*:\s*"([a-z_]+)"')
_ERROR = re.compile(rb'(?:^|\n)(?:event: ?error|data: ?\{"error")')
_DONE = re.compile(rb"(?:^|\n)data: ?\[DONE\]")

# How the Responses API ends; it has no [DONE].
_RESPONSE_ENDS = (b"response.completed", b"response.incomplete", b"response.failed")

# An event that grows beyond this is passed on in pieces.
LONGEST = 1024 * 1024


def usage_in(data: bytes) -> Usage:
    """Return the tokens that an answer says it used; None where it does not.

    Example:
        >>> usage_in(b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}')
        Usage(prompt_tokens=3, completion_tokens=5)
    """
    found = None
    for found in _USAGE.finditer(data):  # noqa: B007 - the last one counts
        pass
    if found is None:
        return Usage()
    start = found.start()
    prompt, completion = _INPUT.search(data, start), _OUTPUT.search(data, start)
    return Usage(
        prompt_tokens=int(prompt[1]) if prompt else None,
        completion_tokens=int(completion[1]) if completion else None,
    )


class StreamScan:
    """Looks at the chunks of an event stream as they pass, and keeps events whole.

    A chunk mostly ends where an event does, and goes on as it is. What comes after the last
    whole event is kept for the next chunk: a client that is cut off must not be left with half
    an event, behind which the error could not be read.

    Attributes:
        done: Whether ``[DONE]`` was there.
        events: Events that ended so far.
        failed: Whether the worker sent an error event.
        fresh: Events that ended with the last chunk.
        rest: What was kept.
    """

    __slots__ = ("_last", "_usage", "done", "events", "failed", "fresh", "rest")

    def __init__(self) -> None:
        self._last = b""
        self._usage = b""
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
            end = data.rfind(b"\n\n") + 2
            if end == 1:  # not found; then it may be a server with the other line ends
                end = data.rfind(b"\r\n\r\n") + 4
                if end == 3:  # noqa: PLR2004 - not found: -1 + 4
                    end = len(data) if len(data) > LONGEST else 0
            self.rest = data[end:]
            data = data[:end]
            if not data:
                self.fresh = 0
                return data
        self.fresh = data.count(b"\n\n") or data.count(b"\r\n\r\n")
        self.events += self.fresh
        self._look(data)
        return data

    def flush(self) -> bytes:
        """Return what was kept: the stream has ended as it should."""
        data, self.rest = self.rest, b""
        if data:
            self._look(data)
        return data

    def _look(self, data: bytes) -> None:
        if b'"usage"' in data or b'"timings"' in data:
            self._usage = data
        if b"[DONE]" in data and _DONE.search(data):
            self.done = True
        if b"error" in data and _ERROR.search(data):
            self.failed = True
        self._last = data

    @property
    def usage(self) -> Usage:
        """Tokens, as the worker counted them."""
        return usage_in(self._usage)

    @property
    def finish_reason(self) -> str:
        """The worker's reason for ending; empty when it gave none in its last events."""
        reasons = _REASON.findall(self._usage + self._last)
        return reasons[-1].decode() if reasons else ""

    @property
    def ended(self) -> bool:
        """Whether the worker said that it was through."""
        return (
            self.done
            or bool(self.finish_reason)
            or any(end in self._last or end in self._usage for end in _RESPONSE_ENDS)
        )

    @property
    def last_words(self) -> str:
        """The last bytes, for an error's message."""
        return " ".join(self._last[-300:].decode("utf-8", "replace").split())
