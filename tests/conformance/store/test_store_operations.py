"""What every store does: operations in groups, tenants, tokens, jobs, charges, usage."""

from __future__ import annotations

import anyio
import attrs
import pytest

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._errors import StoreConflict, StoreUnavailable
from rbee_scheduler_platform._records import (
    Amounts,
    ChargeRecord,
    Denied,
    Granted,
    JobRecord,
    TokenRecord,
    UsageRecord,
)
from rbee_scheduler_platform._store import _schema
from rbee_scheduler_platform._store._books import check_books, forget
from rbee_scheduler_platform._store._charge_rows import book, end_charge
from rbee_scheduler_platform._store._database import together
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._store._schema import schema_version
from rbee_scheduler_platform._store._tenant_rows import put_tenant
from rbee_scheduler_platform._tenant import Quotas, ServiceTarget, Tenant


NOON = 1_769_860_800_000.0  # 2026-01-31 12:00 UTC
DAY = 86_400_000.0

PROMPT = "the quick brown fox jumps over the lazy dog"


def charge(id_="c", tenant="acme", **fields):
    amounts = {key: fields.pop(key) for key in list(fields) if key in attrs.fields_dict(Amounts)}
    fields = {"gateway": "g", "booked_at": NOON} | fields
    return ChargeRecord(id=id_, tenant=tenant, booked=Amounts(**amounts), **fields)


def job(id_="j", **fields):
    return JobRecord(id=id_, **{"tenant": "acme", "gateway": "g", "created_at": NOON} | fields)


# ---- groups ----------------------------------------------------------------------------------


async def test_what_was_awaited_is_there_when_the_store_is_opened_again(opened, name):
    async with opened() as store:
        await store.put_tenant(Tenant(id="new"))
    async with open_store(name) as store:
        assert [tenant.id for tenant in await store.tenants()] == ["acme", "new", "zeta"]


async def test_an_operation_that_fails_fails_alone(opened):
    async with opened() as store:
        tickets = [store.post(book(charge(id_))) for id_ in ("a", "b", "a", "c", "b", "d")]
        failed = []
        for ticket in tickets:
            try:
                await ticket
                failed.append(False)
            except StoreConflict:
                failed.append(True)
        assert failed == [False, False, True, False, True, False]
        assert [one.id for one in await store.charges()] == ["a", "b", "c", "d"]


async def test_operations_together_are_all_done_or_none(opened):
    async with opened() as store:
        await store.book(charge("a"))
        beside = store.post(book(charge("d")))
        with pytest.raises(StoreConflict):
            await store.post(together(book(charge("b")), book(charge("a")), book(charge("c"))))
        await beside
        assert [one.id for one in await store.charges()] == ["a", "d"]


async def test_operations_run_in_the_order_they_were_posted(opened):
    async with opened() as store:
        for number in range(600):  # more than two groups
            store.post(put_tenant(Tenant(id="acme", name=str(number))))
        await store.flush()
        assert (await store.tenants())[0].name == "599"


async def test_a_failure_that_nobody_awaits_is_told(opened):
    unheard = []
    async with opened(unheard=unheard.append) as store:
        store.post(book(charge("a")))
        store.post(book(charge("a")))
        await store.flush()
    assert [type(failure) for failure in unheard] == [StoreConflict]


async def test_a_failure_is_told_when_whoever_awaited_it_was_cancelled(opened):
    unheard = []
    async with opened(unheard=unheard.append) as store:
        store.post(book(charge("a")))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.post(book(charge("a")))
        await store.flush()
    assert [type(failure) for failure in unheard] == [StoreConflict]


async def test_closing_writes_what_was_posted_even_when_cancelled(opened, name):
    with anyio.CancelScope() as scope:
        async with opened() as store:
            for number in range(300):
                store.post(book(charge(str(number))))
            scope.cancel()
            await anyio.sleep_forever()
    async with open_store(name) as store:
        assert len(await store.charges()) == 300


async def test_an_error_inside_comes_out_as_it_is(opened):
    with pytest.raises(KeyError):
        async with opened():
            raise KeyError("mine")


async def test_a_closed_store_takes_nothing(opened):
    async with opened() as store:
        pass
    with pytest.raises(StoreUnavailable, match="closed"):
        store.post(book(charge()))


async def test_tables_of_a_newer_version_are_refused(opened, name, monkeypatch):
    async with opened() as store:
        assert await store.read(schema_version) == len(_schema.MIGRATIONS)
    monkeypatch.setattr(_schema, "MIGRATIONS", ())
    with pytest.raises(ConfigError, match="version 1; this is version 0"):
        async with open_store(name):
            pass


