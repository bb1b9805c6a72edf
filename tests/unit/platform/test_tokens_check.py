"""Whose token it is: known at once, checked once, dropped when it is no good any more."""

from __future__ import annotations

import json
import threading

import anyio
import attrs
import pytest

from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_gateway._identity import Forbidden, Identity, Unauthorized
from rbee_scheduler_platform import _tokens_check
from rbee_scheduler_platform._errors import StoreConflict, StoreUnavailable
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._tenant import Tenant
from rbee_scheduler_platform._tokens import HashCost, TokenHasher
from rbee_scheduler_platform._tokens_admin import Admin
from rbee_scheduler_platform._tokens_check import Authenticator
from rbee_scheduler_platform._tokens_directory import Directory
from rbee_scheduler_platform._tokens_throttle import Throttle, ThrottleConfig, Throttled


CLIENT = "192.0.2.1"


class CountingHasher(TokenHasher):
    """Counts how often it was asked; waits at a gate where there is one."""

    def __init__(self):
        super().__init__(HashCost(memory_kib=8, passes=1))
        self.runs = 0
        self.at_once = 0
        self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()

    def matching(self, hashes, secret):
        with self.lock:
            self.runs += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.gate.wait(30)
        with self.lock:
            self.at_once -= 1
        return super().matching(hashes, secret)


class Service:
    """A store with one tenant, and what checks tokens against it."""

    def __init__(self, path):
        self.store = open_store(path, synchronous="NORMAL")
        self.clock = VirtualClock()
        self.hasher = CountingHasher()
        self.directory = Directory(self.store)
        self.throttle = Throttle(ThrottleConfig(free=3))
        self.check = Authenticator(
            self.directory, self.hasher, self.clock, throttle=self.throttle, remembered=3
        )
        self.admin = Admin(
            self.store, TokenHasher(HashCost(memory_kib=8, passes=1)), self.clock, by="ann"
        )

    async def __aenter__(self):
        await self.store.__aenter__()
        await self.admin.create_tenant(Tenant(id="acme"))
        return self

    async def __aexit__(self, *error):
        await self.store.__aexit__(*error)

    async def token(self, tenant="acme", **options):
        token = await self.admin.create_token(tenant, **options)
        await self.directory.refresh()
        return token


@pytest.fixture
def service(tmp_path):
    return Service(tmp_path / "store.db")


async def test_a_token_is_checked_once_and_then_known(service):
    async with service:
        token = await service.token()
        assert service.check.known(token.text) is None
        identity = await service.check.check(token.text, CLIENT)
        assert identity == Identity(role="tenant", tenant_id="acme")
        assert service.check.known(token.text) == identity
        assert await service.check.check(token.text, CLIENT) == identity
        assert service.hasher.runs == 1
        operator = await service.token("", role="operator")
        assert await service.check.check(operator.text, CLIENT) == Identity(role="operator")


async def test_many_who_come_with_one_new_token_cost_one_check(service):
    async with service:
        token = await service.token()
        found = []

        async def ask():
            found.append(await service.check.check(token.text, CLIENT))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask)
        assert (len(found), service.hasher.runs) == (50, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda text: "",
        lambda text: "sk-something",
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text.replace(text[5:21], "0123456789abcdef"),
    ],
    ids=["empty", "other", "secret", "id"],
)
async def test_a_wrong_token_is_refused(service, wrong):
    async with service:
        token = await service.token()
        with pytest.raises(Unauthorized) as refused:
            await service.check.check(wrong(token.text), CLIENT)
        assert (refused.value.http_status, refused.value.code) == (401, "UNAUTHORIZED")


async def test_an_unknown_id_costs_what_a_wrong_secret_does(service):
    async with service:
        await service.token()
        with pytest.raises(Unauthorized) as unknown:
            await service.check.check("rbee_0123456789abcdef_secret", CLIENT)
        assert service.hasher.runs == 1
        token = await service.token()
        with pytest.raises(Unauthorized) as wrong:
            await service.check.check(token.text + "x", CLIENT)
        assert str(wrong.value) == str(unknown.value)


