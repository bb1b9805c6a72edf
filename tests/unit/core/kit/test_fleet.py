"""Samples, fleets and hypothesis strategies of the kit."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbee_scheduler import InferenceRequest, Plugins, Snapshot, Worker, testing
from rbee_scheduler.testing import fleet, free_workers, strategies
from rbee_scheduler.testing._samples import sample_request, samples


def test_free_workers_are_free_and_alike_but_for_their_names():
    workers = free_workers(3, slots=2, model="x")
    assert [w.id for w in workers] == ["w0", "w1", "w2"]
    assert {(w.free, w.slots, w.model) for w in workers} == {(True, 2, "x")}
    assert len({w.url for w in workers}) == 3


def test_a_fleet_is_a_snapshot_with_its_turn_and_seed():
    snapshot = fleet(free_workers(2), turn=4, seed=9)
    assert (len(snapshot), snapshot.turn, snapshot.seed) == (2, 4, 9)
    assert snapshot.random().random() == Random(9).random()


def test_samples_are_the_same_each_time_and_of_all_kinds():
    plugins = Plugins([])
    once, again = list(samples(plugins)), list(samples(plugins))
    assert once == again
    workers = [worker for _, _, fleet_ in once for worker in fleet_]
    assert {w.status for w in workers} == {"ready", "busy", "failed"}
    assert {w.online for w in workers} == {True, False}
    assert {w.slots for w in workers} == {None, 2, 4}
    assert {len(fleet_) for _, _, fleet_ in once} >= {0, 1, 8}
    requests = [request for _, request, _ in once]
    assert {r.priority for r in requests} == {"interactive", "batch"}
    assert {r.tenant_id for r in requests} == {None, "t-1", "t-2"}


def test_a_sample_request_follows_its_generator():
    assert sample_request(Random(3)) == sample_request(Random(3))


@settings(max_examples=15)
@given(strategies.requests(), strategies.workers(), strategies.snapshots(max_size=4))
def test_the_strategies_make_valid_records(request, worker, snapshot):
    assert isinstance(request, InferenceRequest)
    assert isinstance(worker, Worker)
    assert isinstance(snapshot, Snapshot)
    assert worker.slots is None or worker.running <= worker.slots
    assert len({w.id for w in snapshot.workers()}) == len(snapshot)


@settings(max_examples=15)
@given(
    strategies.requests(model=st.just("x")),
    strategies.workers(status=st.just("failed")),
    strategies.snapshots(max_size=2, model=st.just("y")),
)
def test_fields_can_be_fixed(request, worker, snapshot):
    assert (request.model, worker.status) == ("x", "failed")
    assert len(snapshot.with_model("y")) == len(snapshot) <= 2


def test_every_exported_name_of_the_kit_is_there():
    assert sorted(testing.__all__) == testing.__all__ == dir(testing)
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        testing.nothing  # noqa: B018 - the access is the test
