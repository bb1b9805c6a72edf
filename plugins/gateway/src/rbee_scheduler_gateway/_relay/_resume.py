"""Going on after a cut: what a client has seen of a completion, and what is still to come.

Nobody can go on in the middle of a chat, but a plain completion's text is the prompt of its
rest. Kept only where the client asked for it (``X-Rbee-Resume: true``): a long answer is memory.
"""

from __future__ import annotations

import json

from rbee_scheduler_gateway._relay._asked import Asked


__all__ = ["Seen"]


class Seen:
    """What the client has seen so far.

    Args:
        asked: What it asked for.
    """

    __slots__ = ("_asked", "_kept", "pieces")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        resumes = (
            asked.request.resume
            and asked.surface.content == "prompt"
            and isinstance(asked.data.get("prompt"), str)
            and asked.data.get("n", 1) in {1, None}
        )
        self._kept: list[bytes] | None = [] if resumes else None
        self.pieces = 0

    def add(self, chunk: bytes, events: int) -> None:
        """Take whole events that go out to the client."""
        self.pieces += events
        if self._kept is not None:
            self._kept.append(chunk)

    @property
    def can_go_on(self) -> bool:
        """Whether another worker could generate the rest."""
        return self._kept is not None and self.pieces < self._asked.request.max_tokens

    def body_for(self, model: str) -> bytes:
        """Return the body that asks a worker for what is still missing."""
        if not self._kept:
            return self._asked.body_for(model)
        data = dict(self._asked.data)
        data["model"] = model
        data["prompt"] = data["prompt"] + self._text()
        # An event is at least one token, so this may ask for more than is missing, never less.
        data["max_tokens"] = max(1, self._asked.request.max_tokens - self.pieces)
        return json.dumps(data, ensure_ascii=False).encode()

    def _text(self) -> str:
        pieces = []
        for line in b"".join(self._kept or []).splitlines():
            if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
                try:
                    choices = json.loads(line[5:])["choices"]
                except (KeyError, TypeError, ValueError):
                    continue  # the event that was cut
                pieces += [choice.get("text") or "" for choice in choices]
        return "".join(pieces)
