"""Tokens: made, rotated, parsed, hashed; who guesses is slowed down."""

from __future__ import annotations

import attrs
import pytest

from rbee_scheduler import QuotaExceeded
from rbee_scheduler_platform._records import TokenRecord
from rbee_scheduler_platform._tokens import (
    HashCost,
    TokenHasher,
    new_secret,
    new_token,
    parse_token,
    rotated_token,
)
from rbee_scheduler_platform._tokens_throttle import Throttle, ThrottleConfig, Throttled


CHEAP = HashCost(memory_kib=8, passes=1)


@pytest.fixture(scope="module")
def hasher():
    return TokenHasher(CHEAP)


def test_a_token_is_its_id_and_a_secret_that_is_kept_as_a_hash_alone(hasher):
    token = new_token(hasher, now=5, tenant="acme", name="CI", expires_at=9)
    token_id, secret = parse_token(token.text)
    assert token_id == token.record.id
    assert (len(token_id), len(secret)) == (16, 43)
    assert attrs.evolve(token.record, hash="") == TokenRecord(
        id=token_id, tenant="acme", name="CI", created_at=5, expires_at=9
    )
    assert token.record.hash.startswith("$argon2id$")
    assert secret not in repr(token.record)
    assert token.record.hash not in repr(token.record)
    assert hasher.matching((token.record.hash,), secret) == token.record.hash
    assert hasher.matching((token.record.hash,), secret + "x") == ""


def test_no_two_tokens_are_alike(hasher):
    made = [new_token(hasher, now=0, tenant="acme") for _ in range(20)]
    assert len({token.text.split("_", 2)[2] for token in made}) == 20
    assert len({token.record.id for token in made}) == 20


def test_the_parameters_are_those_of_the_documentation():
    record = new_token(TokenHasher(), now=0).record
    assert record.hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_rotated_token_keeps_its_id_and_for_a_while_its_old_secret(hasher):
    old = new_token(hasher, now=0, tenant="acme")
    new = rotated_token(old.record, new_secret(hasher), now=1000, grace=60)
    assert parse_token(new.text)[0] == old.record.id
    assert new.text != old.text
    assert (new.record.previous_hash, new.record.previous_until) == (old.record.hash, 61_000)
    assert new.record.rotated_at == 1000
    at_once = rotated_token(old.record, new_secret(hasher), now=1000, grace=0)
    assert (at_once.record.previous_hash, at_once.record.previous_until) == ("", 0)


@pytest.mark.parametrize(
    "text",
    [
        "", "rbee", "rbee_", "rbee_0123456789abcdef", "rbee_0123456789abcdef_", "rbee_short_secret",
        "sk-0123456789abcdef_secret", "rbee_0123456789abcdef_s\u00e9cret",
        "rbee_0123456789abcdef_" + "x" * 300,
    ],
    ids=["empty", "prefix", "no-id", "no-secret", "empty-secret", "id", "other", "ascii", "long"],
)  # fmt: skip
def test_what_has_not_the_form_of_a_token_is_none(text):
    assert parse_token(text) is None


def test_a_secret_may_hold_underscores():
    assert parse_token("rbee_0123456789abcdef_a_b-c_")[1] == "a_b-c_"


def test_nobodys_hash_is_compared_when_there_is_none(hasher, monkeypatch):
    compared = []
    verified = TokenHasher._verified
    monkeypatch.setattr(
        TokenHasher, "_verified", lambda self, *a: compared.append(a) or verified(self, *a)
    )
    assert hasher.matching((), "secret") == ""
    assert len(compared) == 1
    assert compared[0][0].startswith("$argon2id$v=19$m=8,t=1,p=1$")


def test_a_hash_that_is_none_matches_nothing(hasher):
    assert hasher.matching(("no hash",), "secret") == ""


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({}, True),
        ({"expires_at": 11.0}, True),
        ({"expires_at": 10.0}, False),
        ({"revoked_at": 10.0}, False),
        ({"revoked_at": 99.0}, False),
    ],
    ids=["plain", "later", "expired", "revoked", "revoked-ahead"],
)
def test_a_token_is_good_until_it_expires_or_is_revoked(fields, good):
    assert TokenRecord(id="t", **fields).good_at(10.0) is good


# ---- the throttle ----------------------------------------------------------------------------


CONFIG = ThrottleConfig(free=2, first=1, longest=4, forget=100, addresses=3, pending=2)


def fail(throttle, client, now):
    throttle.begin(client, now)
    throttle.end(client, now, failed=True)


def pause(throttle, client, now):
    try:
        throttle.begin(client, now)
    except Throttled as refused:
        return refused.retry_after
    throttle.end(client, now, failed=False)
    return 0.0


def test_each_failure_beyond_the_free_ones_doubles_the_pause():
    throttle, now, pauses = Throttle(CONFIG), 0.0, []
    for _ in range(6):
        fail(throttle, "10.0.0.1", now)
        pauses.append(pause(throttle, "10.0.0.1", now))
        now += pauses[-1]
    assert pauses == [0.0, 0.0, 1.0, 2.0, 4.0, 4.0]
    assert pause(throttle, "10.0.0.2", now) == 0.0
    assert issubclass(Throttled, QuotaExceeded)


def test_an_address_is_forgotten():
    throttle = Throttle(CONFIG)
    for _ in range(4):
        fail(throttle, "10.0.0.1", len(throttle) * 10.0)
        throttle._known["10.0.0.1"].blocked_until = 0.0
    assert len(throttle) == 1
    assert pause(throttle, "10.0.0.9", 1000.0) == 0.0
    assert len(throttle) == 0


def test_the_table_is_bounded_and_the_oldest_goes_first():
    throttle = Throttle(CONFIG)
    for number in range(5):
        fail(throttle, f"10.0.0.{number}", float(number))
    assert len(throttle) == 3
    assert list(throttle._known) == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]


def test_one_address_has_few_tokens_checked_at_once():
    throttle = Throttle(CONFIG)
    throttle.begin("10.0.0.1", 0.0)
    throttle.begin("10.0.0.1", 0.0)
    assert pause(throttle, "10.0.0.1", 0.0) == 1.0
    throttle.end("10.0.0.1", 0.0, failed=False)
    assert pause(throttle, "10.0.0.1", 0.0) == 0.0


def test_one_ipv6_network_is_one_address():
    throttle = Throttle(CONFIG)
    for number in range(3):
        fail(throttle, f"2001:db8::{number}", 0.0)
    assert pause(throttle, "2001:db8::ffff", 0.0) == 1.0
    assert pause(throttle, "2001:db8:0:1::1", 0.0) == 0.0
    fail(throttle, "::ffff:10.0.0.1", 0.0)
    assert "10.0.0.1" in throttle._known
    fail(throttle, "a unix socket", 0.0)
    assert "a unix socket" in throttle._known
