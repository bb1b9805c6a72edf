"""Whatever is done to an audit chain by hand is found, and the first bad record named."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._audit._chain import link
from rbee_scheduler_platform._audit._verify import Anchor, read_anchor, verify, write_anchor
from rbee_scheduler_platform._records import AuditEntry, AuditRecord


LENGTH = 9

numbers = st.integers(0, LENGTH - 1)


def chain():
    records, previous = [], ""
    for seq in range(1, LENGTH + 1):
        entry = AuditEntry(
            kind="decision", at=seq * 10.0, gateway="g", tenant="acme", job=f"j{seq}",
            worker=f"w{seq % 3}", digest="ab" * 32, detail={"why": ["least loaded", seq]},
        )  # fmt: skip
        records.append(link(entry, seq, previous))
        previous = records[-1].hash
    return records


class Pages:
    """A store of nothing but an audit chain."""

    def __init__(self, records, head):
        self.records = records
        self.head = head

    async def audit_page(self, after, limit):
        return [one for one in self.records if one.seq > after][:limit], self.head


def walked(records, head=None, anchor=None, page=4):
    last = chain()[-1]
    store = Pages(sorted(records, key=lambda one: one.seq), head or (last.seq, last.hash))

    async def walk():
        return await verify(store, anchor=anchor, page=page)

    return anyio.run(walk)


def test_a_sound_chain_is_sound_whatever_the_page():
    for page in (1, 2, LENGTH, 100):
        found = walked(chain(), page=page)
        assert (found.sound, found.checked, found.head.seq) == (True, LENGTH, LENGTH)


def test_an_empty_chain_is_sound():
    assert walked([], head=(0, "")).sound


@settings(max_examples=300, deadline=None)
@given(number=numbers, data=st.data())
def test_any_bit_of_any_field_that_is_flipped_is_found(number, data):
    records = chain()
    old = records[number]
    field = data.draw(st.sampled_from(["body", "hash", "at"]))
    if field == "body":
        bit = data.draw(st.integers(0, len(old.body) * 8 - 1))
        body = bytearray(old.body)
        body[bit // 8] ^= 1 << bit % 8
        changed = AuditRecord(seq=old.seq, at=old.at, body=bytes(body), hash=old.hash)
    elif field == "hash":
        bit = data.draw(st.integers(0, 255))
        digest = f"{int(old.hash, 16) ^ (1 << bit):064x}"
        changed = AuditRecord(seq=old.seq, at=old.at, body=old.body, hash=digest)
    else:
        moment = old.at ^ (1 << data.draw(st.integers(0, 40)))
        changed = AuditRecord(seq=old.seq, at=moment, body=old.body, hash=old.hash)
    records[number] = changed
    found = walked(records)
    assert (found.bad, found.checked) == (old.seq, number)


@given(number=numbers)
def test_a_record_written_anew_with_its_own_hash_is_found_at_the_next_one(number):
    records = chain()
    previous = records[number - 1].hash if number else ""
    forged = link(AuditEntry(kind="decision", at=1.0, job="forged"), number + 1, previous)
    records[number] = forged
    found = walked(records)
    assert found.bad == number + 2


@given(gone=st.sets(numbers, min_size=1, max_size=LENGTH - 1))
def test_records_that_are_missing_are_found(gone):
    found = walked([one for index, one in enumerate(chain()) if index not in gone])
    assert not found.sound
    if 0 not in gone:
        assert found.bad == min(gone) + 1
        assert found.checked == min(gone)


@given(pair=st.lists(numbers, min_size=2, max_size=2, unique=True))
def test_records_that_changed_places_are_found(pair):
    records = chain()
    first, second = sorted(pair)
    one, other = records[first], records[second]
    records[first] = AuditRecord(seq=one.seq, at=other.at, body=other.body, hash=other.hash)
    records[second] = AuditRecord(seq=other.seq, at=one.at, body=one.body, hash=one.hash)
    assert walked(records).bad == one.seq


def test_a_head_that_was_changed_is_found():
    assert walked(chain(), head=(LENGTH, "00" * 32)).bad == LENGTH + 1
    assert walked(chain(), head=(LENGTH + 1, chain()[-1].hash)).bad == LENGTH + 1


def test_an_anchor_is_written_and_read(tmp_path):
    file = tmp_path / "anchor"
    assert read_anchor(file) is None
    write_anchor(file, Anchor(7, "ab" * 32))
    write_anchor(file, Anchor(8, "cd" * 32))
    assert read_anchor(file) == Anchor(8, "cd" * 32)
    assert [one.name for one in tmp_path.iterdir()] == ["anchor"]
    file.write_text("nonsense")
    with pytest.raises(ConfigError, match="no anchor"):
        read_anchor(file)
    with pytest.raises(ConfigError, match="can't be written"):
        write_anchor(tmp_path / "none" / "anchor", Anchor(1, ""))
