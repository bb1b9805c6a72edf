"""What a command says: streams, JSON, tables, colours, and terminals that can't show everything."""

import io
import json

import attrs
import pytest

from rbee_scheduler.cli._output import Output, plain, safe, use_color


class Terminal(io.StringIO):
    def isatty(self):
        return True


@attrs.frozen
class Row:
    name: str
    share: float
    tags: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("choice", "environ", "terminal", "expected"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "0"}, False, False),
        ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours_go_where_they_are_welcome(choice, environ, terminal, expected):
    stream = Terminal() if terminal else io.StringIO()
    assert use_color(choice, stream, environ) is expected


def test_a_closed_stream_is_no_terminal():
    stream = io.StringIO()
    stream.close()
    assert use_color("auto", stream, {}) is False


def test_data_goes_to_stdout_and_messages_to_stderr(capsys):
    output = Output(color="never")
    output.emit({"a": 1}, "one")
    output.message("told")
    output.detail("not told")
    output.warn("careful")
    assert capsys.readouterr() == ("one\n", "told\nwarning: careful\n")


def test_quiet_and_verbose(capsys):
    for verbosity in (-2, -1, 0, 1):
        output = Output(verbosity=verbosity, color="never")
        output.warn("w")
        output.message("m")
        output.detail("d")
        output.print(str(verbosity))
    assert capsys.readouterr() == (
        "-2\n-1\n0\n1\n",
        "warning: w\nwarning: w\nm\nwarning: w\nm\nd\n",
    )


def test_json_in_place_of_text(capsys):
    output = Output(as_json=True)
    output.emit([Row("ü", float("nan"), ("x",))], lambda: pytest.fail("text is not made"))
    output.json_line({"n": 1})
    *lines, last = capsys.readouterr().out.splitlines()
    assert json.loads("\n".join(lines)) == [{"name": "ü", "share": None, "tags": ["x"]}]
    assert last == '{"n": 1}'


def test_json_is_escaped_where_there_is_no_unicode(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    Output(as_json=True).json_line("λ")
    assert raw.getvalue() == b'"\\u03bb"\n'


def test_plain_values():
    assert plain({1: {"b": (1, 2.5, True, None)}, "p": range(1)}) == {
        "1": {"b": [1, 2.5, True, None]},
        "p": "range(0, 1)",
    }
    assert plain(float("inf")) is None


def test_a_table_is_aligned_also_with_wide_and_combining_characters():
    text = Output().table(
        ("name", "value"),
        [("日本", 1.0), ("e\u0301", None), ("x", ()), ("y", ("a", "b")), ("z", False)],
    )
    lines = text.replace("\x1b[1m", "").replace("\x1b[0m", "").split("\n")
    assert lines == ["NAME  VALUE", "日本  1", "e\u0301     -", "x     -", "y     a, b", "z     no"]


def test_a_table_without_rows_is_its_headings():
    assert "NAME" in Output().table(("name",), [])


def test_no_escape_sequence_gets_through_a_table():
    text = Output().table(("name",), [("gpu\x1b[2J\nx",), (("a\x07", "b"),)])
    assert "gpu\\x1b[2J x" in text
    assert "a\\x07, b" in text


def test_safe_keeps_what_is_harmless():
    assert safe("a\tb\nü\x00\x9b") == "a\tb\nü\\x00\\x9b"


@pytest.mark.parametrize(
    ("terminal", "term", "options", "expected"),
    [
        (True, "xterm", {}, True),
        (False, "xterm", {}, False),
        (True, "dumb", {}, False),
        (True, "xterm", {"verbosity": -1}, False),
        (True, "xterm", {"as_json": True}, False),
    ],
)
def test_progress_is_drawn_only_on_a_terminal(monkeypatch, terminal, term, options, expected):
    monkeypatch.setattr("sys.stderr", Terminal() if terminal else io.StringIO())
    monkeypatch.setenv("TERM", term)
    assert Output(**options).live is expected
