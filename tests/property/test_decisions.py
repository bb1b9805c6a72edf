"""Laws of the decision, for any fleet, any request and any honest plugin."""

import json

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from rbee_scheduler import Plugins, Scores, Soft, decide, hookimpl
from rbee_scheduler._explain import explain_decision
from rbee_scheduler._normalise import normalise
from rbee_scheduler._trace import Trace
from rbee_scheduler.testing import fleet, strategies


MODEL = st.just("m")
NEVER, ALWAYS = st.sampled_from([False]), st.sampled_from([True])
REQUESTS = strategies.requests(model=MODEL)
WORKERS = st.lists(
    strategies.workers(
        model=st.sampled_from("mmo"),
        status=st.sampled_from(["ready", "ready", "busy", "failed"]),
        geo=st.none(),
    ),
    max_size=7,
    unique_by=lambda w: w.id,
)
quick = settings(max_examples=40, deadline=None)


@attrs.frozen(eq=False)
class Policy:
    """A plugin that is a pure function of its arguments, drawn at random."""

    gpus: int
    soft: bool
    by: str
    better: str
    declared: bool
    selects: bool
    fails: str = ""

    def _may_fail(self, hook):
        if hook == self.fails:
            raise RuntimeError("drawn to fail")

    @hookimpl
    def rbee_filter_workers(self, candidates):
        self._may_fail("filter")
        drops = {w.id: f"{w.gpus} GPUs" for w in candidates if w.gpus < self.gpus}
        return Soft(drops) if self.soft else drops

    @hookimpl
    def rbee_score_workers(self, candidates):
        self._may_fail("score")
        bounds = {"lowest": 0, "highest": 100} if self.declared else {}
        values = {w.id: getattr(w, self.by) for w in candidates}
        return Scores(values, better=self.better, **bounds)

    @hookimpl
    def rbee_select_worker(self, candidates, snapshot):
        self._may_fail("select")
        if not self.selects:
            return None
        chosen = snapshot.random().sample([w.id for w in candidates], len(candidates))
        turn = snapshot.turn % len(chosen)
        return chosen[turn:] + chosen[:turn]


def policies(**fixed):
    fields = {
        "gpus": st.integers(0, 6),
        "soft": st.booleans(),
        "by": st.sampled_from(["load", "gpu_util_pct", "cost_per_token", "vram_mb"]),
        "better": st.sampled_from(["higher", "lower"]),
        "declared": st.booleans(),
        "selects": st.booleans(),
        "fails": st.sampled_from(["", "", "", "filter", "score", "select"]),
    }
    return st.builds(Policy, **{**fields, **fixed})


def deciding(request, workers, plugins, *, turn=0, seed=0, trace=None, failures=None):
    chain = Plugins(plugins).chain("best-score")
    on_failure = None if failures is None else failures.append
    snapshot = fleet(workers, turn=turn, seed=seed)
    return decide(request, snapshot, chain, trace=trace, on_failure=on_failure)


def order(decision):
    return [decision.worker.id, *decision.fallbacks] if decision.worker else []


@quick
@given(
    REQUESTS, WORKERS, st.lists(policies(), max_size=3), st.integers(0, 99), st.integers(0, 2**64)
)
def test_the_same_snapshot_request_turn_and_seed_give_the_same_decision(
    request, workers, plugins, turn, seed
):
    once = deciding(request, workers, plugins, turn=turn, seed=seed)
    again = deciding(request, workers, plugins, turn=turn, seed=seed)
    assert once == again
    assert repr(once) == repr(again)


@quick
@given(REQUESTS, WORKERS, st.lists(policies(), max_size=3), st.integers(0, 99))
def test_looking_changes_nothing_and_explain_says_what_the_decision_says(
    request, workers, plugins, turn
):
    trace = Trace()
    decision = deciding(request, workers, plugins, turn=turn, trace=trace)
    assert decision == deciding(request, workers, plugins, turn=turn)
    explained = explain_decision(request, fleet(workers), decision, trace)
    assert explained.action == decision.action
    assert [explained.worker_id, *explained.fallbacks] == (order(decision) or [""])
    placed = sorted((w.place, w.worker_id) for w in explained.workers if w.place)
    assert [name for _, name in placed] == order(decision)
    plain = json.loads(json.dumps(explained.to_dict(), allow_nan=False))
    assert plain["reason"] == decision.reason
    assert all(w.worker_id in explained.to_text() for w in explained.workers)