async def test_a_step_that_fails_leaves_the_tables_as_they_were(opened, name, monkeypatch):
    async with opened():
        pass
    broken = ("second", ("CREATE TABLE extra (id {int}) {end}", "CREATE NONSENSE"))
    with monkeypatch.context() as patch:
        patch.setattr(_schema, "MIGRATIONS", (*_schema.MIGRATIONS, broken))
        with pytest.raises(Exception, match="syntax"):
            async with open_store(name):
                pass
    async with open_store(name) as store:
        assert await store.read(schema_version) == 1
        with pytest.raises(Exception, match="extra"):
            await store.read(lambda db: db.rows("SELECT * FROM extra"))


async def test_two_that_open_a_new_store_at_once_make_it_once(name):
    async with anyio.create_task_group() as tasks:
        for tenant in ("a", "b"):

            async def use(tenant=tenant):
                async with open_store(name) as store:
                    await store.put_tenant(Tenant(id=tenant))

            tasks.start_soon(use)
    async with open_store(name) as store:
        assert [one.id for one in await store.tenants()] == ["a", "b"]


# ---- tenants and tokens ----------------------------------------------------------------------


async def test_a_tenant_comes_back_as_it_was_put(opened):
    tenant = Tenant(
        id="big",
        name="Größe & Söhne",
        weight=2.5,
        quotas=Quotas(requests_per_minute=60, vram_bytes=2**40, hold=("tokens_daily",)),
        targets={"interactive": ServiceTarget(first_token_ms=500)},
        regions=("eu-west", "eu-north"),
        enabled=False,
        created_at=NOON,
    )
    async with opened() as store:
        await store.put_tenant(tenant, new=True)
        assert (await store.tenants())[1] == tenant
        with pytest.raises(StoreConflict, match="already"):
            await store.put_tenant(tenant, new=True)


async def test_a_token_comes_back_as_it_was_put(opened):
    token = TokenRecord(
        id="t", tenant="acme", name="CI", hash="h", previous_hash="p", previous_until=NOON + 0.25,
        created_at=NOON, rotated_at=NOON + 1, expires_at=NOON + 2, revoked_at=NOON + 3,
    )  # fmt: skip
    operator = TokenRecord(id="o", role="operator", hash="h", created_at=NOON + 1)
    async with opened() as store:
        await store.put_token(token, new=True)
        await store.put_token(operator)
        assert await store.tokens() == [token, operator]
        with pytest.raises(StoreConflict):
            await store.put_token(token, new=True)
        with pytest.raises(StoreConflict, match="no tenant 'nobody'"):
            await store.put_token(attrs.evolve(token, id="u", tenant="nobody"))


async def test_changes_of_tenants_and_tokens_are_counted_for_all_who_share_the_store(opened, name):
    async with opened() as store, open_store(name) as other:
        before = await other.changes()
        await store.put_tenant(Tenant(id="acme", weight=2))
        await store.put_token(TokenRecord(id="t", tenant="acme"))
        await store.book(charge())
        assert await other.changes() == before + 2


# ---- jobs ------------------------------------------------------------------------------------


async def test_a_job_is_queued_runs_and_ends(opened):
    async with opened() as store:
        queued = job(request={"model": "m"}, prompt_sha256="ab", retry=True)
        await store.add_job(queued, b"payload")
        assert await store.job("j") == queued
        await store.start_job("j", "g", NOON + 1)
        running = attrs.evolve(queued, state="running", attempts=1, started_at=NOON + 1)
        assert await store.jobs(state="running") == [running]
        await store.end_job("j", "g", NOON + 2, outcome="error", error="WORKER_ERROR")
        ended = attrs.evolve(
            running, state="ended", ended_at=NOON + 2, outcome="error", error="WORKER_ERROR"
        )
        assert await store.jobs(tenant="acme") == [ended]
        assert await store.jobs(tenant="zeta") == []
        assert await store.job("other") is None


async def test_an_operators_job_has_no_tenant(opened):
    async with opened() as store:
        await store.add_job(job(tenant=""), b"payload")
        assert (await store.job("j")).tenant == ""


