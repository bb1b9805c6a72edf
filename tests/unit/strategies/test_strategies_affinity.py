"""Session affinity: faithful, even, and never beyond the bound."""

from collections import Counter
from math import ceil, sqrt

from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler import InferenceRequest, WorkerRegistry
from rbee_scheduler.testing import fleet, free_workers
from rbee_scheduler_strategies import LeastInFlight, SessionAffinity


AFFINITY = SessionAffinity()
EXPECTED = ["w2", "w5", "w0", "w3", "w4"]
SESSIONS = st.text(min_size=1, max_size=30)


def ask(session):
    return InferenceRequest(job_id="j", model="m", prompt="Hi", session_id=session)


def order(session, workers, *, strategy=AFFINITY, turn=0, seed=0):
    snapshot = fleet(workers, turn=turn, seed=seed)
    return strategy.rbee_select_worker(ask(session), snapshot.free("m"), snapshot)


def homes(workers, count):
    """Return the workers of ``count`` sessions on an idle fleet."""
    snapshot = fleet(workers)
    candidates = snapshot.free("m")
    select = AFFINITY.rbee_select_worker
    return [select(ask(f"chat-{n}"), candidates, snapshot)[0] for n in range(count)]


# ---- faithful --------------------------------------------------------------------------------


@given(session=SESSIONS, turn=st.integers(0, 10**6), seed=st.integers(0, 2**64 - 1))
def test_neither_turn_nor_chance_nor_the_order_of_workers_matters(session, turn, seed):
    workers = free_workers(6)
    expected = order(session, workers)
    assert order(session, workers, turn=turn, seed=seed) == expected
    assert order(session, workers[::-1], strategy=SessionAffinity()) == expected


def test_the_order_of_a_session_is_the_same_in_every_release_and_process():
    # A change of the formula moves every session of every deployment: all caches go cold.
    assert order("chat-7", free_workers(6)) == EXPECTED


@given(session=SESSIONS, gone=st.integers(0, 7))
def test_when_a_worker_leaves_only_its_own_sessions_move(session, gone):
    workers = free_workers(8)
    before = order(session, workers)
    after = order(session, [w for w in workers if w.id != f"w{gone}"])
    kept = [name for name in before if name != f"w{gone}"]
    assert after[: len(kept)] == kept


def test_the_sessions_of_one_that_left_spread_over_all_others():
    workers = free_workers(5)
    before, after = homes(workers, 2000), homes(workers[1:], 2000)
    moved = Counter(new for old, new in zip(before, after, strict=True) if old == "w0")
    assert all(old == new for old, new in zip(before, after, strict=True) if old != "w0")
    mean = moved.total() / 4
    assert all(abs(moved[w.id] - mean) < 5 * sqrt(mean) for w in workers[1:])


def test_a_session_returns_when_its_worker_has_room_again():
    workers = free_workers(3, slots=2)
    home, second, _ = order("chat-7", workers)
    full = [w.revised(running=2) if w.id == home else w for w in workers]
    assert order("chat-7", full)[0] == second
    assert order("chat-7", workers)[0] == home


# ---- even ------------------------------------------------------------------------------------


def test_sessions_spread_evenly_over_equal_workers():
    placed = Counter(homes(free_workers(8), 4000))
    assert all(abs(placed[f"w{n}"] - 500) < 5 * sqrt(500) for n in range(8))


def test_sessions_spread_by_slots():
    slots = (1, 2, None, 5)  # unknown slots count as 8
    workers = [w.revised(slots=s) for w, s in zip(free_workers(4), slots, strict=True)]
    placed = Counter(homes(workers, 4000))
    for worker in workers:
        mean = 4000 * (worker.slots or 8) / 16
        assert abs(placed[worker.id] - mean) < 5 * sqrt(mean)


# ---- bounded ---------------------------------------------------------------------------------


@given(
    sessions=st.lists(st.sampled_from("abc"), max_size=60),
    size=st.integers(1, 6),
    factor=st.sampled_from([1.0, 1.1, 1.25, 2.0, 10.0]),
)
def test_no_worker_ever_has_more_than_its_share_times_the_factor(sessions, size, factor):
    strategy, registry = SessionAffinity(factor), WorkerRegistry()
    for worker in free_workers(size):
        registry.add(worker)
    for placed, session in enumerate(sessions, 1):
        snapshot = registry.snapshot()
        named = strategy.rbee_select_worker(ask(session), snapshot.free("m"), snapshot)
        registry.reserve(named[0])
        most = max(w.in_flight for w in registry.snapshot().workers())
        assert most <= ceil(factor * placed / size)


@given(
    loads=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 8)), min_size=1, max_size=8),
    session=SESSIONS,
)
def test_the_first_in_the_sessions_order_that_is_under_the_bound(loads, session):
    idle = [
        w.revised(slots=slots)
        for w, (slots, _) in zip(free_workers(len(loads)), loads, strict=True)
    ]
    busy = [
        w.revised(running=min(running, w.slots - 1))
        for w, (_, running) in zip(idle, loads, strict=True)
    ]
    share = 1.25 * (sum(w.running for w in busy) + 1) / sum(w.slots for w in busy)
    allowed = {w.id for w in busy if w.running < share * w.slots}
    # Beyond every bound a fleet can reach, the order of ranks alone.
    ranks = []
    while len(ranks) < len(idle):
        left = [w for w in idle if w.id not in ranks]
        ranks.append(order(session, left, strategy=SessionAffinity(1e9))[0])
    assert order(session, busy) == [name for name in ranks if name in allowed][:5]


def test_counts_beyond_all_reason_are_still_answered():
    workers = free_workers(2, running=2**60)
    assert order("chat-7", workers, strategy=SessionAffinity(1.0), turn=1) == ["w1", "w0"]


# ---- the rest --------------------------------------------------------------------------------


@given(running=st.lists(st.integers(0, 7), min_size=1, max_size=9), turn=st.integers(0, 99))
def test_without_a_session_the_least_loaded(running, turn):
    workers = [
        w.revised(running=n) for w, n in zip(free_workers(len(running)), running, strict=True)
    ]
    snapshot = fleet(workers, turn=turn)
    expected = LeastInFlight().rbee_select_worker(snapshot.free("m"), snapshot)
    assert order(None, workers, turn=turn) == order("", workers, turn=turn) == expected


def test_any_text_is_a_session():
    assert order("\ud800", free_workers(2))


def test_digests_of_workers_that_come_and_go_do_not_pile_up(monkeypatch):
    strategy = SessionAffinity()
    monkeypatch.setattr(type(strategy._digests), "LIMIT", 10)
    first = order("chat-7", free_workers(8), strategy=strategy)
    for n in range(50):
        order("chat-7", [w.changed(id=f"{n}-{w.id}") for w in free_workers(4)], strategy=strategy)
        assert len(strategy._digests) <= 10
    assert order("chat-7", free_workers(8), strategy=strategy) == first
