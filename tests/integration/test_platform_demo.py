"""`rbee-scheduler demo --platform`: three tenants on real llama.cpp workers, to the end."""

import json
import os
import subprocess
import sys

import pytest


COMMAND = [sys.executable, "-W", "error", "-m", "rbee_scheduler", "demo", "--platform"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tenants_get_their_shares_and_a_quota_is_kept(demo_cache, tmp_path, backend):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RBEE_")}
    done = subprocess.run(
        [*COMMAND, "--json", "--requests", "140", "--workers", "2", "--backend", backend],
        env=kept | {"XDG_CACHE_HOME": str(demo_cache), "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    report = json.loads(done.stdout)
    shares = {one["tenant"]: one for one in report["shares"]}
    assert [one["weight"] for one in shares.values()] == [1.0, 2.0, 4.0]
    for one in shares.values():
        # Where the machine is slow, a tenant does not always have a request waiting, and its share
        # goes to the others: 5 points were seen under a coverage run. Equal shares would be off
        # by 24. That the order is exact where all wait is proved in test_fairness_bars.py.
        assert one["share"] == pytest.approx(one["wanted"], abs=0.08)
    assert sum(one["requests"] for one in shares.values()) >= 140
    refused = report["refused"]
    assert (refused["status"], refused["code"]) == (429, "QUOTA_EXCEEDED")
    assert (refused["retry_after"], refused["status_after"]) == (2, 200)
    # A start and a stop; of each request its admission, decision and outcome.
    assert report["audit_records"] > 3 * 170
    assert report["audit_sound"] is True
    assert list(tmp_path.iterdir()) == []  # its store is gone
