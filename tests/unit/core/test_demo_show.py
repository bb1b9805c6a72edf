"""The demo's records, its report, and what it shows, without a worker or a terminal."""

import logging
import re
from os import terminal_size

import pytest

from rbee_scheduler import (
    End,
    Error,
    Outcome,
    Queued,
    Started,
    StreamReadError,
    Token,
    Usage,
    WorkerError,
)
from rbee_scheduler.demo._live import LiveShow, clip
from rbee_scheduler.demo._notes import policy_notes
from rbee_scheduler.demo._record import Record, report_of
from rbee_scheduler.demo._scenario import Scenario
from rbee_scheduler.demo._show import PlainShow, SilentShow


def ended(job_id="j", worker_id="w1", first=10.0, total=100.0, tokens=5, **more):
    return Outcome(
        job_id=job_id, kind=more.pop("kind", "success"), worker_id=worker_id,
        first_token_ms=first, total_ms=total, usage=Usage(completion_tokens=tokens), **more,
    )  # fmt: skip


def record(*events, job_id="j", lane=0, expected=" a b"):
    made = Record(job_id=job_id, lane=lane, prompt="?", expected=expected)
    for event in events:
        made.take(event)
    return made


class Server:
    url, pid = "http://127.0.0.1:1", 42


# ---- records --------------------------------------------------------------------------------


def test_a_record_follows_its_request_over_workers():
    moved = record(
        Queued("j", 1),
        Started("j", "w1"),
        Token(" a"),
        Started("j", "w2", 2),
        Token(" b"),
        End(ended()),
    )
    assert (moved.worker_id, moved.attempts, moved.moved) == ("w2", 2, ["w1"])
    assert (moved.text, moved.pieces, moved.exact, moved.error) == (" a b", 2, True, None)


def test_a_wrong_text_is_not_exact():
    assert not record(Token(" a"), End(ended())).exact
    assert not record(Token(" a b")).exact  # not ended


def test_the_report_counts():
    error = WorkerError("broken", status=500)
    records = [
        record(Started("1", "w1"), Token(" a b"), End(ended(first=1, total=10)), job_id="1"),
        record(
            Started("2", "w1"), Started("2", "w2", 2), Token(" a b"),
            End(ended(worker_id="w2", first=3, total=30)), job_id="2",
        ),
        record(
            Started("3", "w2"), Token("?"), End(ended(worker_id="w2", first=2, total=20)),
            job_id="3",
        ),
        record(Started("4", "w2"), Error(error, ended(kind="error", error=error)), job_id="4"),
        record(job_id="5"),
    ]  # fmt: skip
    report = report_of(
        records, backend="trio", strategy="s", seconds=3.0, workers=["w1", "w2", "w3"], killed="w1"
    )
    assert (report.requests, report.completed, report.exact, report.retried) == (5, 3, 2, 1)
    assert (report.first_token_p50, report.first_token_p99) == (2, 3)
    assert (report.total_p50, report.total_p99) == (20, 30)
    assert (report.tokens, report.tokens_per_second, report.good) == (15, 5.0, False)
    assert [(w.worker_id, w.requests, w.killed) for w in report.workers] == [
        ("w1", 1, True), ("w2", 2, False), ("w3", 0, False),
    ]  # fmt: skip
    assert report.failures == {
        "3": "the text is not as expected: '?'", "4": "broken", "5": "it was not sent",
    }  # fmt: skip


def test_the_report_of_nothing():
    report = report_of([], backend="x", strategy="s", seconds=0.0, workers=["w"], killed="")
    assert (report.total_p99, report.tokens_per_second, report.workers[0].share) == (0, 0, 0)


@pytest.mark.parametrize(
    ("requests", "concurrency", "workers", "slots", "half"),
    [(40, 8, 3, 3, 20), (8, 4, 2, 2, 4), (8, 8, 2, 4, 0), (1, 8, 2, 4, 0), (10, 4, 4, 1, 5)],
)
def test_the_kill_comes_half_way_or_while_others_are_yet_to_begin(
    requests, concurrency, workers, slots, half
):
    scenario = Scenario(requests=requests, concurrency=concurrency, workers=workers)
    assert (scenario.slots, scenario.half) == (slots, half)


# ---- plain lines ------------------------------------------------------------------------------


def test_plain_lines():
    said = []
    show = PlainShow(said.append)
    show.begin({"w1": Server()}, "simple")
    failed = StreamReadError("gone")
    one = record(job_id="job-1")
    for event in (
        Queued("job-1", 1), Started("job-1", "w1"), Token(" a"), Started("job-1", "w2", 2),
        Token(" b"), End(ended(worker_id="w2")),
    ):  # fmt: skip
        one.take(event)
        show.event(one, event)
    show.killed("w1", Server())
    other = record(Started("job-2", "w1"), Started("job-2", "w2"), job_id="job-2")
    show.event(other, Started("job-2", "w2"))
    event = Error(failed, ended(kind="error", error=failed))
    other.take(event)
    show.event(other, event)
    show.end()
    assert said == [
        "w1 is llama.cpp at http://127.0.0.1:1, process 42\n",
        "strategy simple\n",
        "job-1 waits for a worker\n",
        "job-1 -> w1\n",
        "job-1 -> w2, for w1 failed it after 1 piece of text\n",
        "job-1 done by w2 (10 ms to the first token, 100 ms in all): a b\n",
        "*** w1 was killed (SIGKILL to process 42)\n",
        "job-2 -> w2, for w1 failed it before its first token\n",
        "job-2 failed: gone\n",
    ]