async def test_a_payload_is_sealed_and_erased_when_its_job_ends(opened):
    async with opened() as store:
        await store.add_job(job(), PROMPT.encode())
        payload = "SELECT payload FROM jobs"
        ((sealed,),) = await store.read(lambda db: db.rows(payload))
        assert PROMPT.encode() not in sealed
        assert store.sealer.unseal(sealed, "j") == PROMPT.encode()
        await store.end_job("j", "g", NOON, outcome="success")
        assert await store.read(lambda db: db.rows(payload)) == [(None,)]


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (lambda s: s.start_job("j", "other", NOON), "now 'g''s"),
        (lambda s: s.end_job("j", "other", NOON, outcome="success"), "now 'g''s"),
        (lambda s: s.start_job("none", "g", NOON), "no job 'none'"),
        (lambda s: s.start_job("running", "g", NOON), "is running"),
        (lambda s: s.end_job("ended", "g", NOON, outcome="success"), "is ended"),
        (lambda s: s.add_job(job(), b""), "its id is taken"),
        (lambda s: s.add_job(job("new", tenant="nobody"), b""), "its tenant is not in the store"),
    ],
    ids=["start", "end", "unknown", "start-twice", "end-twice", "same-id", "no-tenant"],
)
async def test_a_job_goes_one_way_and_belongs_to_one_gateway(opened, work, says):
    async with opened() as store:
        for one in ("j", "running", "ended"):
            await store.add_job(job(one), b"")
        await store.start_job("running", "g", NOON)
        await store.end_job("ended", "g", NOON, outcome="cancelled")
        with pytest.raises(StoreConflict, match=says):
            await work(store)


# ---- charges, quotas, usage ------------------------------------------------------------------


async def test_a_charge_is_settled_once_and_adds_up_in_the_usage(opened):
    async with opened() as store:
        quotas = Quotas(requests_per_minute=100)
        for number in range(3):
            booked = charge(str(number), input_tokens=10, output_tokens=100, job=f"j{number}")
            assert await store.reserve(booked, quotas) == Granted(charge=booked)
        used = Amounts(input_tokens=11, output_tokens=7)
        assert await store.settle("0", used, NOON + 5) is True
        assert await store.settle("0", used, NOON + 6) is False
        assert await store.refund("0", NOON + 6) is False
        assert await store.settle("1", used, NOON + 7) is True
        assert await store.refund("2", NOON + 8) is True
        assert await store.usage() == [
            UsageRecord(
                tenant="acme", day="2026-01-31", requests=2, input_tokens=22, output_tokens=14
            )
        ]
        first, _, last = await store.charges()
        assert (first.state, first.used, first.ended_at) == ("settled", used, NOON + 5)
        assert (last.state, last.used, last.ended_at) == ("refunded", Amounts(requests=0), NOON + 8)
        assert await store.charges(state="open") == []
        with pytest.raises(StoreConflict, match="no charge"):
            await store.refund("other", NOON)
        assert await store.read(check_books) == []


async def test_progress_is_noted_until_the_end(opened):
    async with opened() as store:
        await store.book(charge())
        assert await store.progress("c", Amounts(input_tokens=4, output_tokens=2)) is True
        (noted,) = await store.charges(state="open")
        assert noted.used == Amounts(input_tokens=4, output_tokens=2)
        await store.refund("c", NOON)
        assert await store.progress("c", Amounts()) is False


async def test_usage_counts_for_the_day_of_the_booking(opened):
    async with opened() as store:
        for number, (tenant, at) in enumerate(
            [("acme", NOON), ("zeta", NOON), ("acme", NOON + DAY)]
        ):
            await store.book(charge(str(number), tenant, booked_at=at))
            await store.settle(str(number), Amounts(input_tokens=1), NOON + 3 * DAY)
        assert [(u.tenant, u.day) for u in await store.usage()] == [
            ("acme", "2026-01-31"), ("zeta", "2026-01-31"), ("acme", "2026-02-01"),
        ]  # fmt: skip
        assert [u.day for u in await store.usage(tenant="acme", since="2026-02-01")] == [
            "2026-02-01"
        ]
        assert len(await store.usage(until="2026-01-31")) == 2


@pytest.mark.parametrize(
    ("quotas", "denied"),
    [
        (
            Quotas(requests_per_minute=2),
            Denied(quota="requests_per_minute", limit=2, retry_after=30.0),
        ),
        (
            Quotas(input_tokens_per_minute=20),
            Denied(quota="input_tokens_per_minute", limit=20, retry_after=30.0),
        ),
        (
            Quotas(output_tokens_per_minute=250),
            Denied(quota="output_tokens_per_minute", limit=250, retry_after=12.0),
        ),
        (Quotas(tokens_daily=300), Denied(quota="tokens_daily", limit=300, retry_after=43_200.0)),
        (Quotas(max_concurrent_jobs=2), Denied(quota="max_concurrent_jobs", limit=2)),
        (Quotas(vram_bytes=25), Denied(quota="vram_bytes", limit=25)),
    ],
    ids=["requests", "input", "output", "daily", "concurrent", "vram"],
)
async def test_each_quota_denies_the_third_and_says_when(opened, quotas, denied):
    async with opened() as store:
        asked = [
            charge(str(n), input_tokens=10, output_tokens=100, vram_bytes=10) for n in range(3)
        ]
        answers = [await store.reserve(one, quotas) for one in asked]
        assert answers == [Granted(charge=asked[0]), Granted(charge=asked[1]), denied]
        assert isinstance(await store.reserve(charge("z", "zeta"), quotas), Granted)
        if denied.retry_after:
            early = attrs.evolve(asked[2], booked_at=NOON + denied.retry_after * 1000 - 1)
            due = attrs.evolve(asked[2], booked_at=NOON + denied.retry_after * 1000)
            assert isinstance(await store.reserve(early, quotas), Denied)
            assert await store.reserve(due, quotas) == Granted(charge=due)
        else:
            await store.refund("0", NOON)
            assert await store.reserve(asked[2], quotas) == Granted(charge=asked[2])


