"""What durable state costs: operations in groups against one by one, and a token's check.

A round is 32 tasks that each do 50 operations, one after the other: 1,600 operations. In groups,
the store's writer takes what all tasks have posted into one transaction; one by one, each task
waits for a transaction of its own, as a store without a writer would have it.
"""

from __future__ import annotations

from itertools import count

import anyio
import pytest
from anyio import to_thread

from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform._audit._chain import append
from rbee_scheduler_platform._records import Amounts, AuditEntry, ChargeRecord
from rbee_scheduler_platform._store._charge_rows import book, end_charge, reserve
from rbee_scheduler_platform._store._open import connector, open_store
from rbee_scheduler_platform._tenant import Quotas, Tenant
from rbee_scheduler_platform._tokens import HashCost, TokenHasher
from rbee_scheduler_platform._tokens_admin import Admin
from rbee_scheduler_platform._tokens_check import Authenticator
from rbee_scheduler_platform._tokens_directory import Directory


TASKS = 32
EACH = 50
NOON = 1_769_860_800_000.0
QUOTAS = Quotas(requests_per_minute=10**9, max_concurrent_jobs=10**9)

numbers = count()


def charge():
    return ChargeRecord(
        id=str(next(numbers)), tenant="acme", gateway="g", booked_at=NOON,
        booked=Amounts(input_tokens=100, output_tokens=256),
    )  # fmt: skip


def settled():
    """A charge booked and settled, as one request costs at the least: two operations."""
    one = charge()
    return [book(one), end_charge(one.id, Amounts(input_tokens=90, output_tokens=7), NOON)]


OPERATIONS = {
    "count": lambda: [lambda db: db.change("UPDATE changes SET counter = counter + 1")],
    "book": lambda: [book(charge())],
    "reserve": lambda: [reserve(charge(), QUOTAS)],
    "book and settle": settled,
    "audit": lambda: [append(AuditEntry(kind="decision", at=NOON, gateway="g", tenant="acme"))],
}


@pytest.fixture(params=["FULL", "NORMAL"])
def synchronous(request):
    return request.param


@pytest.mark.parametrize(
    ("backend", "operation"),
    [*(("asyncio", operation) for operation in OPERATIONS), ("trio", "count")],
)
def test_in_groups(benchmark, tmp_path, synchronous, operation, backend):
    make = OPERATIONS[operation]

    async def task(store):
        for _ in range(EACH):
            for one in make():
                await store.post(one)

    async def work():
        async with open_store(tmp_path / "store.db", synchronous=synchronous) as store:
            await store.put_tenant(Tenant(id="acme"))
            async with anyio.create_task_group() as tasks:
                for _ in range(TASKS):
                    tasks.start_soon(task, store)

    benchmark.extra_info["operations"] = TASKS * EACH
    benchmark.pedantic(anyio.run, (work,), {"backend": backend}, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("operation", ["count", "book"])
def test_one_by_one(benchmark, tmp_path, synchronous, operation):
    make = OPERATIONS[operation]
    connect = connector(tmp_path / "store.db", synchronous=synchronous)

    async def prepare():
        async with open_store(tmp_path / "store.db") as store:
            await store.put_tenant(Tenant(id="acme"))

    async def task(database, limiter):
        for _ in range(EACH):
            await to_thread.run_sync(database.transact, make(), limiter=limiter)

    async def work():
        database, limiter = connect(write=True), anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as tasks:
            for _ in range(TASKS):
                tasks.start_soon(task, database, limiter)
        database.close()

    anyio.run(prepare)
    benchmark.extra_info["operations"] = TASKS * EACH
    benchmark.pedantic(anyio.run, (work,), rounds=5, warmup_rounds=1)


@pytest.fixture
def known(tmp_path):
    """An authenticator that knows one token, and the token."""
    clock = VirtualClock()
    hasher = TokenHasher(HashCost(memory_kib=8, passes=1))

    async def prepare():
        async with open_store(tmp_path / "store.db") as store:
            admin = Admin(store, hasher, clock, by="bench")
            await admin.create_tenant(Tenant(id="acme"))
            token = await admin.create_token("acme")
            directory = Directory(store)
            await directory.refresh()
            check = Authenticator(directory, hasher, clock)
            await check.check(token.text, "192.0.2.1")
            return check, token.text

    return anyio.run(prepare)


def test_known_token(benchmark, known):
    """The hot path: a token that was checked before."""
    check, token = known
    assert benchmark(check.known, token).tenant_id == "acme"


def test_new_token(benchmark):
    """argon2 with the shipped parameters: once per token and start, in a thread."""
    hasher = TokenHasher()
    known = hasher.hash("secret")
    assert benchmark.pedantic(hasher.matching, ((known,), "secret"), rounds=5) == known
