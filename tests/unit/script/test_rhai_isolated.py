from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from rbee_scheduler_script import rhai
from rbee_scheduler_script.rhai import _isolated


@pytest.fixture(scope="module")
def program():
    source = """
        fn double(x) { print(x); x * 2 }
        fn all() { [1, 2.5, 'c', "s", (), true, 1..3, #{a: [1]}] }
        fn pointer() { |x| x }
        fn fail(w) {
          throw #{code: w.id} }
        fn spin() { loop { } }
    """
    with rhai.Isolated(source) as made:
        yield made


def test_calls_and_results_travel(program):
    assert program.call("double", 4) == 8
    assert program.output == ["4"]
    with rhai.Isolated("print(total); total + 1") as other:
        assert other.eval({"total": 41}) == 42
        assert other.output == ["41"]
    span = {"start": 1, "end": 3, "inclusive": False}
    assert program.call("all") == [1, 2.5, "c", "s", None, True, span, {"a": [1]}]


def test_errors_travel(program):
    with pytest.raises(rhai.RhaiError) as caught:
        program.call("fail", {"id": 7})
    error = caught.value
    assert (error.kind, error.value, error.where) == ("ErrorRuntime", {"code": 7}, (6, 11))
    assert error.snippet.endswith("^")
    with pytest.raises(rhai.RhaiError, match="ErrorTerminated"):
        program.call("spin")
    with pytest.raises(rhai.RhaiError, match="ErrorFunctionNotFound"):
        program.call("nope")
    assert program.call("double", 1) == 2


def test_what_cannot_travel_is_refused(program):
    with pytest.raises(rhai.RhaiError, match="FnPtr"):
        program.call("pointer")
    with pytest.raises(rhai.RhaiError, match="object"):
        program.call("double", object())
    assert program.call("double", 1) == 2


def test_a_script_that_does_not_compile_fails_at_once():
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.Isolated("let = 1")
    assert (caught.value.kind, caught.value.where) == ("ErrorParsing/VariableExpected", (1, 5))


def test_the_address_space_is_limited():
    limits = rhai.Limits(
        memory=1 << 40, string_size=1 << 40, array_size=1 << 40, time_ms=20_000, operations=10**12
    )
    source = 'fn f() { let a = []; let s = "x"; s.pad(1000000000, "x"); 1 } fn g() { 2 }'
    with rhai.Isolated(source, limits=limits, memory=300 * 1024 * 1024) as program:
        with pytest.raises(rhai.RhaiError, match="ErrorDataTooLarge"):
            program.call("f")
        assert program.call("g") == 2


def test_a_child_that_hangs_is_killed_and_replaced():
    with rhai.Isolated("fn f() { 1 }", grace=0.2) as program:
        child = program._child
        # Nobody will answer: the child is stopped, not dead.
        subprocess.run(["kill", "-STOP", str(child.pid)], check=True)
        with pytest.raises(rhai.RhaiError, match="ErrorTerminated"):
            program.call("f")
        assert child.poll() is not None
        assert program.call("f") == 1


def test_a_child_that_dies_is_replaced():
    with rhai.Isolated("fn f() { 1 }") as program:
        program._child.kill()
        with pytest.raises(rhai.RhaiError, match="the process ended"):
            program.call("f")
        assert program.call("f") == 1


def test_the_child_sees_neither_the_environment_nor_files():
    assert _isolated._COMMAND[0] == "-I"
    with rhai.Isolated("fn f() { 1 }") as program:
        child = Path("/proc") / str(program._child.pid)
        if not child.exists():
            pytest.skip("no /proc")
        assert (child / "environ").read_bytes() == b""
        limits = (child / "limits").read_text()
        assert re.search(r"Max open files +0 +0", limits)
        assert re.search(r"Max address space +536870912 +536870912", limits)
