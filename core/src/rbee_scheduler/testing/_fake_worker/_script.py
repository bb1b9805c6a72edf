"""What the worker shall answer: data that a test writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs


if TYPE_CHECKING:
    from collections.abc import Iterable

    from rbee_scheduler.testing._fake_worker._fault import Fault
    from rbee_scheduler.testing._fake_worker._gate import Gate

# The beginning of the story that the demo's model tells; one token has two words, as real ones may.
_TOKENS: Final = (" once", " upon", " a", " time a", " small", " bee")


def _texts(tokens: Iterable[str]) -> tuple[str, ...]:
    return tuple(tokens)


def _pairs(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(headers)


@attrs.frozen(kw_only=True)
class Usage:
    """The token counts of a reply.

    Attributes:
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens made; None counts the script's.
    """

    prompt_tokens: int = 7
    completion_tokens: int | None = None


@attrs.frozen(kw_only=True)
class Script:
    """How one request is answered. The default is a short story without fault.

    Attributes:
        tokens: The texts of the tokens. The queen protocol sends each as the data of one event,
            so a JSON text makes a JSON event there.
        usage: The counts, where the protocol has them.
        finish_reason: "stop" or "length".
        gate: Holds the reply at a token until the test releases it.
        delay: Seconds before each token, slept with the worker's injected ``sleep``.
        fault: What goes wrong; None: nothing.
        fault_after: How many tokens are sent before the fault strikes, for faults at a token.
        status: The status of the reply. One outside 2xx comes without tokens.
        body: Sent in place of what the protocol says: bytes as they are, a str as text/plain,
            anything else as JSON.
        content_type: In place of the protocol's own.
        headers: Further headers, such as ``("Retry-After", "1")``.
        location: Where a redirect leads.
        close: Close the connection after the reply, as llama.cpp does after each stream.
        on_submit: For the queen protocol, which answers a request in two replies: fault, status,
            body, headers, gate and close belong to the first one (POST /v1/inference) and the
            stream is without fault. Otherwise they belong to the stream.
    """

    tokens: tuple[str, ...] = attrs.field(default=_TOKENS, converter=_texts)
    usage: Usage = Usage()
    finish_reason: str = "stop"
    gate: Gate | None = None
    delay: float = 0.0
    fault: Fault | None = None
    fault_after: int = 1
    status: int | None = None
    body: Any = None
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    location: str = "/elsewhere"
    close: bool = False
    on_submit: bool = False

    @property
    def text(self) -> str:
        """The whole text that a client has in the end."""
        return "".join(self.tokens)


PLAIN: Final = Script()
"""The default script."""