async def test_a_token_expires_also_where_it_is_known(service):
    async with service:
        token = await service.token(expires_at=service.clock.now() + 1000)
        await service.check.check(token.text, CLIENT)
        service.clock.advance(1.0)
        assert service.check.known(token.text) is None
        with pytest.raises(Unauthorized):
            await service.check.check(token.text, CLIENT)


async def test_a_revoked_token_is_dropped_with_the_next_look_at_the_store(service):
    async with service:
        token, other = await service.token(), await service.token()
        for one in (token, other):
            await service.check.check(one.text, CLIENT)
        await service.admin.revoke_token(token.record.id)
        assert service.check.known(token.text) is not None
        assert await service.directory.refresh() is True
        assert service.check.known(token.text) is None
        assert service.check.known(other.text) is not None
        with pytest.raises(Unauthorized):
            await service.check.check(token.text, CLIENT)


async def test_a_token_that_is_revoked_while_it_is_checked_is_refused(service):
    async with service:
        token = await service.token()
        service.hasher.gate.clear()
        async with anyio.create_task_group() as tasks:

            async def ask():
                with pytest.raises(Unauthorized):
                    await service.check.check(token.text, CLIENT)

            tasks.start_soon(ask)
            await service.admin.revoke_token(token.record.id)
            await service.directory.refresh()
            service.hasher.gate.set()


async def test_a_rotated_token_is_good_for_its_grace(service):
    async with service:
        old = await service.token()
        await service.check.check(old.text, CLIENT)
        new = await service.admin.rotate_token(old.record.id, grace=60)
        await service.directory.refresh()
        assert service.check.known(old.text) is not None, "its secret need not be compared again"
        await service.check.check(new.text, CLIENT)
        service.clock.advance(60)
        assert service.check.known(old.text) is None
        assert service.check.known(new.text) is not None
        with pytest.raises(Unauthorized):
            await service.check.check(old.text, CLIENT)


async def test_revocation_ends_the_grace_too(service):
    async with service:
        old = await service.token()
        await service.admin.rotate_token(old.record.id, grace=60)
        await service.admin.revoke_token(old.record.id)
        await service.directory.refresh()
        with pytest.raises(Unauthorized):
            await service.check.check(old.text, CLIENT)


async def test_tokens_of_a_disabled_tenant_are_forbidden_until_it_is_enabled(service):
    async with service:
        token = await service.token()
        await service.check.check(token.text, CLIENT)

        async def switch(*, enabled):
            await service.admin.change_tenant("acme", lambda t: attrs.evolve(t, enabled=enabled))
            await service.directory.refresh()

        await switch(enabled=False)
        assert service.check.known(token.text) is None
        with pytest.raises(Forbidden, match="disabled") as refused:
            await service.check.check(token.text, CLIENT)
        assert refused.value.http_status == 403
        with pytest.raises(Unauthorized):
            await service.check.check(token.text + "x", CLIENT)
        await switch(enabled=True)
        await service.check.check(token.text, CLIENT)


async def test_who_guesses_must_wait_and_others_need_not(service):
    async with service:
        token = await service.token()
        for _ in range(4):
            with pytest.raises(Unauthorized):
                await service.check.check("rbee_0123456789abcdef_guess", CLIENT)
        runs = service.hasher.runs
        with pytest.raises(Throttled) as refused:
            await service.check.check("rbee_0123456789abcdef_guess", CLIENT)
        assert (refused.value.http_status, refused.value.retry_after) == (429, 1.0)
        assert service.hasher.runs == runs
        await service.check.check(token.text, "192.0.2.2")
        # A known token passes from anywhere; so does any, when the pause is over.
        await service.check.check(token.text, CLIENT)
        other = await service.token()
        service.clock.advance(1.0)
        await service.check.check(other.text, CLIENT)


async def test_requests_without_a_token_are_held_against_nobody(service):
    async with service:
        token = await service.token()
        for text in ("", "sk-something") * 20:
            with pytest.raises(Unauthorized):
                await service.check.check(text, CLIENT)
        assert (len(service.throttle), service.hasher.runs) == (0, 0)
        await service.check.check(token.text, CLIENT)


