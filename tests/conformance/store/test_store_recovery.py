"""What every store does about gateways that are gone, and about its audit trail."""

from __future__ import annotations

import json

import attrs
import pytest

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._audit._chain import append
from rbee_scheduler_platform._audit._export import export_lines
from rbee_scheduler_platform._audit._verify import Anchor, verify
from rbee_scheduler_platform._errors import StoreConflict
from rbee_scheduler_platform._records import (
    Amounts,
    AuditEntry,
    ChargeRecord,
    JobRecord,
    UsageRecord,
)
from rbee_scheduler_platform._store._books import check_books
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._store._recovery import MAX_ATTEMPTS
from rbee_scheduler_platform._store._seal import new_key
from rbee_scheduler_platform._tenant import Quotas


NOON = 1_769_860_800_000.0  # 2026-01-31 12:00 UTC


async def admit(store, id_, gateway="g", *, retry=False, quotas=None):
    job = JobRecord(id=id_, tenant="acme", gateway=gateway, created_at=NOON, retry=retry)
    await store.add_job(job, f"payload of {id_}".encode())
    booked = Amounts(input_tokens=10, output_tokens=100)
    await store.reserve(
        ChargeRecord(
            id=f"c-{id_}", tenant="acme", gateway=gateway, job=id_, booked=booked, booked_at=NOON
        ),
        quotas or Quotas(),
    )


async def used_and_states(store):
    charges = {one.id: one.state for one in await store.charges()}
    jobs = {one.id: (one.state, one.error) for one in await store.jobs()}
    return charges, jobs


async def test_a_gateway_that_starts_again_takes_over_what_it_left_behind(opened, name):
    async with opened() as store:
        await store.recover("g", NOON)
        for id_, retry in (("queued", False), ("ran", False), ("again", True), ("told", False)):
            await admit(store, id_, retry=retry)
            if id_ != "queued":
                await store.start_job(id_, "g", NOON)
        await store.progress("c-told", Amounts(input_tokens=9, output_tokens=5))
        await admit(store, "done")
        await store.end_job("done", "g", NOON, outcome="success")
        await store.book(ChargeRecord(id="c-plain", tenant="acme", gateway="g", booked_at=NOON))
    async with open_store(name) as store:
        found = await store.recover("g", NOON + 1)
        assert [(one.job.id, one.payload) for one in found.resumable] == [
            ("again", b"payload of again"), ("queued", b"payload of queued"),
        ]  # fmt: skip
        assert {one.job.state for one in found.resumable} == {"queued"}
        assert sorted(one.id for one in found.failed) == ["ran", "told"]
        assert found.gateways == ("g",)
        charges, jobs = await used_and_states(store)
        assert charges == {
            "c-queued": "refunded", "c-again": "refunded", "c-ran": "settled",
            "c-told": "settled", "c-done": "settled", "c-plain": "settled",
        }  # fmt: skip
        assert jobs == {
            "queued": ("queued", ""), "again": ("queued", ""), "ran": ("ended", "GATEWAY_LOST"),
            "told": ("ended", "GATEWAY_LOST"), "done": ("ended", ""),
        }  # fmt: skip
        # As booked where nothing was noted (10 and 0), as noted where something was (9 and 5).
        assert await store.usage() == [
            UsageRecord(
                tenant="acme", day="2026-01-31", requests=4, input_tokens=29, output_tokens=5
            )
        ]
        assert await store.read(check_books) == []
        nothing = await store.recover("g", NOON + 2)
        assert (nothing.failed, nothing.settled, nothing.refunded) == ((), (), ())
        assert len(nothing.resumable) == 2, "it has not begun them yet"


async def test_a_job_that_may_run_again_does_so_only_a_few_times(opened):
    async with opened() as store:
        await admit(store, "j", retry=True)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            await store.start_job("j", "g", NOON)
            found = await store.recover("g", NOON + attempt)
            assert len(found.resumable) == (attempt < MAX_ATTEMPTS)
        assert [one.error for one in found.failed] == ["GATEWAY_LOST"]


async def test_jobs_sealed_with_another_key_end_and_cost_nothing(opened, name):
    async with opened() as store:
        await admit(store, "j")
    async with open_store(name, key=new_key()) as store:
        found = await store.recover("g", NOON)
        assert [(one.id, one.error) for one in found.failed] == [("j", "PAYLOAD_LOST")]
        assert [one.id for one in found.refunded] == ["c-j"]
        assert await store.usage() == []


async def test_others_take_over_only_when_the_lease_has_ended(opened, name):
    quotas = Quotas(max_concurrent_jobs=1)
    async with opened() as first, open_store(name) as second:
        await first.recover("one", NOON, lease=30)
        await admit(first, "j", "one", quotas=quotas)
        early = await second.recover("two", NOON + 29_999)
        assert (early.resumable, early.gateways) == ((), ())
        assert await first.heartbeat("one", NOON + 29_999, lease=30) is True
        kept = await second.recover("two", NOON + 59_000, starting=False)
        assert kept.resumable == ()
        late = await second.recover("two", NOON + 59_999, starting=False)
        assert ([one.job.gateway for one in late.resumable], late.gateways) == (["two"], ("one",))
        assert [one.id for one in late.refunded] == ["c-j"]
        assert await first.heartbeat("one", NOON + 60_000) is False
        with pytest.raises(StoreConflict, match="now 'two'"):
            await first.start_job("j", "one", NOON + 60_000)
        assert await first.settle("c-j", Amounts(), NOON + 60_000) is False
        assert await second.read(check_books) == []


