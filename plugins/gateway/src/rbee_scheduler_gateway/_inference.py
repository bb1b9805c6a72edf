"""The routes of inference: the OpenAI API, relayed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._relay import SURFACES, Surface, read_asked
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["inference_routes", "task_of"]


def inference_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield a route for each path of the OpenAI API that asks for inference."""
    for surface in SURFACES:
        yield Route("POST", surface.path, _answer(gateway, surface), inference=True)


def _answer(gateway: Gateway, surface: Surface) -> Callable[[Call], Awaitable[None]]:
    async def answer(call: Call) -> None:
        task, now = task_of(gateway, surface), gateway.clock.now()
        asked = read_asked(call, surface, gateway.rng, task=task, now=now)
        await gateway.relay.answer(call, asked)

    return answer


def task_of(gateway: Gateway, surface: Surface) -> str:
    """Return the task type of a request: that of most workers where none says it can do more.

    Servers don't tell whether they serve embeddings; one that can't answers so itself.
    """
    if surface.task == "text-gen":
        return surface.task
    known = gateway.registry.snapshot().with_capability(surface.task)
    return surface.task if known else "text-gen"
