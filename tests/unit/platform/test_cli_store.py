"""`tenant`, `audit` and `store`: what an operator does from a shell."""

from __future__ import annotations

import json
import sqlite3
import stat
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rbee_scheduler.cli._group import LazyGroup
from rbee_scheduler_platform._cli import _common, add_commands
from rbee_scheduler_platform._tokens import HashCost, TokenHasher


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.delenv("RBEE_PLATFORM_STORE", raising=False)
    # The parameters of the documentation are for attackers, not for tests.
    monkeypatch.setattr(
        _common, "TokenHasher", lambda: TokenHasher(HashCost(memory_kib=8, passes=1))
    )
    return tmp_path


class Root(LazyGroup):
    """The root of the command line, with the platform's commands alone."""

    def get_command(self, ctx, cmd_name):
        return click.Group.get_command(self, ctx, cmd_name)


def run(*args):
    root = Root("rbee-scheduler", lazy={})
    add_commands(root)
    return CliRunner().invoke(root, args)


def done(*args):
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def data(*args):
    return json.loads(done(*args, "--json"))


def failed(*args):
    result = run(*args, "--json")
    error = json.loads(result.stderr)["error"]
    return result.exit_code, error["code"], error


# ---- tenants ---------------------------------------------------------------------------------


def test_a_tenant_is_created_shown_and_changed():
    done(
        "tenant", "create", "acme", "--name", "Acme", "--weight", "2", "--region", "eu-west",
        "--requests-per-minute", "60", "--tokens-daily", "1000", "--hold", "tokens_daily",
        "--target", "interactive.first_token_ms=500",
    )  # fmt: skip
    shown = data("tenant", "show", "acme")["tenant"]
    assert (shown["name"], shown["weight"], shown["regions"]) == ("Acme", 2.0, ["eu-west"])
    assert shown["quotas"]["requests_per_minute"] == 60
    assert shown["targets"]["interactive"]["first_token_ms"] == 500
    done("tenant", "set", "acme", "--requests-per-minute", "none", "--hold", "none")
    done("tenant", "set", "acme", "--target", "interactive.per_token_ms=50", "--region", "none")
    changed = data("tenant", "show", "acme")["tenant"]
    assert changed["quotas"] == shown["quotas"] | {"requests_per_minute": None, "hold": []}
    assert changed["targets"]["interactive"] == {"first_token_ms": 500.0, "per_token_ms": 50.0}
    assert (changed["regions"], changed["weight"], changed["name"]) == ([], 2.0, "Acme")


def test_a_tenant_is_disabled_and_enabled():
    done("tenant", "create", "acme")
    assert data("tenant", "disable", "acme")["enabled"] is False
    assert [one["enabled"] for one in data("tenant", "list")["tenants"]] == [False]
    assert data("tenant", "enable", "acme")["enabled"] is True


def test_what_people_read():
    assert "no tenants" in done("store", "migrate") + done("tenant", "list")
    done("tenant", "create", "acme", "--tokens-daily", "1000")
    assert "tokens_daily=1000" in done("tenant", "list")
    assert "requests today" in done("tenant", "show", "acme")
    assert done("tenant", "usage") == "nothing was used\n"
    assert "no tokens" in done("tenant", "token", "list")
    for group in (["tenant"], ["tenant", "token"], ["audit"], ["store"]):
        assert "Commands:" in done(*group)


