"""The demo's clients: tenants that ask again and again, and an operator who looks."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Any, Final, Self

import anyio
import httpx


__all__ = ["DemoClient"]

MODEL: Final = "tiny-bee"

_OK: Final = 200


class DemoClient:
    """Speaks to a gateway in the name of several tenants.

    Args:
        url: The gateway.
        tokens: Token of each tenant, and of ``"operator"``.
        at_once: Requests that a flooding tenant has under way.

    Attributes:
        served: Requests that were served, by tenant.
    """

    def __init__(self, url: str, tokens: dict[str, str], *, at_once: int = 12) -> None:
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(base_url=url, timeout=120, limits=limits, trust_env=False)
        self._tokens = tokens
        self._more = anyio.Event()
        self.at_once = at_once
        self.served: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    def _as(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._tokens[who]}"}

    async def get(self, who: str, path: str) -> Any:
        """Return what the gateway shows ``who``."""
        answer = await self._http.get(path, headers=self._as(who))
        answer.raise_for_status()
        return answer.json()

    async def ask(self, tenant: str, *, most: int) -> httpx.Response:
        """Ask for up to ``most`` tokens of a story."""
        body = {
            "model": MODEL,
            "prompt": "Tell me a story!",
            "max_tokens": most,
            "temperature": 0,
        }
        return await self._http.post("/v1/completions", json=body, headers=self._as(tenant))

    async def keep_asking(self, tenant: str) -> None:
        """Ask for the story again and again, until cancelled."""
        while True:
            answer = await self.ask(tenant, most=64)
            answer.raise_for_status()
            self.served[tenant] += 1
            self._more.set()

    async def until_served(self, requests: int) -> None:
        """Return once so many requests were served."""
        while self.served.total() < requests:
            self._more = anyio.Event()
            await self._more.wait()

    async def until_quota(self, tenant: str) -> None:
        """Return once the gateway has seen that a tenant has a quota."""
        while not (await self.get(tenant, "/v1/usage"))["quotas"]:  # noqa: ASYNC110 - a service tells only who asks
            await anyio.sleep(0.1)

    async def spend(self, tenant: str, quota: int) -> httpx.Response:
        """Send more requests than a quota allows; return the answer to the first refused one."""
        refused: list[httpx.Response] = []

        async def ask_some() -> None:
            for _ in range(quota):
                answer = await self.ask(tenant, most=4)
                if answer.status_code != _OK:
                    refused.append(answer)
                    return

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(ask_some)
        return refused[0]
