from __future__ import annotations

import threading

import pytest

from rbee_scheduler_script import rhai


def test_eval_and_call():
    program = rhai.compile("fn f(a) { a + 1 } fn f(a, b) { a * b } f(1) + f(2, 3)")
    assert program.eval() == 8
    assert [program.call("f", 2), program.call("f", 2, 3)] == [3, 6]
    assert program.functions() == {"f": (1, 2)}


def test_call_of_a_function_that_is_not_there():
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile("fn f(a) {}").call("g", 1)
    assert caught.value.message == "Function not found: g (i64); the script has f/1"
    with pytest.raises(rhai.RhaiError, match="Function not found"):
        rhai.compile("fn f(a) {}").call("f")


def test_the_top_level_runs_once_for_its_constants():
    calls = []
    program = rhai.compile(
        'const LIMIT = [count()]; let other = 5; const F = |x| x * 2; print("once"); '
        "fn f(x) { [global::LIMIT[0], global::F.call(x)] }",
        functions={"count": lambda: calls.append(1) or len(calls)},
    )
    assert [program.call("f", 2), program.call("f", 3)] == [[1, 4], [1, 6]]
    assert calls == [1]


def test_a_top_level_that_fails_fails_every_call():
    program = rhai.compile('throw "no"; fn f() { 1 }')
    for _ in range(2):
        with pytest.raises(rhai.RhaiError) as caught:
            program.call("f")
        assert (caught.value.kind, caught.value.value) == ("ErrorRuntime", "no")


def test_a_constant_s_closure_is_metered_by_the_run_that_calls_it():
    program = rhai.compile(
        "const SPIN = || { loop { } }; fn f() { global::SPIN.call() } fn g() { 1 }",
        limits=rhai.Limits(operations=10_000),
    )
    assert program.call("g") == 1
    with pytest.raises(rhai.RhaiError, match="TooManyOperations"):
        program.call("f")
    assert program.call("g") == 1


def test_results_are_plain_python():
    value = rhai.compile("[1, 2.5, true, (), \"s\", 'c', [1], #{a: 1}, 1..=3, |x| x]").eval()
    assert [int, float, bool, type(None), str, rhai.Char, list, dict, rhai.Range, rhai.FnPtr] == [
        type(item) for item in value
    ]
    assert list(value[8].numbers()) == [1, 2, 3]
    assert rhai.compile("2.bits(1, 2)").eval() == [True, False]


def test_structure_is_shared_not_copied():
    workers = [{"id": "a", "geo": {}}, {"id": "b"}]
    assert rhai.compile("fn f(w) { w }").call("f", workers) is workers
    assert rhai.compile("fn f(w) { w[1] }").call("f", workers) is workers[1]
    changed = rhai.compile("fn f(w) { w[1].id = 5; w }").call("f", workers)
    assert changed[0] is workers[0]
    assert changed == [{"id": "a", "geo": {}}, {"id": 5}]


def test_output_is_of_the_latest_run_of_the_thread():
    program = rhai.compile('fn f(x) { print(x); debug("q"); } fn g() {}')
    assert program.output == []
    program.call("f", 1)
    assert program.output == ["1", '"q"']
    other = []
    thread = threading.Thread(target=lambda: other.append((program.call("f", 2), program.output)))
    thread.start()
    thread.join()
    assert other[0][1] == ["2", '"q"']
    assert program.output == ["1", '"q"']
    program.call("g")
    assert program.output == []


def test_a_program_is_re_entrant():
    programs = []

    def again(n):
        return programs[0].call("f", n - 1) if n else 0

    programs.append(
        rhai.compile(
            "fn f(n) { let a = []; a.push(n); a.push(again(n)); a }", functions={"again": again}
        )
    )
    assert programs[0].call("f", 3) == [3, [2, [1, [0, 0]]]]


def test_threads_share_a_program():
    program = rhai.compile(
        "const K = 3; "
        "fn f(n) { let a = [n]; for i in 0..50 { a[0] += i * global::K; a += i; } a[0] }",
        limits=rhai.Limits(time_ms=10_000),
    )
    want = {n: n + 3 * sum(range(50)) for n in range(8)}
    got = {}
    barrier = threading.Barrier(8)

    def work(n):
        barrier.wait()
        got[n] = {program.call("f", n) for _ in range(50)}

    threads = [threading.Thread(target=work, args=(n,)) for n in want]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: {value} for n, value in want.items()} == got


def test_an_inner_program_s_error_keeps_its_place():
    inner = rhai.compile("fn f() {\n  nope() }")
    outer = rhai.compile("\n\n  go_in()", functions={"go_in": lambda: inner.call("f")})
    with pytest.raises(rhai.RhaiError) as caught:
        outer.eval()
    assert caught.value.where == (2, 3)


def test_exit_ends_everything():
    program = rhai.compile("fn f(a) { try { a.map(|x| exit(#{x: x})); } catch { } 5 }")
    assert program.call("f", [7]) == {"x": 7}


def test_repr_names_the_functions():
    assert repr(rhai.compile("fn f() {} fn g() {}")) == "<rhai.Program (f, g)>"


def test_an_error_carries_its_snippet():
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile("fn f(w) {\n    w.nope()\n}").call("f", 1)
    assert caught.value.snippet == "    w.nope()\n      ^"
    assert dict(caught.value.details) == {"function": "nope (i64)"}


def test_a_snippet_of_a_long_line_is_a_window():
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile("let a = 1; " * 500 + "a.b").eval()
    line, caret = caught.value.snippet.split("\n")
    assert len(line) <= 120
    assert line[len(caret) - 1] == "b"
