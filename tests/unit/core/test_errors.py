"""The tree of errors: as drawn, as documented, and what each one says."""

import copy
import pickle
import re
from pathlib import Path

import pytest

from rbee_scheduler import (
    NoWorkersAvailable,
    PluginError,
    PolicyTimeout,
    SchedulerError,
    WorkerError,
    _errors,
)


DOCS = Path(__file__).parents[3] / "docs" / "errors.md"
TREE = [getattr(_errors, name) for name in _errors.__all__]
DRAWN = re.compile(
    r"^    (?P<lines>[│ ├└─]*)(?P<name>\w+) +(?P<code>[A-Z_]+) +(?P<status>\d{3})  \S"
)
ROW = re.compile(
    r"^\| `(?P<code>[A-Z_]+)` \| `(?P<name>\w+)` \| (?P<status>\d{3}) \| (?P<retry>[^|]+) \|"
)


def depth(error):
    return error.__mro__.index(SchedulerError)


def drawn():
    return [row for line in _errors.__doc__.splitlines() if (row := DRAWN.match(line))]


def documented():
    # The other packages' errors stand in sections of their own: tests/unit/docs.
    lines = DOCS.read_text("utf-8").split("\n## Reference\n")[1].split("\n## ")[0].splitlines()
    return {row["name"]: row for line in lines if (row := ROW.match(line))}


def test_the_drawn_tree_is_the_class_tree():
    expected = {(error.__name__, error.code, error.http_status, depth(error)) for error in TREE}
    seen = {(r["name"], r["code"], int(r["status"]), len(r["lines"]) // 4) for r in drawn()}
    assert expected == seen


def test_each_drawn_error_stands_under_its_base():
    path = []
    for row in drawn():
        del path[len(row["lines"]) // 4 :]
        base = getattr(_errors, row["name"]).__base__.__name__
        assert (path[-1] if path else "Exception") == base
        path.append(row["name"])


def test_codes_are_unique_and_upper_case():
    codes = [error.code for error in TREE]
    assert sorted(set(codes)) == sorted(codes)
    assert all(re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code) for code in codes)


def test_every_error_is_public():
    import rbee_scheduler

    assert set(_errors.__all__) <= set(rbee_scheduler.__all__)


@pytest.mark.parametrize("error", TREE)
def test_docs_describe(error):
    row = documented()[error.__name__]
    assert (error.code, error.http_status) == (row["code"], int(row["status"]))
    if error is not WorkerError:  # it depends on the worker's status, and the row says so
        assert row["retry"].startswith("yes" if error.retryable else "no")


def test_docs_describe_nothing_else():
    assert set(_errors.__all__) == set(documented())


@pytest.mark.parametrize(
    ("place", "hint", "text"),
    [
        ("", "", "it broke"),
        ("$.top_p", "", "$.top_p: it broke"),
        ("", "mend it", "it broke (mend it)"),
        ("a.toml:3:1", "mend it", "a.toml:3:1: it broke (mend it)"),
    ],
)
def test_text_has_place_and_hint(place, hint, text):
    assert text == str(SchedulerError("it broke", place=place, hint=hint))


def test_dict_has_what_is_known_and_nothing_else():
    expected = {"code": "NO_WORKERS_AVAILABLE", "message": "none", "retryable": True}
    assert expected == NoWorkersAvailable("none").to_dict()
    full = NoWorkersAvailable("none", hint="h", place="p", retry_after=0.0, worker_id="w")
    more = {"hint": "h", "place": "p", "retry_after": 0.0, "worker_id": "w"}
    assert expected | more == full.to_dict()


def test_a_plugin_error_names_the_plugin():
    error = PolicyTimeout("too slow", plugin="rules", distribution="acme 1.2", hook="rbee_reserve")
    assert str(error) == "plugin 'rules' (acme 1.2) in rbee_reserve: too slow"
    named = {"plugin": "rules", "distribution": "acme 1.2", "hook": "rbee_reserve"}
    assert named.items() <= error.to_dict().items()


def test_a_plugin_error_without_names_is_just_its_message():
    assert str(PluginError("too slow")) == "too slow"
    assert {"code", "message", "retryable"} == set(PluginError("too slow").to_dict())


@pytest.mark.parametrize("status", [0, 200, 408, 425, 429, 500, 503, 599])
def test_another_worker_may_succeed_after(status):
    error = WorkerError("no", status=status)
    assert (error.at_fault, error.retryable) == (True, True)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 501])
def test_no_other_worker_helps_after(status):
    error = WorkerError("no", status=status, body=b"{}")
    assert (error.at_fault, error.retryable) == (False, False)
    assert status == error.to_dict()["status"]


def test_errors_can_be_copied_and_pickled():
    error = WorkerError("no", status=503, body=b"x", place="$.a", worker_id="w")
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(error), error.to_dict(), 503) == (str(twin), twin.to_dict(), twin.status)
