"""A gateway in platform mode without sockets, over a store in a temporary file."""

import json
from contextlib import asynccontextmanager

from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform import PlatformOptions, Tenant, rbee_configure
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._tokens import HashCost, TokenHasher
from rbee_scheduler_platform._tokens_admin import Admin


# argon2 as quick as it gets.
CHEAP = {"token_memory_kib": 8, "token_passes": 1}


def admin_of(store, clock=None):
    """Who changes tenants and tokens."""
    hasher = TokenHasher(HashCost(memory_kib=8, passes=1))
    return Admin(store, hasher, clock or VirtualClock(), by="test")


async def make_store(path, *tenants, operator=True):
    """Make a store with tenants; return a token of each by its id, and of "operator"."""
    tokens = {}
    async with open_store(path) as store:
        admin = admin_of(store)
        for tenant in tenants:
            made = tenant if isinstance(tenant, Tenant) else Tenant(id=tenant)
            await admin.create_tenant(made)
            tokens[made.id] = (await admin.create_token(made.id)).text
        if operator:
            tokens["operator"] = (await admin.create_token("", role="operator")).text
    return tokens


def platform_of(path, **options):
    """An instance over the store."""
    return rbee_configure("platform", PlatformOptions(store=str(path), **(CHEAP | options)))


class PlatformSite:
    """A site of `memory_exchange` in platform mode, and the tokens of its tenants."""

    def __init__(self, site, platform, tokens):
        self.site = site
        self.platform = platform
        self.tokens = tokens
        self.gateway, self.clock = site.gateway, site.clock

    @property
    def runtime(self):
        return self.platform.runtime

    @property
    def store(self):
        return self.platform.runtime.store

    @property
    def admin(self):
        return admin_of(self.store, self.clock)

    async def ask(self, who, path="/v1/chat/completions", body=None, *, token=None, **options):
        """Send a request in the name of a tenant; return its exchange, answered."""
        headers = dict(options.pop("headers", {}))
        text = self.tokens[who] if token is None else token
        if text:
            headers["authorization"] = f"Bearer {text}"
        if body is None and options.get("method", "POST") == "POST":
            body = chat()
        return await self.site.ask(path, body or b"", headers=headers, **options)

    async def get(self, who, path):
        return await self.ask(who, path, method="GET")

    async def refresh(self):
        """Let the gateway see what changed in the store."""
        await self.store.flush()
        await self.runtime.directory.refresh()

    async def audit(self):
        """The audit records, read."""
        await self.store.flush()
        records, _ = await self.store.audit_page(0)
        return [json.loads(record.body) for record in records]


def chat(text="Hi there", **fields):
    return {
        "model": "bee",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": text}],
        **fields,
    }


def answer_of(text="Hello", prompt=3, completion=7):
    """A whole answer of a worker."""
    return {
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion},
    }


@asynccontextmanager
async def open_platform(memory, path, *tenants, answer=None, tokens=None, **options):
    """Run a gateway in platform mode.

    Args:
        memory: The module `memory_exchange`.
        path: The store's file.
        tenants: Tenants, or their ids; the store is made with them.
        answer: What workers answer.
        tokens: Of a store that is there already.
        options: ``platform``: of the plugin, ``gateway``: of the gateway; others: of the site.
    """
    if tokens is None:
        tokens = await make_store(path, *tenants)
    platform = platform_of(path, **options.pop("platform", {}))
    gateway = {"mode": "platform"} | options.pop("gateway", {})
    async with memory.open_site(
        answer or (lambda _: memory.whole(answer_of())),
        plugins=[platform],
        options=gateway,
        **options,
    ) as site:
        yield PlatformSite(site, platform, tokens)