async def test_few_checks_run_at_once_and_few_wait(service, monkeypatch):
    monkeypatch.setattr(_tokens_check, "WAITING", 3)
    async with service:
        refused = []
        service.hasher.gate.clear()

        async def ask(number):
            try:
                await service.check.check(f"rbee_{number:016}_guess", f"192.0.2.{number}")
            except (Throttled, Unauthorized) as error:
                refused.append(type(error))

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(ask, number)
            with anyio.fail_after(30):
                while refused.count(Throttled) < 3:
                    await anyio.lowlevel.checkpoint()
            service.hasher.gate.set()
        assert (refused.count(Throttled), refused.count(Unauthorized)) == (3, 5)
        assert service.hasher.most_at_once <= 2


async def test_only_so_many_tokens_are_remembered(service):
    async with service:
        tokens = [await service.token() for _ in range(4)]
        for token in tokens:
            await service.check.check(token.text, CLIENT)
            service.check.known(tokens[0].text)
        known = [service.check.known(token.text) is not None for token in tokens]
        assert known == [True, False, True, True]


async def test_a_cancelled_check_leaves_nothing_behind(service):
    async with service:
        token = await service.token()
        service.hasher.gate.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.check.check, token.text, CLIENT)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            service.hasher.gate.set()
        assert service.check._checking == {}
        await service.check.check(token.text, CLIENT)


# ---- the directory and the administration ----------------------------------------------------


async def test_the_directory_looks_again_only_when_something_has_changed(service):
    async with service:
        views = []
        end = service.directory.subscribe(views.append)
        assert await service.directory.refresh() is True
        assert await service.directory.refresh() is False
        await service.admin.create_tenant(Tenant(id="zeta"))
        await service.directory.refresh()
        assert [sorted(view.tenants) for view in views] == [["acme"], ["acme", "zeta"]]
        assert service.directory.view is views[-1]
        end()
        await service.token()
        assert len(views) == 2


async def test_the_directory_follows_every_second_and_outlives_a_store_that_fails(
    service, monkeypatch, caplog
):
    async with service:
        await service.directory.refresh()
        refresh, failures = service.directory.refresh, [3]

        async def fail_thrice(_):
            if failures[0]:
                failures[0] -= 1
                raise StoreUnavailable("gone")
            return await refresh()

        monkeypatch.setattr(Directory, "refresh", fail_thrice)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.directory.watch, service.clock)
            await service.admin.create_tenant(Tenant(id="zeta"))
            with anyio.fail_after(30):
                while "zeta" not in service.directory.view.tenants:
                    await anyio.wait_all_tasks_blocked()
                    service.clock.advance(1.0)
            tasks.cancel_scope.cancel()
        assert failures == [0]
        assert [record.message for record in caplog.records] == [
            "tenants and tokens can't be refreshed: gone"
        ]


async def test_each_change_is_recorded_with_who_did_it(service):

    async with service:
        token = await service.token(name="CI")
        await service.admin.rotate_token(token.record.id, grace=5)
        await service.admin.revoke_token(token.record.id)
        await service.admin.change_tenant("acme", lambda t: attrs.evolve(t, weight=3.0))
        with pytest.raises(StoreConflict):
            await service.admin.change_tenant("nobody", lambda t: t)
        with pytest.raises(StoreConflict):
            await service.admin.revoke_token("nobody")
        records, _ = await service.store.audit_page(0)
        bodies = [json.loads(record.body) for record in records]
        assert [(one["kind"], one["detail"]["action"]) for one in bodies] == [
            ("config", "tenant create"), ("token", "token create"), ("token", "token rotate"),
            ("token", "token revoke"), ("config", "tenant set"),
        ]  # fmt: skip
        assert {one["detail"]["by"] for one in bodies} == {"ann"}
        assert bodies[-1]["detail"]["changes"] == {"weight": [1.0, 3.0]}
        everything = b"".join(record.body for record in records).decode()
        assert token.text.split("_", 2)[2] not in everything
        assert "argon2" not in everything
