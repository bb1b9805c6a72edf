"""kill -9 at any moment loses nothing that was acknowledged, and the books are right.

40 kills in a normal run; RBEE_KILLS=200 for as many as the bar says.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from rbee_scheduler_platform._audit._verify import verify
from rbee_scheduler_platform._records import Amounts
from rbee_scheduler_platform._store._books import check_books
from rbee_scheduler_platform._store._open import open_store


KILLS = int(os.environ.get("RBEE_KILLS", "40"))
KILLS_OF_ONE_STORE = 10
MOST_FACTS = 60
LATER = 1_769_860_900_000.0


class Gateway:
    """The process that is killed, again and again."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("kill_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, path, first, facts):
        """Let it work until it has said ``facts`` lines, kill it, and return all it said."""
        self.process.stdin.write(f"{path} {first}\n")
        self.process.stdin.flush()
        pid = int(self._line().removeprefix("pid "))
        said = []
        while len(said) < facts:
            said.append(self._line())
            assert said[-1] != "gone", "it failed; its stderr says why"
        os.kill(pid, signal.SIGKILL)
        while (line := self._line()) != "gone":
            said.append(line)
        return said

    def _line(self):
        line = self.process.stdout.readline()
        assert line, "it ended by itself"
        return line.rstrip("\n")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


async def check(path, said):
    """Recover as the next gateway would, and check everything that was acknowledged."""
    async with open_store(path) as store:
        found = await store.recover("g", LATER)
        jobs = {job.id: job for job in await store.jobs(limit=10**6)}
        charges = {charge.id: charge for charge in await store.charges(limit=10**6)}
        assert [charge for charge in charges.values() if charge.state == "open"] == []
        assert await store.read(check_books) == []
        audit = await verify(store)
        assert audit.reason == ""
        resumable = {one.job.id: one for one in found.resumable}
        assert {id_ for id_, job in jobs.items() if job.state == "queued"} == resumable.keys()
        assert all(one.payload == b"payload" for one in resumable.values())
        # A job is there with its charge and its audit record, or not at all.
        assert {f"c-{id_}" for id_ in jobs} == charges.keys()
        assert audit.checked >= len(jobs)
        for line in said:
            what, id_, *tokens = line.split()
            job, charge = jobs[id_], charges[f"c-{id_}"]
            if what == "settled":
                used = Amounts(input_tokens=int(tokens[0]), output_tokens=int(tokens[1]))
                assert (charge.state, charge.used, job.outcome) == ("settled", used, "success")
            elif what == "refunded":
                assert (charge.state, job.outcome) == ("refunded", "cancelled")
            elif what == "started":
                assert job.attempts == 1
            else:
                assert what == "admitted"
        for one in found.resumable:
            await store.end_job(one.job.id, "g", LATER, outcome="cancelled")
        return len(jobs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork, and no SIGKILL")
@pytest.mark.timeout(600)
def test_a_gateway_that_is_killed_loses_nothing_it_acknowledged(tmp_path):
    chance = random.Random(20260131)
    gateway = Gateway()
    first = 0
    facts = 0
    try:
        for kill in range(KILLS):
            path = tmp_path / f"{kill // KILLS_OF_ONE_STORE}.db"
            said = gateway.run(path, first, chance.randrange(MOST_FACTS))
            facts += len(said)
            if kill % KILLS_OF_ONE_STORE and not path.exists():
                pytest.fail("the store is gone")
            if path.exists():
                anyio.run(check, path, said)
            first += 1_000_000
    finally:
        gateway.close()
    assert facts > KILLS * MOST_FACTS / 4