async def test_what_never_fits_is_said_so(opened):
    async with opened() as store:
        big = charge(input_tokens=10, output_tokens=100)
        for quotas in (Quotas(tokens_per_request=109), Quotas(output_tokens_per_minute=99)):
            answer = await store.reserve(big, quotas)
            assert (answer.never, answer.retry_after) == (True, None)


async def test_a_resumed_job_is_booked_beyond_the_limit(opened):
    async with opened() as store:
        quotas = Quotas(max_concurrent_jobs=1)
        for id_ in ("a", "b"):
            assert isinstance(await store.reserve(charge(id_), quotas, enforce=False), Granted)
        assert isinstance(await store.reserve(charge("c"), quotas), Denied)


async def test_what_was_not_used_is_given_back(opened):
    async with opened() as store:
        quotas = Quotas(output_tokens_per_minute=100, tokens_daily=150)
        await store.reserve(charge("a", output_tokens=100), quotas)
        await store.settle("a", Amounts(output_tokens=30), NOON)
        assert isinstance(await store.reserve(charge("b", output_tokens=71), quotas), Denied)
        assert isinstance(await store.reserve(charge("c", output_tokens=70), quotas), Granted)


@pytest.mark.parametrize(
    "quotas",
    [Quotas(requests_per_minute=100), Quotas(max_concurrent_jobs=100)],
    ids=["rate", "level"],
)
async def test_of_a_thousand_attempts_through_two_gateways_exactly_the_limit_gets_in(
    opened, name, quotas
):
    granted = []

    async def attempt(store, id_):
        answer = await store.reserve(charge(id_, gateway=id_[0]), quotas)
        granted.append(isinstance(answer, Granted))

    async with opened() as first, open_store(name) as second, anyio.create_task_group() as tasks:
        for number in range(500):
            tasks.start_soon(attempt, first, f"a{number}")
            tasks.start_soon(attempt, second, f"b{number}")
    assert (len(granted), sum(granted)) == (1000, 100)


# ---- the books -------------------------------------------------------------------------------


async def test_books_that_were_changed_by_hand_are_found(opened):
    async with opened() as store:
        await store.reserve(charge("a"), Quotas())
        await store.reserve(charge("b"), Quotas())
        await store.settle("a", Amounts(output_tokens=5), NOON)
        assert await store.read(check_books) == []
        await store.post(lambda db: db.change("UPDATE usage SET output_tokens = 4"))
        await store.post(lambda db: db.change("DELETE FROM charges WHERE id = 'b'"))
        usage, counts = await store.read(check_books)
        assert usage.startswith("usage of acme on 2026-01-31 is (1, 0, 4)")
        assert counts == "acme counts 1 open charges and 0 bytes; there are 0 and 0"


async def test_old_charges_and_jobs_are_forgotten_and_usage_stays(opened):
    async with opened() as store:
        for id_, at in (("old", NOON), ("open", NOON), ("young", NOON + DAY)):
            await store.book(charge(id_, booked_at=at))
            await store.add_job(job(id_), b"")
            if id_ != "open":
                await store.settle(id_, Amounts(), at)
                await store.end_job(id_, "g", at, outcome="success")
        usage = await store.usage()
        assert await store.post(lambda db: forget(db, "2026-02-01")) == (1, 1)
        assert sorted(one.id for one in await store.charges()) == ["open", "young"]
        assert sorted(one.id for one in await store.jobs()) == ["open", "young"]
        assert await store.usage() == usage
        assert await store.read(check_books) == []


async def test_an_ended_charge_can_be_posted_with_others(opened):
    async with opened() as store:
        ended = await store.post(
            together(
                book(charge("a")), end_charge("a", Amounts(), NOON), end_charge("a", None, NOON)
            )
        )
        assert ended == [None, True, False]
