"""The seam between scripts and the host's functions."""

from __future__ import annotations

import pytest

from rbee_scheduler_script import rhai


WORKERS = [{"id": f"w{i}", "cost": cost} for i, cost in enumerate([3, 1, 2])]


@rhai.host
def min_by(run, items, key):
    keys = run.map_items(key, items)
    return items[keys.index(min(keys))] if items else None


@rhai.host(types=(list,), checked=False)
def total(run, items):
    run.charge(len(items))
    return sum(items)


def evaluate(source, functions, scope=None, **limits):
    return rhai.compile(source, functions=functions, limits=rhai.Limits(**limits)).eval(scope)


def failure(*arguments, **limits):
    with pytest.raises(rhai.RhaiError) as caught:
        evaluate(*arguments, **limits)
    return caught.value


def test_a_plain_callable_is_a_function_and_a_method():
    functions = {"scale": lambda x, by=2: x * by}
    assert evaluate("[scale(3), scale(3, 3), 3.scale(), 3.scale(3)]", functions) == [6, 9, 6, 9]


def test_the_number_of_arguments_is_part_of_the_name():
    functions = {"scale": lambda x, by=2: x * by, "all_of": lambda *a: len(a), "none": lambda: 1}
    assert (
        failure("scale(1, 2, 3)", functions).message == "Function not found: scale (i64, i64, i64)"
    )
    assert failure("5.none()", functions).message == "Function not found: none (i64)"
    assert evaluate("[all_of(), all_of(1), 1.all_of(2, 3), none()]", functions) == [0, 1, 3, 1]


def test_a_closure_is_called_for_each_item():
    assert WORKERS[1] is evaluate("w.min_by(|x| x.cost)", {"min_by": min_by}, {"w": WORKERS})
    assert WORKERS[2] is evaluate("w.min_by(|x, i| -i)", {"min_by": min_by}, {"w": WORKERS})
    assert WORKERS[1] is evaluate("w.min_by(|| this.cost)", {"min_by": min_by}, {"w": WORKERS})
    assert WORKERS[1] is evaluate(
        "fn c(w) { w.cost } w.min_by(c)", {"min_by": min_by}, {"w": WORKERS}
    )
    assert WORKERS[0] is evaluate(
        "let f = |by, x| by / x.cost; w.min_by(f.curry(3))", {"min_by": min_by}, {"w": WORKERS}
    )


def test_a_closure_of_the_wrong_shape_is_an_error_at_the_call():
    error = failure("let a = [1];\na.min_by(|x, y, z| 1)", {"min_by": min_by})
    assert (error.kind, error.where) == ("ErrorFunctionNotFound", (2, 3))
    assert failure("[1].min_by(5)", {"min_by": min_by}).kind == "ErrorFunctionNotFound"


def test_an_error_inside_a_closure_is_placed_in_the_closure():
    error = failure("[1].min_by(|x|\n  x.nope)", {"min_by": min_by})
    assert (error.kind, error.where) == ("ErrorDotExpr", (2, 5))


def test_types_choose_between_the_host_s_and_the_standard_function():
    @rhai.host(types=(list, int))
    def extract(run, items, n):
        return items[:n]

    functions = {"total": total, "extract": extract}
    assert evaluate("[[1, 2, 3].total(), [1, 2].extract(1)]", functions) == [6, [1]]
    assert failure("total(5)", functions).message == "Function not found: total (i64)"
    assert evaluate("[1, 2, 3].extract(1..3)", functions) == [2, 3]


def test_a_host_function_hides_the_standard_one_of_that_arity_only():
    functions = {"filter": lambda items, wanted: [wanted], "take": lambda items, n: items[:n]}
    assert evaluate(
        "let x = [1]; let y = [1]; let t = x.take(); [[1].filter(5), [1, 2, 3].take(2), [x, t]]",
        functions,
    ) == [[5], [1, 2], [None, [1]]]


def test_a_script_function_hides_the_host_s():
    assert evaluate("fn total(x) { 1 } total([5])", {"total": total}) == 1


def test_work_inside_natives_is_metered():
    source = "let a = [1]; a.pad(50000, 1); a.min_by(|x| x * 2 + 1)"
    assert failure(source, {"min_by": min_by}, operations=100_000).kind == "ErrorTooManyOperations"
    assert evaluate(source, {"min_by": min_by}, operations=10_000_000, time_ms=5_000) == 1


def test_a_closure_that_recurses_through_a_host_function_ends():
    apply = rhai.host(lambda run, f, x: run.call(f, x))
    source = "let f = |x| x; f = |x| apply(f, x); f.call(1)"
    assert failure(source, {"apply": apply}).kind == "ErrorStackOverflow"


def test_the_other_callers():
    @rhai.host
    def probe(run, items, f):
        return [
            run.filter_items(f, items),
            run.first_item(f, items),
            run.first_item(f, items, wanted=False),
        ]

    items = list(range(2_000))
    got = evaluate("items.probe(|x| x > 1500)", {"probe": probe}, {"items": items})
    assert [items[1501:], 1501, 0] == got
    assert evaluate("[].probe(|x| 1)", {"probe": probe}) == [[], -1, -1]


def test_a_host_function_may_fail_in_ways_a_script_can_catch():
    @rhai.host
    def refuse(run, why):
        raise run.fail(f"no: {why}")

    assert (
        evaluate('let r = 0; try { refuse("x") } catch (e) { r = e; } r', {"refuse": refuse})
        == "no: x"
    )
    error = failure('refuse("x")', {"refuse": refuse})
    assert (error.kind, error.message, error.where) == ("ErrorRuntime", "no: x", (1, 1))


def test_a_result_that_is_no_script_value_is_refused():
    assert failure("f()", {"f": lambda: (1, 2)}).kind == "ErrorMismatchDataType"
    assert failure("f()", {"f": object}).kind == "ErrorMismatchDataType"


def test_what_a_host_function_answers_is_not_changed_by_the_script():
    shared = {"tags": ["a"]}
    source = "let x = get(); x.tags.push(1); let y = get(); y.n = 1; [x, y]"
    assert evaluate(source, {"get": lambda: shared}) == [
        {"tags": ["a", 1]},
        {"tags": ["a"], "n": 1},
    ]
    assert shared == {"tags": ["a"]}


def test_arguments_a_host_function_keeps_are_not_changed_later():
    kept = []
    functions = {"keep": kept.append}
    evaluate("let a = [1]; a.push(2); keep(a); a.push(3); a[0] = 9; keep(a);", functions)
    assert kept == [[1, 2], [9, 2, 3]]


def test_a_function_value_reaches_the_host_and_comes_back():
    seen = []
    functions = {"keep": seen.append}
    assert evaluate("keep(|x| x + 1); 5", functions) == 5
    (pointer,) = seen
    assert type(pointer) is rhai.FnPtr

    again = {"again": rhai.host(lambda run: run.call(pointer, 4))}
    assert evaluate("again()", again) == 5


def test_only_what_a_script_calls_is_looked_at():
    class Broken:
        def __call__(self):
            return 1

        @property
        def __signature__(self):
            raise AssertionError

    assert evaluate("1", {"never": Broken()}) == 1
