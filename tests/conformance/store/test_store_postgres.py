"""What only PostgreSQL does: it hangs up."""

from __future__ import annotations

import sys

import pytest

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._errors import StoreUnavailable
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._tenant import Tenant


@pytest.fixture
def engine():
    return "postgres"


def hang_up(cluster):
    with cluster.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'rbee-scheduler'"
        )


async def test_a_connection_that_broke_is_told_and_made_anew(cluster, name):
    async with open_store(name) as store:
        await store.put_tenant(Tenant(id="a"))
        await store.tenants()
        hang_up(cluster)
        with pytest.raises(StoreUnavailable) as refused:
            await store.put_tenant(Tenant(id="b"))
        assert refused.value.retryable
        with pytest.raises(StoreUnavailable):
            await store.tenants()
        await store.put_tenant(Tenant(id="c"))
        assert [tenant.id for tenant in await store.tenants()] == ["a", "c"]


async def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path):
    store = open_store(f"postgresql://me:s3cret@/db?host={tmp_path}")
    with pytest.raises(StoreUnavailable, match="can't connect") as refused:
        await store.__aenter__()
    assert "s3cret" not in str(refused.value)
    assert refused.value.place == "postgresql:///db"


async def test_without_psycopg_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'rbee-scheduler-platform\[postgres\]'"):
        await open_store("postgresql://h/db").__aenter__()
