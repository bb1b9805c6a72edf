"""A gateway that is killed: admits jobs and settles charges, and says what is durable.

Reads lines ``<store> <first id>``. For each it forks a child that works until it is killed, so
that nothing is imported 200 times. The child says ``pid N``, then one line per fact, after the
store has acknowledged it; this process says ``gone`` when the child is.
"""

import os
import random
import sys
import traceback
from functools import partial

import anyio
import anyio._backends._asyncio  # before the fork: each of these takes longer than a child lives
from cryptography.hazmat.primitives.ciphers import aead  # noqa: F401 - the same

from rbee_scheduler_platform._audit._chain import append
from rbee_scheduler_platform._records import Amounts, AuditEntry, ChargeRecord, Denied, JobRecord
from rbee_scheduler_platform._store._charge_rows import end_charge, reserve
from rbee_scheduler_platform._store._database import together
from rbee_scheduler_platform._store._job_rows import add_job, end_job
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._tenant import Quotas, Tenant


TASKS = 6
NOW = 1_769_860_800_000.0
QUOTAS = Quotas(max_concurrent_jobs=5, output_tokens_per_minute=10_000_000)


def say(line):
    os.write(1, f"{line}\n".encode())  # one write: lines of a killed process are whole


def admission(store, id_):
    """The job, its charge and its audit record: all of it, or nothing."""
    job = JobRecord(id=id_, tenant="acme", gateway="g", created_at=NOW, retry=id_.endswith("0"))
    charge = ChargeRecord(
        id=f"c-{id_}", tenant="acme", gateway="g", job=id_, booked_at=NOW,
        booked=Amounts(input_tokens=10, output_tokens=100, vram_bytes=7),
    )  # fmt: skip

    def admit(db):
        answer = reserve(charge, QUOTAS)(db)
        if isinstance(answer, Denied):
            return False
        add_job(job, b"payload", store.sealer)(db)
        append(AuditEntry(kind="admission", at=NOW, gateway="g", tenant="acme", job=id_))(db)
        return True

    return admit


async def serve(store, ids, chance):
    for id_ in ids:
        while not await store.post(admission(store, id_)):
            await anyio.lowlevel.checkpoint()  # five are open: one of them ends soon
        say(f"admitted {id_}")
        if chance.random() < 0.1:
            refund = end_charge(f"c-{id_}", None, NOW)
            await store.post(together(refund, end_job(id_, "g", "cancelled", "", NOW)))
            say(f"refunded {id_}")
            continue
        await store.start_job(id_, "g", NOW)
        say(f"started {id_}")
        used = Amounts(input_tokens=chance.randrange(20), output_tokens=chance.randrange(100))
        if chance.random() < 0.5:
            await store.progress(f"c-{id_}", used)
        settle = end_charge(f"c-{id_}", used, NOW)
        await store.post(together(settle, end_job(id_, "g", "success", "", NOW)))
        say(f"settled {id_} {used.input_tokens} {used.output_tokens}")


async def work(path, first):
    chance = random.Random(first)
    async with open_store(path) as store:
        await store.put_tenant(Tenant(id="acme"))
        await store.recover("g", NOW)
        async with anyio.create_task_group() as tasks:
            for task in range(TASKS):
                ids = map(str, range(first + task, first + 1_000_000, TASKS))
                tasks.start_soon(serve, store, ids, chance)


def main():
    for line in sys.stdin:
        path, first = line.split()
        pid = os.fork()
        if not pid:
            say(f"pid {os.getpid()}")
            try:
                anyio.run(partial(work, path, int(first)))
            finally:
                traceback.print_exc()  # it was to be killed before
                sys.stderr.flush()
                os._exit(1)
        os.waitpid(pid, 0)
        say("gone")


main()
