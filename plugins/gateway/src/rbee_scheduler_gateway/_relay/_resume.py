"""Going on after a cut: what a client has seen of a completion, and what is still to come.

Nobody can go on in the middle of a chat, but a plain completion's text is the prompt of its
rest. Kept only where the client asked for it (``X-Rbee-Resume: true``): a long answer is memory.
"""

from __future__ import annotations

import json
from math import inf

from rbee_scheduler._sse import SseDecoder
from rbee_scheduler_gateway._relay._asked import Asked
from rbee_scheduler_gateway._relay._scan import LONGEST


__all__ = ["Seen"]


# Keys that make an answer something else than the text behind the prompt, and what they are
# where they ask for nothing special.
_PLAIN = {"n": (None, 1), "best_of": (None, 1), "echo": (None, False), "suffix": (None, "")}


class Seen:
    """What the client has seen so far.

    Args:
        asked: What it asked for.

    Attributes:
        choices: How many answers the stream carries.
        pieces: Events with data that went out.
        whole: Whether all of the answer went out.
        writing: Whether the client is being waited for, and not the worker.
    """

    __slots__ = ("_asked", "_kept", "_most", "choices", "pieces", "whole", "writing")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        resumes = (
            asked.request.resume
            and asked.surface.content == "prompt"
            and isinstance(asked.data.get("prompt"), str)
            and all(asked.data.get(key) in plain for key, plain in _PLAIN.items())
        )
        self._kept: list[bytes] | None = [] if resumes else None
        # A worker's own limit is not known, nor which number below 1 means "none" to it.
        given = asked.data.get("max_tokens")
        self._most = asked.request.max_tokens if isinstance(given, int) and given > 0 else inf
        choices = asked.data.get("n")
        self.choices = choices if isinstance(choices, int) else 1
        self.pieces = 0
        self.whole = False
        self.writing = False

    def add(self, chunk: bytes, events: int) -> None:
        """Take whole events that go out to the client."""
        self.pieces += events
        if self._kept is not None:
            self._kept.append(chunk)

    @property
    def can_go_on(self) -> bool:
        """Whether another worker could generate the rest."""
        return self._kept is not None and self.pieces < self._most

    def body_for(self, model: str) -> bytes:
        """Return the body that asks a worker for what is still missing."""
        if not self._kept:
            return self._asked.body_for(model)
        data = dict(self._asked.data)
        data["model"] = model
        data["prompt"] = data["prompt"] + self._text()
        if self._most < inf:
            # An event is at least one token: this may ask for more than is missing, never less.
            data["max_tokens"] = max(1, int(self._most) - self.pieces)
        return json.dumps(data).encode()  # as ASCII: half an emoji may be at the cut

    def _text(self) -> str:
        """Return the text that went out."""
        pieces: list[str] = []
        for event in SseDecoder(limit=LONGEST).feed(b"".join(self._kept or [])):
            try:
                texts = [choice.get("text") or "" for choice in json.loads(event.data)["choices"]]
                pieces.append("".join(texts))
            except (AttributeError, KeyError, TypeError, ValueError):
                continue  # [DONE], or no text of a completion
        return "".join(pieces)
