"""What only a SQLite store has: a file, its mode, its key, its backup."""

from __future__ import annotations

import os
import sqlite3
import stat

import pytest

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._errors import StoreError, StoreUnavailable
from rbee_scheduler_platform._records import JobRecord
from rbee_scheduler_platform._store import _sqlite
from rbee_scheduler_platform._store._open import open_store, sqlite_path
from rbee_scheduler_platform._store._seal import KEY_VARIABLE, Sealer, new_key
from rbee_scheduler_platform._store._sqlite import SqliteDatabase, back_up
from rbee_scheduler_platform._store._tenant_rows import put_tenant
from rbee_scheduler_platform._store._writer import GROUP
from rbee_scheduler_platform._tenant import Tenant


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


async def test_all_files_are_their_owners_alone_whatever_the_umask(path):
    before = os.umask(0)
    try:
        async with open_store(path) as store:
            await store.put_tenant(Tenant(id="a"))
            await store.add_job(JobRecord(id="j", tenant="a", gateway="g"), b"x")
            files = sorted(path.parent.iterdir())
            names = ["store.db", "store.db-shm", "store.db-wal", "store.db.key"]
            assert [(file.name, mode(file)) for file in files] == [(name, 0o600) for name in names]
    finally:
        os.umask(before)


@pytest.mark.parametrize("suffix", ["", ".key"], ids=["store", "key"])
async def test_a_file_that_others_may_read_is_refused(path, suffix):
    async def use():
        async with open_store(path) as store:
            await store.put_tenant(Tenant(id="a"))
            await store.add_job(JobRecord(id=os.urandom(4).hex(), tenant="a", gateway="g"), b"x")

    await use()
    file = path.with_name(path.name + suffix)
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        await use()
    file.chmod(0o600)
    await use()


async def test_a_file_that_is_no_database_is_left_as_it_is(path):
    path.write_bytes(b"no database at all" * 100)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="no sound SQLite database") as refused:
        await open_store(path).__aenter__()
    assert refused.value.place == str(path)
    assert path.read_bytes() == b"no database at all" * 100


async def test_another_programs_database_is_refused(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="another program's"):
        await open_store(path).__aenter__()


async def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="folder must exist"):
        await open_store(tmp_path / "none" / "store.db").__aenter__()


