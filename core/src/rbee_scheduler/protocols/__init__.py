"""Worker protocols: how a request is put to a worker, and what its answer means.

A protocol does no I/O of its own: it makes `HttpCall`s, and turns the events of a stream
into `StreamEvent`s. The executor moves the bytes.
"""

from rbee_scheduler.protocols._base import Piece, WorkerProtocol
from rbee_scheduler.protocols._openai import OpenAIProtocol
from rbee_scheduler.protocols._queen import QueenProtocol


__all__ = ["OpenAIProtocol", "Piece", "QueenProtocol", "WorkerProtocol", "protocol_for"]


def protocol_for(name: str) -> WorkerProtocol:
    """Return a protocol by the name a worker gives: ``"openai"`` or ``"queen"``.

    Each stream needs one of its own: a protocol remembers how far its stream has come.
    """
    return QueenProtocol() if name == "queen" else OpenAIProtocol()