async def test_while_it_runs_a_gateway_keeps_its_own(opened):
    async with opened() as store:
        await store.recover("g", NOON, lease=1)
        await admit(store, "j")
        found = await store.recover("g", NOON + 10_000, starting=False)
        assert (found.resumable, found.gateways) == ((), ())


# ---- audit -----------------------------------------------------------------------------------


def entry(number, **fields):
    return AuditEntry(kind="decision", at=NOON + number, detail={"number": number}, **fields)


async def all_records(store):
    records, _ = await store.audit_page(0, 10_000)
    return records


async def test_two_gateways_write_one_chain(opened, name):
    async with opened() as first, open_store(name) as second:
        tickets = [
            store.post(append(entry(number, gateway=gateway)))
            for number in range(200)
            for store, gateway in ((first, "one"), (second, "two"))
        ]
        assert sorted([await ticket for ticket in tickets]) == list(range(1, 401))
        found = await verify(first, page=64)
        assert (found.sound, found.checked, found.first) == (True, 400, 1)
        gateways = [json.loads(record.body)["gateway"] for record in await all_records(first)]
        assert gateways.count("one") == 200


async def test_an_operation_that_fails_leaves_no_gap_in_the_chain(opened):
    async with opened() as store:
        charge = ChargeRecord(id="c", tenant="acme", gateway="g")
        await store.book(charge)

        def record_and_fail(db):
            append(entry(99))(db)
            raise StoreConflict("no")

        tickets = [store.post(append(entry(0))), store.post(record_and_fail)]
        tickets.append(store.post(append(entry(1))))
        assert await tickets[0] == 1
        with pytest.raises(StoreConflict):
            await tickets[1]
        assert await tickets[2] == 2
        assert (await verify(store)).sound


async def test_recovery_is_recorded(opened):
    async with opened() as store:
        await admit(store, "j")
        await store.start_job("j", "g", NOON)
        await store.recover("other", NOON)
        (record,) = await all_records(store)
        body = json.loads(record.body)
        assert (body["kind"], body["job"], body["gateway"]) == ("outcome", "j", "other")
        assert body["detail"] == {"error": "GATEWAY_LOST", "lost_by": "g", "outcome": "error"}


async def test_old_records_are_pruned_from_the_front_and_the_rest_verifies(opened):
    async with opened() as store:
        for number in range(10):
            await store.audit(entry(number))
        assert await store.prune_audit(NOON, NOON + 100, "cli") == 0
        assert await store.prune_audit(NOON + 4, NOON + 100, "cli") == 4
        found = await verify(store, page=3)
        assert (found.sound, found.first, found.checked) == (True, 5, 7)
        checkpoint = json.loads((await all_records(store))[-1].body)
        assert checkpoint["kind"] == "checkpoint"
        assert checkpoint["detail"]["pruned_through"] == 4
        # All that is left but the new checkpoint, the old one included.
        assert await store.prune_audit(NOON + 200, NOON + 200, "cli") == 7
        found = await verify(store)
        assert (found.sound, found.first, found.checked) == (True, 12, 1)


async def test_a_young_record_ends_the_pruning_also_where_clocks_differ(opened):
    async with opened() as store:
        for at in (0, 9, 1, 2):
            await store.audit(entry(at))
        assert await store.prune_audit(NOON + 5, NOON + 10, "cli") == 1
        assert (await verify(store)).first == 2


async def test_a_tail_that_was_cut_off_is_missed(opened):
    async with opened() as store:
        for number in range(5):
            await store.audit(entry(number))
        anchor = (await verify(store)).head
        await store.post(lambda db: db.change("DELETE FROM audit WHERE seq > 3"))
        found = await verify(store)
        assert (found.sound, found.bad, found.checked) == (False, 4, 3)
        # With the head made to fit, an anchor that is kept elsewhere still tells.
        last = (await all_records(store))[-1]
        head = (last.seq, bytes.fromhex(last.hash))
        await store.post(lambda db: db.change("UPDATE audit_head SET seq = ?, hash = ?", head))
        assert (await verify(store)).sound
        assert (await verify(store, anchor=anchor)).bad == 4
        rewritten = attrs.evolve(anchor, seq=3)
        assert (
            await verify(store, anchor=rewritten)
        ).reason == "it is not the record of the anchor"
        assert (await verify(store, anchor=Anchor(3, last.hash))).sound


async def test_a_front_that_was_cut_off_without_a_checkpoint_is_missed(opened):
    async with opened() as store:
        for number in range(5):
            await store.audit(entry(number))
        await store.post(lambda db: db.change("DELETE FROM audit WHERE seq < 3"))
        found = await verify(store)
        assert (found.bad, found.reason) == (
            1, "it is missing, and so are all up to 2: no checkpoint",
        )  # fmt: skip


async def test_an_export_holds_each_record_with_its_hash(opened):
    async with opened() as store:
        for number in range(4):
            await store.audit(entry(number, tenant="acme"))
        lines = [line async for line in export_lines(store, since=NOON + 1, until=NOON + 3)]
        assert [json.loads(line)["seq"] for line in lines] == [2, 3]
        records = await all_records(store)
        for line, record in zip(lines, records[1:3], strict=True):
            assert line == f'{record.body[:-1].decode()},"hash":"{record.hash}"}}'


@pytest.mark.parametrize(
    "wrong",
    [
        AuditEntry(kind="checkpoint", at=NOON),
        AuditEntry(kind="decision", at=NOON, detail={"x": float("nan")}),
        AuditEntry(kind="decision", at=NOON, detail={"x": object()}),
    ],
    ids=["checkpoint", "nan", "object"],
)
async def test_what_is_no_record_is_refused(opened, wrong):
    async with opened() as store:
        with pytest.raises(ConfigError):
            await store.audit(wrong)
        assert await all_records(store) == []
