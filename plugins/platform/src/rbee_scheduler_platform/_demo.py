"""The demo's story: three tenants flood real workers through a gateway in platform mode.

Their shares of the service converge on their weights; one gets a quota, spends it, is refused
and comes back when it was told to; last the audit trail is verified.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import attrs

from rbee_scheduler import Deployment, PluginConfig, SystemClock, Worker
from rbee_scheduler.demo import LlamaServer
from rbee_scheduler_gateway import Gateway
from rbee_scheduler_gateway._server import Server, listen
from rbee_scheduler_platform._audit._verify import verify
from rbee_scheduler_platform._demo_client import DemoClient
from rbee_scheduler_platform._demo_report import DemoReport, Refused, Share
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._tenant import Quotas, Tenant
from rbee_scheduler_platform._tokens import TokenHasher
from rbee_scheduler_platform._tokens_admin import Admin


__all__ = ["TENANTS", "play"]

TENANTS: Final = (
    Tenant(id="ant", weight=1.0),
    Tenant(id="bee", weight=2.0),
    Tenant(id="cow", weight=4.0),
)

# Requests after which all three wait: whoever came first found the workers free.
WARM_UP: Final = 16

# Refills one request in 2 s: what the demo waits for.
RATE: Final = 30

Tell = Callable[[str], None]


async def play(servers: Sequence[LlamaServer], *, requests: int, tell: Tell) -> DemoReport:
    """Play the story.

    Args:
        servers: Workers; ready.
        requests: Requests to serve while all three tenants flood.
        tell: Takes a line for who watches.
    """
    with TemporaryDirectory(prefix="rbee-platform-") as folder:
        path = Path(folder) / "platform.db"
        tokens = await _tenants(path)
        async with anyio.create_task_group() as tasks, Gateway(_deployment(path, servers)) as gate:
            server, sockets = Server(gate.handle), listen("127.0.0.1", 0)
            await tasks.start(server.serve, sockets)
            url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
            tell(f"the gateway is at {url}, in platform mode, with {len(servers)} workers")
            async with DemoClient(url, tokens) as client:
                shares = await _flood(client, requests, tell)
                refused = await _quota(client, path, tell)
                about = await client.get("operator", "/v1/platform")
            server.drain()
            server.cut()
        async with open_store(path) as store:
            audit = await verify(store)
        tell(f"audit verify: {audit.checked} records, {'all sound' if audit.sound else 'BROKEN'}")
    return DemoReport(
        shares=shares,
        refused=refused,
        audit_records=audit.checked,
        audit_sound=audit.sound,
        digest=about["digest"],
    )


async def _tenants(path: Path) -> dict[str, str]:
    """Make the tenants; return their tokens, and an operator's."""
    async with open_store(path) as store:
        admin = Admin(store, TokenHasher(), SystemClock(), by="demo")
        tokens = {}
        for tenant in TENANTS:
            await admin.create_tenant(tenant)
            tokens[tenant.id] = (await admin.create_token(tenant.id)).text
        tokens["operator"] = (await admin.create_token("", role="operator")).text
    return tokens


def _deployment(path: Path, servers: Sequence[LlamaServer]) -> Deployment:
    # Whole answers are counted when they are there; charged in advance, a few hundred requests
    # are enough to see the shares.
    options = {"store": str(path), "predict_output": True}
    return Deployment(
        plugins=(
            PluginConfig(name="platform", options=options),
            PluginConfig(name="gateway", options={"mode": "platform"}),
        ),
        workers=tuple(
            Worker(id=f"worker-{n}", url=server.url) for n, server in enumerate(servers, 1)
        ),
    )


async def _flood(client: DemoClient, requests: int, tell: Tell) -> tuple[Share, ...]:
    """Let each tenant have more under way than all workers can serve; return what they got."""
    tell("three tenants with weights 1:2:4 flood the workers")
    for tenant in TENANTS:  # a token takes 30 ms when it is new: nobody shall begin alone
        await client.get(tenant.id, "/v1/usage")
    steps = [requests * step // 6 for step in range(1, 7)]
    async with anyio.create_task_group() as tasks:
        for tenant in TENANTS:
            for _ in range(client.at_once):
                tasks.start_soon(client.keep_asking, tenant.id)
        await client.until_served(WARM_UP)
        before = await _service(client)
        client.served.clear()
        for step in steps:
            await client.until_served(step)
            shares = _shares(client, before, await _service(client))
            tell(
                f"{sum(share.requests for share in shares):4} served: "
                + ", ".join(f"{one.tenant} {one.share:.1%} of {one.wanted:.1%}" for one in shares)
            )
        tasks.cancel_scope.cancel()
    return shares


async def _service(client: DemoClient) -> dict[str, float]:
    fairness = await client.get("operator", "/v1/platform/fairness")
    return {one["id"]: one["service"] for one in fairness["tenants"]}


def _shares(
    client: DemoClient, before: dict[str, float], after: dict[str, float]
) -> tuple[Share, ...]:
    service = {name: now - before.get(name, 0.0) for name, now in after.items()}
    total = sum(service.values()) or 1.0
    weights = sum(tenant.weight for tenant in TENANTS)
    return tuple(
        Share(
            tenant=tenant.id,
            weight=tenant.weight,
            requests=client.served[tenant.id],
            share=service.get(tenant.id, 0.0) / total,
            wanted=tenant.weight / weights,
        )
        for tenant in TENANTS
    )


async def _quota(client: DemoClient, path: Path, tell: Tell) -> Refused:
    """Give a tenant a quota while the service runs, spend it, come back when told to."""
    async with open_store(path) as store:
        admin = Admin(store, TokenHasher(), SystemClock(), by="demo")
        quotas = Quotas(requests_per_minute=RATE)
        await admin.change_tenant("ant", lambda old: attrs.evolve(old, quotas=quotas))
    await client.until_quota("ant")
    tell(f"ant may now send {RATE} requests a minute")
    answer = await client.spend("ant", RATE)
    seconds = int(answer.headers["retry-after"])
    code = answer.json()["error"]["code"]
    tell(f"ant's next request: {answer.status_code} {code}, Retry-After: {seconds}")
    await anyio.sleep(seconds)
    again = await client.ask("ant", most=4)
    tell(f"{seconds} s later: {again.status_code}")
    return Refused(
        tenant="ant",
        status=answer.status_code,
        code=code,
        retry_after=seconds,
        status_after=again.status_code,
    )