@quick
@given(REQUESTS, WORKERS, st.lists(policies(), max_size=3))
def test_whoever_is_chosen_is_free_and_serves_and_nobody_is_chosen_only_when_it_must_be(
    request, workers, plugins
):
    decision = deciding(request, workers, plugins)
    free = {w.id for w in workers if w.free and w.serves("m")}
    assert set(order(decision)) <= free
    assert len(order(decision)) == len(set(order(decision)))
    assert (decision.action == "reject") == (decision.error is not None)
    if decision.action == "dispatch":
        assert decision.reason == ""
    else:
        assert decision.reason


class Seen:
    """A selector that notes who is left, and has no opinion."""

    def __init__(self):
        self.ids = None

    @hookimpl
    def rbee_select_worker(self, candidates):
        self.ids = [w.id for w in candidates]


FILTERS = policies(selects=NEVER, fails=st.just(""))


@quick
@given(REQUESTS, WORKERS, st.lists(FILTERS, min_size=2, max_size=3))
def test_the_order_of_filters_does_not_matter(request, workers, filters):
    forth, back = Seen(), Seen()
    once = deciding(request, workers, [*filters, forth])
    again = deciding(request, workers, [*reversed(filters), back])
    assert (once.action, forth.ids) == (again.action, back.ids)


HONEST = policies(fails=st.just(""), selects=NEVER, declared=ALWAYS, soft=NEVER)


@quick
@given(REQUESTS, WORKERS, st.lists(HONEST, max_size=3), st.data())
def test_without_a_worker_that_was_not_chosen_the_choice_is_the_same(
    request, workers, plugins, data
):
    chosen = order(deciding(request, workers, plugins))[:1]
    others = [w for w in workers if [w.id] != chosen]
    if not chosen or not others:
        return
    gone = data.draw(st.sampled_from(others))
    left = [w for w in workers if w is not gone]
    assert order(deciding(request, left, plugins))[:1] == chosen


@quick
@given(
    REQUESTS,
    WORKERS,
    st.lists(policies(), max_size=2),
    st.lists(strategies.workers(model=st.just("o")), max_size=3, unique_by=lambda w: w.id),
)
def test_workers_of_other_models_change_no_decision(request, workers, plugins, others):
    names = {w.id for w in workers}
    mixed = [*(w for w in others if w.id not in names), *workers]
    once, again = deciding(request, workers, plugins), deciding(request, mixed, plugins)
    assert (once.action, order(once), once.reason) == (again.action, order(again), again.reason)


@quick
@given(REQUESTS, WORKERS, policies(fails=st.sampled_from(["filter", "score", "select"])))
def test_a_plugin_that_fails_costs_a_name_and_never_the_request(request, workers, plugin):
    failures = []
    decision = deciding(request, workers, [plugin], failures=failures)
    free = [w.id for w in workers if w.free and w.serves("m")]
    if failures and decision.action == "dispatch":
        assert decision.strategy == "first-available"
        assert failures[0].plugin == "Policy"
    if not failures and plugin.fails == "filter":
        assert not free


NUMBERS = st.none() | st.floats(-1e150, 1e150) | st.sampled_from([float("nan"), float("inf")])


@given(
    st.lists(NUMBERS, min_size=1, max_size=12),
    st.sampled_from(["higher", "lower"]),
    st.floats(0, 1e6),
    st.none() | st.floats(-1e9, 0),
    st.none() | st.floats(1, 1e9),
)
def test_scores_become_0_to_the_weight_and_keep_their_order(raw, better, weight, lowest, highest):
    scores = Scores({}, better=better, lowest=lowest, highest=highest)
    scaled = normalise(raw, scores, weight)
    assert len(scaled) == len(raw)
    assert all(0.0 <= s <= weight for s in scaled)
    known = [(v, s) for v, s in zip(raw, scaled, strict=True) if v is not None and abs(v) < 1e300]
    ranked = [s for _, s in sorted(known, key=lambda pair: pair[0], reverse=better == "lower")]
    assert ranked == sorted(ranked)


@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=12), st.floats(0.1, 10))
def test_over_a_range_that_is_seen_the_best_gets_the_weight(raw, weight):
    scaled = normalise(raw, Scores({}), weight)
    assert max(scaled) == weight
    assert min(scaled) == (weight if min(raw) == max(raw) else 0.0)
