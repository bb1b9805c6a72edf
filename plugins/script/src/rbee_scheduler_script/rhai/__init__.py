"""Rhai for Python: scripts compiled to Python code objects, metered and sandboxed.

    from rbee_scheduler_script import rhai

    program = rhai.compile("fn cheapest(workers) { workers.order_by(|a, b| a.cost < b.cost)[0] }")
    program.call("cheapest", [{"id": "a", "cost": 2}, {"id": "b", "cost": 1}])

This package knows nothing of schedulers. `docs/rhai.md` describes the language as it runs here.

**Functions of the host.** `compile(source, functions={...})` takes a mapping of names. A plain
callable gets the script's arguments as they are: dicts, lists, strings, numbers, bools and None,
never copies, read-only by contract. It is called as `f(a, b)` and as `a.f(b)` alike; how many
arguments a script may pass is read from its signature. It hides the standard function of the same
name and number of arguments.

A function whose work grows with its arguments, or that takes a closure, is made with `host` and
gets the `Run` first:

    @rhai.host
    def min_by(run, items, key):
        keys = run.map_items(key, items)            # one Python call per item, metered in slices
        return items[keys.index(min(keys))] if items else None

    @rhai.host(types=(list,), checked=False)
    def total(run, items):
        run.charge(len(items))                      # O(n) work of its own: pay first
        return sum(items)

* `run.charge(steps)` pays for work and looks at the clock when due; `run.allocate(bytes)`,
  `run.array(size)`, `run.map(size)` and `run.text(size)` pay for what is about to be built and
  check its size. Pay before the work, at about one step for 50 ns.
* `run.map_items(closure, items)` answers what a closure says about each item, in order;
  `run.filter_items` the items it accepts; `run.first_item` the index of the first; `run.call` calls
  it once with any arguments. The closure's cost is charged for 512 items at a time, so an item
  costs one Python call and nothing else; a closure of two parameters gets the index too, one of
  none finds the item in `this`.
* `raise run.fail("...")` fails in a way the script may catch; a `RhaiError` of any kind passes
  through; any other exception becomes `ErrorSystem`, whose message names only its class
  (`__cause__` has the rest, for the host's log).
* `types=` asks for exact types (`list`, `dict`, `str`, `int`, `float`, `bool`, `rhai.FnPtr`, ...):
  with others the standard function of that name is called, or there is an ErrorFunctionNotFound.
* `checked=False` leaves out the check that the result is a script value, which saves one Python
  call: for functions called once per element.

What a host function answers may share structure with its arguments: a script that changes it
changes its own copy.
"""

from __future__ import annotations

from ._errors import RhaiError
from ._hosts import HostFunction, host
from ._isolated import Isolated
from ._lexer import Comment
from ._limits import Limits
from ._parser import parse
from ._program import Program, compile  # noqa: A004 - `rhai.compile`, like `re.compile`
from ._run import Run
from ._values import Blob, Char, FnPtr, Range


__all__ = [
    "Blob", "Char", "Comment", "FnPtr", "HostFunction", "Isolated", "Limits", "Program", "Range",
    "RhaiError", "Run", "compile", "host", "parse",
]  # fmt: skip
