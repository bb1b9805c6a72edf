"""The collections behind a snapshot against a dict and a sorted list."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rbee_scheduler import _persistent
from rbee_scheduler._persistent import BucketMap, ChunkedSequence, OrderedSlots


MANY = 100_000
keys = st.integers(0, 40)


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    """Chunks of 4, so that a few dozen entries make many of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_persistent, "CHUNK", 4)
        yield


class BucketMapMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.map = BucketMap()
        self.model = {}
        self.frozen = []

    @rule(key=keys, value=st.integers())
    def set(self, key, value):
        self.map.set(key, value)
        self.model[key] = value

    @rule(key=keys)
    def remove(self, key):
        self.map.remove(key)
        self.model.pop(key, None)

    @precondition(lambda self: len(self.frozen) < 5)
    @rule()
    def freeze(self):
        frozen = self.map.freeze()
        assert frozen is self.map.freeze()
        self.frozen.append((frozen, dict(self.model)))

    @invariant()
    def it_is_the_dict(self):
        same(self.map, self.model)

    @invariant()
    def frozen_maps_never_change(self):
        for frozen, model in self.frozen:
            same(frozen, model)


def same(mapping, model):
    assert len(model) == len(mapping)
    assert [model.get(key) for key in range(41)] == [mapping.get(key) for key in range(41)]


class OrderedSlotsMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.slots = OrderedSlots()
        self.model = {}
        self.frozen = []

    @rule(slot=keys, value=st.integers())
    def set(self, slot, value):
        self.slots.set(slot, value)
        self.model[slot] = value

    @rule(slot=keys)
    def remove(self, slot):
        self.slots.remove(slot)
        self.model.pop(slot, None)

    @precondition(lambda self: not self.model)
    @rule()
    def fill(self):
        for slot in range(30):
            self.set(slot, slot)

    @precondition(lambda self: len(self.frozen) < 5)
    @rule()
    def freeze(self):
        self.frozen.append((self.slots.freeze(), in_order(self.model)))

    @invariant()
    def it_is_the_sorted_list(self):
        assert len(self.model) == len(self.slots)
        assert in_order(self.model) == tuple(self.slots.freeze())

    @invariant()
    def frozen_sequences_never_change(self):
        for frozen, model in self.frozen:
            assert (len(model), model) == (len(frozen), tuple(frozen))

    @invariant()
    def chunks_are_neither_empty_nor_long_nor_many(self):
        sizes = [len(chunk) for chunk in self.slots._values]
        assert all(0 < size <= _persistent.CHUNK for size in sizes)
        assert [len(chunk) for chunk in self.slots._keys] == sizes


def in_order(model):
    return tuple(model[slot] for slot in sorted(model))


TestBucketMap = BucketMapMachine.TestCase
TestOrderedSlots = OrderedSlotsMachine.TestCase
TestBucketMap.settings = TestOrderedSlots.settings = settings(
    max_examples=60, stateful_step_count=40
)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), max_size=5), st.data())
def test_a_chunked_sequence_is_the_tuple(chunks, data):
    flat = tuple(value for chunk in chunks for value in chunk)
    sequence = ChunkedSequence(tuple(map(tuple, chunks)), len(flat))
    assert flat == tuple(sequence)
    assert sequence == flat
    assert sequence == ChunkedSequence((flat,), len(flat))
    assert sequence != (*flat, 0)
    assert sequence != list(flat)
    assert flat[::-1] == tuple(reversed(sequence))
    bound = st.none() | st.integers(-12, 12)
    cut = slice(data.draw(bound), data.draw(bound), data.draw(bound.filter(lambda n: n != 0)))
    assert flat[cut] == sequence[cut]
    for index in range(-len(flat), len(flat)):
        assert flat[index] == sequence[index]
    for index in (len(flat), -len(flat) - 1):
        with pytest.raises(IndexError):
            sequence[index]
    assert flat.count(3) == sequence.count(3)
    assert (3 in flat) == (3 in sequence)


def test_a_chunked_sequence_shows_its_length_and_has_no_hash():
    sequence = ChunkedSequence(((1, 2), (3,)), 3)
    assert repr(sequence) == "<ChunkedSequence of 3>"
    with pytest.raises(TypeError):
        hash(sequence)


# ---- what a change costs, at full size -------------------------------------------------


@pytest.fixture
def full_size(monkeypatch):
    monkeypatch.setattr(_persistent, "CHUNK", 256)


@pytest.mark.usefixtures("full_size")
def test_a_change_of_a_large_map_copies_one_bucket():
    edited = BucketMap()
    for key in range(MANY):
        edited.set(key, key)
    before = edited.freeze()
    edited.set(MANY // 2, "new")
    edited.set(MANY // 2, "newer")
    after = edited.freeze()
    assert copied(before._buckets, after._buckets) == 1
    assert (before.get(MANY // 2), after.get(MANY // 2)) == (MANY // 2, "newer")
    edited.remove("unknown")
    assert after is edited.freeze()


@pytest.mark.usefixtures("full_size")
def test_a_change_of_a_large_sequence_copies_one_chunk():
    edited = OrderedSlots()
    for slot in range(MANY):
        edited.set(slot, slot)
    assert len(edited._values) <= MANY // 256 + 1  # appending leaves full chunks behind
    for change in (
        lambda: edited.set(MANY // 2, "new"),
        lambda: edited.remove(MANY // 2),
        lambda: edited.set(MANY // 2, "back"),
        lambda: edited.set(MANY, "last"),
    ):
        before = edited.freeze()
        change()
        assert copied(before._chunks, edited.freeze()._chunks) <= 2


@pytest.mark.usefixtures("full_size")
def test_a_fleet_that_comes_and_goes_leaves_no_small_chunks_behind():
    edited = OrderedSlots()
    for slot in range(MANY):
        edited.set(slot, slot)
        if slot >= 1000 and slot % 100:
            edited.remove(slot - 1000)  # one in a hundred stays
    assert len(edited._values) < 4 * len(edited) / 128


def copied(before, after):
    """How many chunks of ``after`` are not shared with ``before``."""
    shared = Counter(map(id, before))
    return sum(not shared[id(chunk)] for chunk in after)