def test_silence():
    show = SilentShow()
    show.begin({}, "s")
    show.event(record(), Token("x"))
    show.killed("w", Server())
    show.end()


# ---- a terminal -----------------------------------------------------------------------------


class Terminal:
    """Understands what the show writes, and nothing else; keeps what stands on it."""

    def __init__(self, columns=60, lines=12):
        self.size = terminal_size((columns, lines))
        self.lines = [""]
        self.row = 0
        self.cursor_hidden = False
        self.frames = 0

    def write(self, text):
        for token in re.findall(r"\x1b\[[?\d]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if token == "\n":
                self.row += 1
                while len(self.lines) <= self.row:
                    self.lines.append("")
            elif token == "\x1b[J":
                self.lines[self.row :] = [""]
                self.frames += 1
            elif token.startswith("\x1b["):
                if token.endswith("A"):
                    self.row -= int(token[2:-1])
                    assert self.row >= 0
                    assert self.row > len(self.lines) - 1 - self.size.lines, "it has scrolled away"
                else:
                    self.cursor_hidden = {"\x1b[?25l": True, "\x1b[?25h": False}[token]
            elif token != "\r":
                assert len(token) < self.size.columns
                self.lines[self.row] = token


def live(terminal, now, **more):
    options = {"requests": 4, "concurrency": 2, "slots": 2} | more
    return LiveShow(terminal.write, lambda: terminal.size, clock=lambda: now[0], **options)


def test_the_block_shows_workers_and_requests():
    terminal, now = Terminal(), [0.0]
    show = live(terminal, now)
    show.begin({"w1": Server(), "w2": Server()}, "simple")
    one, two = record(job_id="job-1"), record(job_id="job-2", lane=1)
    for each, event in (
        (one, Started("job-1", "w1")), (one, Token(" a")), (two, Queued("job-2", 1)),
    ):  # fmt: skip
        each.take(event)
        show.event(each, event)
    assert terminal.cursor_hidden
    assert terminal.lines[2:-1] == [
        "[........................] 0/4 done, 0.0 s, simple",
        "  w1 [*-] served 0",
        "  w2 [--] served 0",
        "  job-1 w1 a",
        "  job-2 waits ",
    ]
    one.take(End(ended()))
    one.text = one.expected
    show.event(one, End(ended()))
    show.killed("w2", Server())
    assert terminal.lines[2:-1] == [
        "*** w2 was killed (SIGKILL to process 42)",
        "[######..................] 1/4 done, 0.0 s, simple",
        "  w1 [--] served 1",
        "  w2 [killed] served 0",
        "  job-1 w1 a b",
        "  job-2 waits ",
    ]
    show.end()
    assert not terminal.cursor_hidden
    assert terminal.lines[-2:] == ["*** w2 was killed (SIGKILL to process 42)", ""]


def test_tokens_draw_at_most_twenty_pictures_a_second():
    terminal, now = Terminal(), [0.0]
    show = live(terminal, now)
    show.begin({"w1": Server()}, "simple")
    one = record(Started("j", "w1"))
    before = terminal.frames
    for step in range(1000):
        now[0] = step / 1000.0
        show.event(one, Token("x"))
    assert terminal.frames - before == 19


def test_a_move_and_a_wrong_text_stay_above():
    terminal, now = Terminal(), [0.0]
    show = live(terminal, now)
    show.begin({"w1": Server(), "w2": Server()}, "simple")
    one = record(Started("j", "w1"), Token(" a"), Started("j", "w2", 2))
    show.event(one, Started("j", "w2", 2))
    one.take(End(ended(worker_id="w2")))
    show.event(one, End(ended(worker_id="w2")))
    show.end()
    assert terminal.lines[2:] == [
        "j -> w2, for w1 failed it after 1 piece of text",
        "j WRONG TEXT by w2 (10 ms to the first token, 100 ms in all",
        "",
    ]


def test_a_small_terminal_is_enough():
    terminal, now = Terminal(columns=24, lines=5), [0.0]
    show = live(terminal, now, concurrency=8)
    show.begin({"w1": Server(), "w2": Server(), "w3": Server()}, "simple")
    for lane in range(8):
        show.event(record(Started("job", "w1"), Token("x" * 200), lane=lane), Started("job", "w1"))
    assert len(terminal.lines) == 3 + 4 + 1  # said, the block, and the line after it


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("abc", 2, "ab"), ("abc", 9, "abc"), ("a\x1b[31mb\n\tc", 9, "a[31mbc"),
        ("🐝🐝", 3, "🐝"), ("e\u0301e", 1, "e\u0301"), ("a\u202eb", 9, "ab"), ("abc", 0, ""),
    ],
)  # fmt: skip
def test_clip(text, columns, expected):
    assert clip(text, columns) == expected


async def test_what_the_log_says_of_policies_is_shown(caplog):
    said = []
    show = PlainShow(said.append)
    logger = logging.getLogger("rbee_scheduler.policy")
    before = (logger.level, logger.propagate, list(logger.handlers))
    async with policy_notes(show.note):
        logger.info("policy %s: version 2\n decides now", "p")
        logger.debug("too much")
        logging.getLogger("rbee_scheduler").warning("something else")
    logger.info("later")
    assert said == ["*** policy p: version 2 decides now\n"]
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    SilentShow().note("nothing")


def test_a_note_stays_above_the_block():
    terminal, now = Terminal(), [0.0]
    show = live(terminal, now)
    show.begin({"w1": Server()}, "policy")
    show.note("policy p: version 2 decides now")
    above = terminal.lines.index("*** policy p: version 2 decides now")
    assert terminal.lines[above + 1].endswith("0/4 done, 0.0 s, policy")