def test_usage_is_shown_by_day():
    done("tenant", "create", "acme")
    connection = sqlite3.connect("rbee-platform.db")
    connection.executemany(
        "INSERT INTO usage VALUES (?, ?, 1, 2, 3)", [("acme", "2026-01-31"), ("acme", "2026-02-01")]
    )
    connection.commit()
    connection.close()
    found = data("tenant", "usage", "acme", "--since", "2026-02-01")["usage"]
    assert found == [
        {
            "tenant": "acme", "day": "2026-02-01", "requests": 1, "input_tokens": 2,
            "output_tokens": 3,
        }
    ]  # fmt: skip
    assert len(data("tenant", "usage", "--until", "2026-02-01")["usage"]) == 2
    assert data("tenant", "usage", "other")["usage"] == []
    assert "2026-01-31  acme" in done("tenant", "usage")


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("tenant", "create", "acme"), "STORE_CONFLICT", "already"),
        (("tenant", "create", "b", "--weight", "-1"), "CONFIG_INVALID", "weight is -1.0"),
        (("tenant", "create", "b", "--tokens-daily", "x"), "USAGE", "neither a whole number"),
        (("tenant", "create", "b", "--target", "night.x=1"), "CONFIG_INVALID", "no target"),
        (
            ("tenant", "create", "b", "--target", "batch.per_token_ms=x"),
            "CONFIG_INVALID",
            "no number",
        ),
        (("tenant", "set", "nobody"), "STORE_CONFLICT", "no tenant 'nobody'"),
        (("tenant", "show", "nobody"), "CONFIG_INVALID", "no tenant 'nobody'"),
        (("tenant", "usage", "--since", "soon"), "USAGE", "no moment"),
        (("tenant", "token", "create"), "USAGE", "--operator"),
        (("tenant", "token", "create", "nobody"), "STORE_CONFLICT", "no tenant"),
        (("tenant", "token", "create", "acme", "--expires", "1y"), "USAGE", "no duration"),
        (("tenant", "token", "revoke", "nobody"), "STORE_CONFLICT", "no token"),
        (("tenant", "crate"), "USAGE", "Did you mean 'create'"),
        (("store", "backup", "rbee-platform.db"), "CONFIG_INVALID", "there already"),
        (("store", "check", "--store", "none.db"), "CONFIG_INVALID", "no store"),
        (("audit", "verify", "--store", "mysql://h/db"), "CONFIG_INVALID", "no store of the name"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_named(args, code, says):
    done("tenant", "create", "acme")
    exit_code, found, error = failed(*args)
    assert found == code
    assert exit_code == (1 if code == "STORE_CONFLICT" else 2)
    assert says in error["message"] + error.get("hint", "")
    assert not Path("none.db").exists()


# ---- tokens ----------------------------------------------------------------------------------


def test_a_token_is_printed_once_and_is_nowhere_in_the_store():
    done("tenant", "create", "acme")
    token = done("tenant", "token", "create", "acme", "--name", "CI").strip()
    assert token.startswith("rbee_")
    secret = token.split("_", 2)[2].encode()
    files = [file for file in Path().iterdir() if file.name.startswith("rbee-platform")]
    assert files
    assert not any(secret in file.read_bytes() for file in files)
    (listed,) = data("tenant", "token", "list", "acme")["tokens"]
    assert (listed["name"], listed["role"], listed["state"]) == ("CI", "tenant", "good")
    assert {"hash", "previous_hash"}.isdisjoint(listed)
    assert token not in done("tenant", "token", "list")


def test_a_token_is_rotated_and_revoked():
    done("tenant", "create", "acme")
    first = data("tenant", "token", "create", "acme", "--expires", "90d")
    second = data("tenant", "token", "rotate", first["id"], "--grace", "1h")
    assert second["id"] == first["id"]
    assert second["token"] != first["token"]
    (listed,) = data("tenant", "token", "list")["tokens"]
    assert listed["previous_until"] - listed["rotated_at"] == 3_600_000
    assert listed["expires_at"] - listed["created_at"] == pytest.approx(90 * 86_400_000, abs=60_000)
    assert data("tenant", "token", "revoke", first["id"])["state"] == "revoked"


def test_an_operators_token_needs_no_tenant():
    done("store", "migrate")
    done("tenant", "token", "create", "--operator")
    (listed,) = data("tenant", "token", "list")["tokens"]
    assert (listed["role"], listed["tenant"]) == ("operator", "")


# ---- the audit trail -------------------------------------------------------------------------


def change(statement):
    connection = sqlite3.connect("rbee-platform.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_trail_is_verified_and_tampering_found():
    for number in range(4):
        done("tenant", "create", f"t{number}")
    found = data("audit", "verify", "--anchor", "anchor")
    assert (found["sound"], found["checked"]) == (True, 4)
    assert Path("anchor").read_text() == f"4 {found['head']['hash']}\n"
    change("UPDATE audit SET body = CAST(replace(body, 'ann', 'bob') AS BLOB) WHERE seq = 3")
    result = run("audit", "verify", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["bad"], found["reason"]) == (3, "its content is not what its hash says")
    assert "record 3:" in run("audit", "verify").stdout


def test_an_anchor_tells_of_a_tail_that_was_cut_off():
    for number in range(3):
        done("tenant", "create", f"t{number}")
    done("audit", "verify", "--anchor", "anchor")
    change("DELETE FROM audit WHERE seq = 3")
    change("UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)")
    assert run("audit", "verify").exit_code == 0
    anchor = Path("anchor").read_text()
    result = run("audit", "verify", "--anchor", "anchor")
    assert result.exit_code == 1
    assert "the anchor is at number 3" in result.stdout
    assert Path("anchor").read_text() == anchor


def test_the_trail_is_exported_to_stdout_or_to_a_file_of_the_owners():
    done("tenant", "create", "acme")
    done("tenant", "set", "acme", "--weight", "3")
    lines = done("audit", "export").splitlines()
    assert [json.loads(line)["detail"]["action"] for line in lines] == [
        "tenant create", "tenant set",
    ]  # fmt: skip
    assert json.loads(lines[0])["detail"]["by"] == "ann"
    assert data("audit", "export", "trail.jsonl")["exported"] == 2
    assert Path("trail.jsonl").read_text().splitlines() == lines
    assert stat.S_IMODE(Path("trail.jsonl").stat().st_mode) == 0o600
    assert failed("audit", "export", "trail.jsonl")[:2] == (2, "CONFIG_INVALID")
    assert done("audit", "export", "--since", "2100-01-01") == ""


def test_the_trail_is_pruned_and_still_verifies():
    done("tenant", "create", "acme")
    assert data("audit", "prune", "--older-than", "1d") == {"deleted": 0}
    assert data("audit", "prune", "--older-than", "0s") == {"deleted": 1}
    found = data("audit", "verify")
    assert (found["sound"], found["first"], found["checked"]) == (True, 2, 1)


# ---- the store -------------------------------------------------------------------------------


def test_the_store_is_made_checked_and_copied():
    assert data("store", "migrate") == {"version": 1}
    assert data("store", "check") == {"version": 1, "problems": []}
    done("tenant", "create", "acme")
    copied = data("store", "backup", "copy.db")
    assert copied["bytes"] == Path("copy.db").stat().st_size
    assert [one["id"] for one in data("tenant", "list", "--store", "copy.db")["tenants"]] == [
        "acme"
    ]
    assert data("store", "prune", "--older-than", "90d")["charges"] == 0


def test_books_that_do_not_add_up_are_told():
    done("tenant", "create", "acme")
    change("INSERT INTO usage VALUES ('acme', '2026-01-31', 1, 2, 3)")
    result = run("store", "check")
    assert result.exit_code == 1
    assert "usage of acme on 2026-01-31" in result.stdout


def test_the_store_may_be_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("RBEE_PLATFORM_STORE", "other.db")
    done("tenant", "create", "acme")
    assert Path("other.db").exists()
    assert not Path("rbee-platform.db").exists()


def test_a_backup_of_postgresql_is_left_to_pg_dump():
    code, _, error = failed("store", "backup", "copy", "--store", "postgresql://h/db")
    assert (code, "pg_dump" in error["hint"]) == (2, True)
