"""A job in a store: nobody reads its prompt there, and it comes back whole."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from rbee_scheduler import Geo, InferenceRequest, User
from rbee_scheduler_platform._errors import StoreError
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._store._requests import job_record, packed, unpacked
from rbee_scheduler_platform._tenant import Tenant


WORDS = ("brontosaurus", "stegosaurus", "triceratops", "52.520008")

REQUEST = InferenceRequest(
    job_id="j", model="m", prompt=WORDS[0], messages=[{"role": "user", "content": WORDS[1]}],
    stop=(WORDS[2],), user=User(geo=Geo(latitude=52.520008)), tenant_id="acme", max_tokens=9,
    seed=4, created_at=5.0,
)  # fmt: skip


def test_a_request_comes_back_as_it_was():
    assert unpacked(packed(REQUEST)) == REQUEST


def test_what_is_no_payload_is_refused():
    with pytest.raises(StoreError, match="payload"):
        unpacked(b"{}")


async def test_no_file_of_the_store_holds_a_word_of_it(tmp_path):
    record = job_record(REQUEST, gateway="g", now=7.0, retry=True)
    assert (record.request["max_tokens"], record.request["seed"]) == (9, 4)
    assert record.prompt_sha256 == REQUEST.prompt_hash
    async with open_store(tmp_path / "store.db") as store:
        await store.put_tenant(Tenant(id="acme"))
        await store.add_job(record, packed(REQUEST))
        (resumable,) = (await store.recover("g", 8.0)).resumable
        assert unpacked(resumable.payload) == REQUEST
        await store.end_job("j", "g", 9.0, outcome="success")
        files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        assert b"prompt_sha256" in b"".join(files.values())
        for name, content in files.items():
            assert not [word for word in WORDS if word.encode() in content], name


@pytest.mark.parametrize("room", ["_records", "_tokens", "_store._requests", "_store._open"])
def test_examples_of(room):
    module = import_module(f"rbee_scheduler_platform.{room}")
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 0) == (0, True)
