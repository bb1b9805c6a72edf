"""The estimate: what a request will use, as far as can be told before it runs."""

from __future__ import annotations

from typing import Any

import attrs

from rbee_scheduler import InferenceRequest


__all__ = ["CHARACTERS_PER_TOKEN", "Estimate", "input_tokens_of"]

# English text in the vocabularies of today's models; the worker's count corrects it at the end.
CHARACTERS_PER_TOKEN = 4


@attrs.frozen(kw_only=True)
class Estimate:
    """What a request may use: booked before it runs, replaced by what it used.

    Attributes:
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens to generate at most (`max_tokens`).
        vram_bytes: GPU memory.

    Example:
        >>> request = InferenceRequest(job_id="j", model="m", prompt="x" * 100, max_tokens=50)
        >>> Estimate.of(request)
        Estimate(input_tokens=25, output_tokens=50, vram_bytes=0)
    """

    input_tokens: int = 0
    output_tokens: int = 0
    vram_bytes: int = 0

    @classmethod
    def of(cls, request: InferenceRequest, input_tokens: int | None = None) -> Estimate:
        """Return the estimate for ``request``.

        Args:
            request: The request.
            input_tokens: Its prompt's tokens, where somebody has counted them.
        """
        return cls(
            input_tokens=input_tokens_of(request) if input_tokens is None else input_tokens,
            output_tokens=request.max_tokens,
            vram_bytes=request.estimated_vram_bytes or 0,
        )


def input_tokens_of(request: InferenceRequest) -> int:
    """Return the tokens of a prompt: one for every 4 characters, at least one."""
    if request.messages:
        size = sum(_characters(message.get("content")) for message in request.messages)
    else:
        size = len(request.prompt)
    return max(1, -(-size // CHARACTERS_PER_TOKEN))


def _characters(content: Any) -> int:
    """Return the length of a message's text; a list of parts holds several."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, (list, tuple)):
        return sum(len(str(part.get("text", ""))) for part in content if isinstance(part, dict))
    return 0