async def test_a_store_that_is_locked_for_too_long_is_unavailable(path, monkeypatch):
    monkeypatch.setattr(_sqlite, "PATIENCE", 0.05)
    async with open_store(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked") as refused:
            await store.put_tenant(Tenant(id="a"))
        assert refused.value.retryable
        assert await store.tenants() == []  # readers do not wait for writers
        other.close()
        await store.put_tenant(Tenant(id="a"))


@pytest.mark.parametrize("name", ["", "mysql://h/db", ":memory:"], ids=["empty", "url", "memory"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ConfigError, match="no store of the name"):
        sqlite_path(name)


def test_a_setting_that_is_none_is_refused(path):
    with pytest.raises(ConfigError, match="FULL, NORMAL"):
        open_store(path, synchronous="OFF")


@pytest.mark.parametrize(("setting", "level"), [("FULL", 2), ("NORMAL", 1)])
async def test_commits_are_as_durable_as_was_asked(path, setting, level):
    async with open_store(path, synchronous=setting) as store:
        found = await store.post(lambda db: db.row("PRAGMA synchronous"))
        assert found == (level,)
        assert await store.post(lambda db: db.row("PRAGMA journal_mode")) == ("wal",)
        assert await store.post(lambda db: db.row("PRAGMA foreign_keys")) == (1,)


async def test_what_comes_together_shares_a_transaction(path, monkeypatch):
    begun = []
    begin = SqliteDatabase.begin
    monkeypatch.setattr(
        SqliteDatabase,
        "begin",
        lambda self, *, write: begun.append(write) or begin(self, write=write),
    )
    async with open_store(path) as store:
        begun.clear()
        for number in range(3 * GROUP):
            store.post(put_tenant(Tenant(id=str(number))))
        await store.flush()
        assert len(begun) == 4, "three whole groups, and the flush"
        assert len(await store.tenants()) == 3 * GROUP


async def test_a_disk_that_is_full_fails_all_of_a_group_and_nothing_after_it(path):
    async with open_store(path) as store:
        await store.put_tenant(Tenant(id="before"))
        (pages,) = await store.post(lambda db: db.row("PRAGMA page_count"))
        await store.post(lambda db: db.rows(f"PRAGMA max_page_count = {pages + 1}"))
        tickets = [
            store.post(put_tenant(Tenant(id=str(number), name="x" * 4000))) for number in range(50)
        ]
        for ticket in tickets:
            with pytest.raises(StoreUnavailable, match="full"):
                await ticket
        await store.post(lambda db: db.rows("PRAGMA max_page_count = 1000000"))
        await store.put_tenant(Tenant(id="after"))
        assert [tenant.id for tenant in await store.tenants()] == ["after", "before"]


async def test_readers_change_nothing(path):
    async with open_store(path) as store:
        with pytest.raises(StoreError, match="readonly"):
            await store.read(lambda db: db.change("DELETE FROM tenants"))
        assert await store.tenants() == []


async def test_a_store_that_is_not_open_says_so(path):
    with pytest.raises(StoreUnavailable, match="not open"):
        await open_store(path).tenants()


# ---- backup ----------------------------------------------------------------------------------


async def test_a_backup_holds_what_still_stands_in_the_wal(path, tmp_path):
    target = tmp_path / "copy.db"
    async with open_store(path) as store:
        await store.put_tenant(Tenant(id="a"))
        assert path.with_name("store.db-wal").stat().st_size > 0
        assert back_up(path, target) == target.stat().st_size
        await store.put_tenant(Tenant(id="late"))
    assert mode(target) == 0o600
    assert not target.with_name("copy.db-wal").exists()
    async with open_store(target) as copy:
        assert [tenant.id for tenant in await copy.tenants()] == ["a"]
    with pytest.raises(ConfigError, match="there already"):
        back_up(path, target)
    with pytest.raises(ConfigError, match="no store"):
        back_up(tmp_path / "none.db", tmp_path / "other.db")


# ---- the seal --------------------------------------------------------------------------------


def test_a_payload_opens_for_its_own_name_and_key_alone(tmp_path):
    sealer = Sealer(file=tmp_path / "key")
    sealed = sealer.seal(b"payload", "j")
    assert Sealer(file=tmp_path / "key").unseal(sealed, "j") == b"payload"
    assert sealer.seal(b"payload", "j") != sealed
    broken = [
        (sealer, sealed, "k"),
        (Sealer(key=new_key()), sealed, "j"),
        (sealer, sealed[:-1] + bytes([sealed[-1] ^ 1]), "j"),
        (sealer, b"", "j"),
        (sealer, sealed[:12], "j"),
    ]
    for one, text, name in broken:
        with pytest.raises(StoreError, match="can't be unsealed"):
            one.unseal(text, name)


def test_a_key_that_was_given_counts_before_the_variable_and_the_file(tmp_path, monkeypatch):
    given, variable = new_key(), new_key()
    monkeypatch.setenv(KEY_VARIABLE, variable)
    sealed = Sealer(key=given, file=tmp_path / "key").seal(b"x", "j")
    assert Sealer(key=given).unseal(sealed, "j") == b"x"
    sealed = Sealer(file=tmp_path / "key").seal(b"x", "j")
    assert Sealer(key=variable).unseal(sealed, "j") == b"x"
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("text", ["short", "ü" * 44, "A" * 43], ids=["short", "no-ascii", "43"])
def test_what_is_no_key_is_refused(tmp_path, text, monkeypatch):
    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ConfigError):
        Sealer(file=tmp_path / "key").seal(b"x", "j")
    with pytest.raises(ConfigError, match="no key"):
        Sealer().seal(b"x", "j")
