from __future__ import annotations

import pytest

from rbee_scheduler_script import rhai
from rbee_scheduler_script.rhai._meter import STRIDE, Meter


class Clock:
    def __init__(self):
        self.now = 0.0
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return self.now


def meter(**limits):
    clock = Clock()
    return Meter(rhai.Limits(**limits), clock), clock


def failure(call, *arguments):
    with pytest.raises(rhai.RhaiError) as caught:
        call(*arguments)
    assert not caught.value.catchable
    return caught.value.kind


def test_steps_run_out():
    it, _ = meter(operations=10_000)
    it.charge(10_000)
    assert failure(it.charge, 1) == "ErrorTooManyOperations"
    assert failure(it.charge, 0) == "ErrorTooManyOperations"


def test_time_runs_out_and_stays_out():
    it, clock = meter(time_ms=50)
    it.charge(STRIDE + 1)
    clock.now = 0.051
    it.charge(1)
    assert failure(it.charge, STRIDE) == "ErrorTerminated"
    clock.now = 0.0
    assert failure(it.charge, 1) == "ErrorTerminated"


def test_the_clock_is_looked_at_once_a_stride():
    it, clock = meter(operations=100 * STRIDE)
    for _ in range(50 * STRIDE // 8):
        it.charge(8)
    assert 49 <= clock.looks <= 52


def test_depth_and_memory_and_sizes():
    it, _ = meter(call_depth=2, memory=1_000, string_size=50, array_size=10, map_size=3, nesting=4)
    it.enter()
    it.enter()
    assert failure(it.enter) == "ErrorStackOverflow"
    it.depth -= 1
    it.enter()
    for call, size in (
        (it.text, 51),
        (it.array, 11),
        (it.map, 4),
        (it.nested, 5),
        (it.allocate, 2_000),
    ):
        assert failure(call, size) == "ErrorDataTooLarge"


def test_the_limits_of_a_run_are_enforced_inside_it():
    def kind(source, **limits):
        with pytest.raises(rhai.RhaiError) as caught:
            rhai.compile(source, limits=rhai.Limits(**limits)).eval()
        return caught.value.kind

    assert kind("fn f(n) { if n > 0 { f(n - 1) } } f(10)", call_depth=10) == "ErrorStackOverflow"
    assert kind("let a = []; for i in 0..200 { a.push(i) }", array_size=100) == "ErrorDataTooLarge"
    assert (
        kind('let s = "a"; loop { s += "bbbbbbbbbbbb"; }', string_size=1_000) == "ErrorDataTooLarge"
    )
    assert (
        kind("let m = #{}; for i in 0..200 { m[`${i}`] = i }", map_size=100) == "ErrorDataTooLarge"
    )
    assert kind("for i in 0..1000 { i }", operations=100) == "ErrorTooManyOperations"
    assert (
        kind("let a = [1]; a.pad(900, 1); a.map(|x| x + x + x)", operations=2_000)
        == "ErrorTooManyOperations"
    )


def test_an_injected_clock_makes_time_limits_exact():
    clock = Clock()
    program = rhai.compile(
        "fn f() { let n = 0; while n < 100000 { n += 1; tick(); } n }",
        functions={"tick": lambda: setattr(clock, "now", clock.now + 1e-6)},
        clock=clock,
        limits=rhai.Limits(time_ms=50, operations=10**9),
    )
    with pytest.raises(rhai.RhaiError) as caught:
        program.call("f")
    assert caught.value.kind == "ErrorTerminated"
    # One round is some ten steps and a microsecond: one stride late at most.
    assert 0.05 <= clock.now <= 0.05 + STRIDE * 1e-6
