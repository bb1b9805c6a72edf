"""Which paths a kind of worker has: one table for each."""

from __future__ import annotations

from enum import Enum, unique
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from rbee_scheduler.testing._fake_worker import _openai, _probes


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rbee_scheduler.testing._fake_worker._probes import Facts
    from rbee_scheduler.testing._fake_worker._reply import Reply
    from rbee_scheduler.testing._fake_worker._request import SeenRequest
    from rbee_scheduler.testing._fake_worker._script import Script

    Probe = Callable[[Facts], Reply]
    Completion = Callable[[str, SeenRequest, Script], Reply]


@unique
class Dialect(Enum):
    """The kind of worker to imitate. What it does not have answers 404, as the real one does."""

    LLAMACPP = "llama.cpp"
    VLLM = "vllm"
    QUEEN = "queen"


_LLAMACPP: Final[Mapping[str, Probe]] = MappingProxyType(
    {
        "/health": _probes.health_json,
        "/v1/models": _probes.models,
        "/metrics": _probes.metrics_llamacpp,
        "/slots": _probes.slots,
        "/props": _probes.props,
    }
)
_VLLM: Final[Mapping[str, Probe]] = MappingProxyType(
    {
        "/health": _probes.health_empty,
        "/v1/models": _probes.models,
        "/metrics": _probes.metrics_vllm,
    }
)
_QUEEN: Final[Mapping[str, Probe]] = MappingProxyType(
    {
        "/health": _probes.health_ok,
        "/info": _probes.info,
    }
)

PROBES: Final[Mapping[Dialect, Mapping[str, Probe]]] = MappingProxyType(
    {Dialect.LLAMACPP: _LLAMACPP, Dialect.VLLM: _VLLM, Dialect.QUEEN: _QUEEN}
)
"""GET paths by dialect."""

COMPLETIONS: Final[Mapping[str, Completion]] = MappingProxyType(
    {
        "/v1/chat/completions": _openai.chat_reply,
        "/v1/completions": _openai.completion_reply,
    }
)
"""POST paths of the dialects that speak the OpenAI protocol."""
