"""How far past its limit of 50 ms an attack runs: the worst of each kind, as wall time.

Nothing is asserted of the time: a busy machine adds what it likes. The bar is limit + 20 ms
on a quiet one.
"""

import pytest

from rbee_scheduler_script import rhai


ATTACKS = {
    "loop": "loop { }",
    "nested map": "let a = [1]; a.pad(1000, 1); loop { a.map(|x| a.map(|y| a.map(|z| z))) }",
    "sort that never agrees": "let a = []; a.pad(50000, 1); loop { a.sort(|x, y| 1); }",
    "json": 'let s = "["; s.pad(100000, "[],"); s += "[]]"; '
    "loop { try { parse_json(s); } catch { } }",
    "text in over a large array": 'let a = ["a"]; a.pad(50000, "b"); loop { "zz" in a; }',
    "replace": 'let s = "a"; s.pad(100000, "ab"); '
    'loop { s.replace("a", "b"); s.replace("b", "a"); }',
    "aliases": "let a = [1, 2]; for i in 0..60 { a = [a, a]; } a == a",
    "growing closures": "let a = []; loop { let b = a; a.push(|| b); }",
    "nesting": "let a = []; loop { a = [a]; }; a",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(benchmark, name):
    program = rhai.compile(ATTACKS[name])

    def attack():
        with pytest.raises(rhai.RhaiError):
            program.eval()

    benchmark.pedantic(attack, rounds=5)
