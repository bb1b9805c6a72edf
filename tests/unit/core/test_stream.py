"""One request on one worker: limits, ends, and what is raised when."""

import anyio
import anyio.lowlevel
import pytest

from rbee_scheduler import (
    Cancelled,
    DeadlineExceeded,
    InferenceRequest,
    LimitsConfig,
    ParseError,
    SchedulerConfig,
    StreamConnectionFailed,
    StreamReadError,
    TimeoutConfig,
    Worker,
    WorkerCommunicationFailed,
    WorkerError,
    WorkerTimeout,
)
from rbee_scheduler._patience import Patience
from rbee_scheduler._stream import WorkerStream
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport, completion


LIMITS = TimeoutConfig(connect=2.0, first_token=30.0, idle=10.0, cancel=3.0)
JSON = {"content-type": "application/json"}


def job(*before):
    """A queen worker's answer to a job."""
    return MemoryResponse([*before, b'{"job_id": "7", "sse_url": "/s"}'], headers=JSON)


class Desk:
    """A stream over a transport in memory, on a virtual clock."""

    def __init__(self, *answers, protocol="openai", ends_at=1000.0, **limits):
        self.clock = VirtualClock()
        self.patience = Patience(self.clock, ends_at)
        self.answers = iter(answers)
        self.transport = MemoryTransport(self.answer)
        self.stream = WorkerStream(
            Worker(id="w", url="http://w:1", model="m", protocol=protocol),
            InferenceRequest(job_id="j", model="m", prompt="Hi"),
            transport=self.transport,
            clock=self.clock,
            config=SchedulerConfig(timeout=LIMITS, limits=LimitsConfig(**limits)),
            patience=self.patience,
        )

    async def answer(self, call):
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            await answer()
        return answer

    def pause(self, seconds):
        return lambda: self.clock.sleep(seconds)

    async def read(self):
        """Open, read to the end, close."""
        pieces = []
        try:
            await self.stream.open()
            while (piece := await self.stream.next()) is not None:
                pieces.append(piece.text or piece.finish_reason or piece.data)
        except Exception as problem:  # noqa: BLE001 - compared by the tests
            pieces.append(problem)
        await self.stream.aclose()
        return pieces

    async def read_in_time(self):
        """The same, while time passes as fast as it can."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.clock.autojump)
            pieces = await self.read()
            tasks.cancel_scope.cancel()
        return pieces

    @property
    def paths(self):
        return [call.url.removeprefix("http://w:1") for call in self.transport.calls]


def check_error(problem, kind, match):
    assert type(problem) is kind
    assert match in problem.message, problem


async def test_a_stream():
    desk = Desk(MemoryResponse(completion(["a", "b"])))
    assert await desk.read() == ["a", "b", "stop", "[DONE]"]
    assert [r.closed for r in desk.transport.responses] == [1]
    assert await desk.stream.next() is None


async def test_a_queen_stream():
    desk = Desk(
        job(),
        MemoryResponse([b"data: a\n\ndata: [DONE]\n\n"]),
        protocol="queen",
    )
    assert await desk.read() == ["a", "[DONE]"]
    assert desk.paths == ["/v1/inference", "/s"]
    assert [r.closed for r in desk.transport.responses] == [1, 1]


async def test_the_limit_for_connecting_is_the_configured_one():
    desk = Desk(MemoryResponse(completion([])))
    await desk.read()
    assert [call.connect_timeout for call in desk.transport.calls] == [2.0]


# Time limits


async def test_silence_before_the_headers():
    desk = Desk(anyio.sleep_forever)
    check_error((await desk.read_in_time())[0], WorkerTimeout, "kept silent too long")
    assert desk.clock.monotonic() == 30.0


@pytest.mark.parametrize("opening", [0.0, 29.0])
async def test_the_first_event_is_counted_from_the_sending(opening):
    desk = Desk(MemoryResponse([anyio.sleep_forever]))
    response = MemoryResponse([anyio.sleep_forever])

    async def answer(_):
        await desk.clock.sleep(opening)
        return response

    desk.transport._answer = answer
    check_error((await desk.read_in_time())[0], WorkerTimeout, "kept silent too long")
    assert desk.clock.monotonic() == 30.0
    assert response.closed == 1


async def test_idle_between_events():
    desk = Desk()
    steps = [*completion(["a"], done=False), desk.pause(9.0), *completion(["b"], done=False)]
    desk.answers = iter([MemoryResponse([*steps, anyio.sleep_forever])])
    pieces = await desk.read_in_time()
    assert pieces[:2] == ["a", "b"]
    check_error(pieces[2], WorkerTimeout, "kept silent too long")
    assert desk.clock.monotonic() == 19.0


async def test_the_time_that_a_caller_takes_is_not_the_workers_silence():
    desk = Desk()
    steps = [*completion(["a"], done=False), desk.pause(9.0), *completion(["b"], done=False)]
    desk.answers = iter([MemoryResponse([*steps, anyio.sleep_forever])])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.clock.autojump)
        await desk.stream.open()
        assert (await desk.stream.next()).text == "a"
        await desk.clock.sleep(50.0)
        assert (await desk.stream.next()).text == "b"
        with pytest.raises(WorkerTimeout):
            await desk.stream.next()
        tasks.cancel_scope.cancel()
    assert desk.clock.monotonic() == 50.0 + 9.0 + 10.0


async def test_without_patience_only_the_workers_silence_ends_it():
    desk = Desk()
    steps = [step for n in range(200) for step in (desk.pause(9.0), *completion("x", done=False))]
    desk.answers = iter([MemoryResponse([*steps, anyio.sleep_forever])])
    desk.stream = WorkerStream(
        Worker(id="w", url="http://w:1", model="m"),
        InferenceRequest(job_id="j", model="m", prompt="Hi"),
        transport=desk.transport,
        clock=desk.clock,
        config=SchedulerConfig(timeout=LIMITS),
    )
    *pieces, problem = await desk.read_in_time()
    assert pieces == ["x"] * 200
    check_error(problem, WorkerTimeout, "kept silent too long")


async def test_comments_do_not_count_as_events():
    desk = Desk()
    steps = [*completion(["a"], done=False), *[desk.pause(4.0), b": ping\n\n"] * 9]
    desk.answers = iter([MemoryResponse(steps)])
    pieces = await desk.read_in_time()
    check_error(pieces[1], WorkerTimeout, "kept silent too long")
    assert desk.clock.monotonic() == 10.0


async def test_after_the_reason_for_ending_little_is_waited_for():
    finish = b'data: {"choices": [{"text": "", "finish_reason": "stop"}]}\n\n'
    desk = Desk(MemoryResponse([finish, anyio.sleep_forever]))
    assert await desk.read_in_time() == ["stop"]
    assert desk.clock.monotonic() == 5.0


@pytest.mark.parametrize(
    "rest",
    [
        b"data: nonsense\n\n",
        b'data: {"error": "x"}\n\n',
        WorkerCommunicationFailed("cut"),
        b"x" * 99,
    ],
    ids=["nonsense", "error", "cut", "too long"],
)
async def test_after_the_reason_for_ending_nothing_can_go_wrong(rest):
    finish = b'data: {"choices": [{"text": "b", "finish_reason": "stop"}]}\n\n'
    desk = Desk(MemoryResponse([finish, rest]), max_line_bytes=80)
    assert await desk.read() == ["b"]


async def test_the_requests_own_time_ends_it():
    desk = Desk(MemoryResponse([*completion(["a"], done=False), anyio.sleep_forever]), ends_at=4.0)
    pieces = await desk.read_in_time()
    check_error(pieces[1], DeadlineExceeded, "time ran out")
    assert desk.clock.monotonic() == 4.0


async def test_an_error_status_does_not_wait_for_the_error():
    desk = Desk(MemoryResponse([b"busy", anyio.sleep_forever], status=503))
    check_error((await desk.read_in_time())[0], WorkerError, "the worker answered 503: busy")
    assert desk.clock.monotonic() == 5.0


async def test_a_queen_worker_that_is_slow_at_both_steps():
    desk = Desk(protocol="queen")
    desk.answers = iter([job(desk.pause(20.0)), anyio.sleep_forever, MemoryResponse(status=200)])
    check_error((await desk.read_in_time())[0], WorkerTimeout, "kept silent too long")
    assert desk.clock.monotonic() == 30.0
    assert desk.paths == ["/v1/inference", "/s", "/v1/cancel"]


async def test_cancelling_has_a_limit():
    desk = Desk(
        job(),
        WorkerCommunicationFailed("refused"),
        anyio.sleep_forever,
        protocol="queen",
    )
    check_error((await desk.read_in_time())[0], StreamConnectionFailed, "refused")
    assert desk.clock.monotonic() == 3.0
    assert desk.transport.calls[2].connect_timeout == 3.0


async def test_cancelling_may_fail():
    desk = Desk(
        job(),
        MemoryResponse(status=404),
        WorkerCommunicationFailed("refused"),
        protocol="queen",
    )
    check_error((await desk.read())[0], WorkerError, "the worker answered 404")


# Sizes


async def test_the_line_limit():
    steps = [*completion(["a"], done=False), b"data: ", *[b"x" * 50] * 99]
    desk = Desk(MemoryResponse(steps), max_line_bytes=200)
    pieces = await desk.read()
    assert pieces[0] == "a"
    check_error(pieces[1], StreamReadError, "more than 200 bytes")
    assert "limits.max_line_bytes" in pieces[1].hint


async def test_a_whole_answer_has_a_limit():
    desk = Desk(MemoryResponse([b"x" * 60] * 9, headers=JSON), max_answer_bytes=100)
    check_error((await desk.read())[0], ParseError, "longer than 100 bytes")


async def test_an_error_page_is_cut():
    desk = Desk(MemoryResponse([b"<p>\n" * 1000] * 1000, status=500))
    (problem,) = await desk.read()
    check_error(problem, WorkerError, "the worker answered 500: <p> <p> ")
    assert len(problem.message) < 400
    assert len(problem.body) == 16 * 1024


async def test_an_error_page_that_breaks():
    desk = Desk(MemoryResponse([b"sorry, ", WorkerCommunicationFailed("cut")], status=502))
    check_error((await desk.read())[0], WorkerError, "the worker answered 502: sorry,")


# Kinds of answers


@pytest.mark.parametrize("status", [300, 301, 307, 400, 404, 422, 429, 500, 503])
async def test_a_status_that_is_no_success(status):
    (problem,) = await Desk(MemoryResponse(status=status)).read()
    check_error(problem, WorkerError, f"the worker answered {status}")
    assert problem.at_fault == (status not in {400, 404, 422})


async def test_a_whole_answer_instead_of_a_stream():
    body = b'{"choices": [{"text": "all of it", "finish_reason": "stop"}]}'
    desk = Desk(MemoryResponse([body[:9], body[9:]], headers=JSON))
    assert await desk.read() == ["all of it"]


async def test_a_charset_and_capitals_in_the_content_type():
    headers = {"content-type": "Text/Event-Stream; charset=utf-8"}
    assert await Desk(MemoryResponse(completion(["a"]), headers=headers)).read() == [
        "a", "stop", "[DONE]",
    ]  # fmt: skip


async def test_no_content_type_is_taken_for_a_stream():
    assert (await Desk(MemoryResponse(completion(["a"]), headers={})).read())[0] == "a"


async def test_a_content_type_that_is_no_stream():
    desk = Desk(MemoryResponse(completion(["a"]), headers={"content-type": "text/html"}))
    check_error((await desk.read())[0], ParseError, "'text/html' instead of an event stream")


async def test_a_queen_stream_that_is_json():
    desk = Desk(
        job(),
        MemoryResponse([b"{}"], headers=JSON),
        MemoryResponse(),
        protocol="queen",
    )
    check_error((await desk.read())[0], ParseError, "'application/json' instead")


async def test_a_queen_worker_may_stream_at_once():
    desk = Desk(MemoryResponse([b"data: a\n\ndata: [DONE]\n\n"]), protocol="queen")
    assert await desk.read() == ["a", "[DONE]"]


async def test_a_compressed_answer():
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    desk = Desk(MemoryResponse([], headers=headers))
    check_error((await desk.read())[0], ParseError, "compressed its answer")


# Ends


@pytest.mark.parametrize(
    ("body", "close_delimited", "expected"),
    [
        # Nothing at all is no answer.
        ([], False, [StreamReadError]),
        ([b": ping\n\n"], False, [StreamReadError]),
        ([b"data: [DONE]\n\n"], False, ["[DONE]"]),
        # The end of a body that tells its end from a cut is an end.
        (["a"], False, ["a"]),
        (["a"], True, ["a", StreamReadError]),
        # A reason for ending, or [DONE], is an end in any case.
        (["a", "stop"], True, ["a", "stop"]),
        (["a", b"data: [DONE]\n\n"], True, ["a", "[DONE]"]),
        # Without the blank line: enough when it says that it is the end.
        (["a", b"data: [DONE]"], True, ["a", "[DONE]"]),
        (["a", b'data: {"choices": [{"text": "b", "finish_reason": "stop"}]}'], True, ["a", "b"]),
        (["a", b'data: {"choices": [{"text": "b"}]}'], False, ["a", StreamReadError]),
        (["a", b'data: {"choices": [{"te'], False, ["a", StreamReadError]),
        # What follows the end is not read.
        (["a", b"data: [DONE]\n\ndata: [DONE]\n\ndata: nonsense\n\n"], False, ["a", "[DONE]"]),
        # An error after text; an event named so is one whatever it says.
        (["a", b'data: {"error": "boom"}\n\n'], False, ["a", WorkerError]),
        (["a", b"event: error\ndata: boom\n\n"], False, ["a", WorkerError]),
        (["a", b"event: error\n\n", "b"], False, ["a", "b"]),
        (["a", b"data: nonsense\n\n"], False, ["a", ParseError]),
        (["a", b"data\n\n", "b"], False, ["a", "b"]),
    ],
)
async def test_ends(body, close_delimited, expected):
    events = {
        "a": next(completion(["a"])),
        "b": next(completion(["b"])),
        "stop": b'data: {"choices": [{"text": "", "finish_reason": "stop"}]}\n\n',
    }
    steps = [events.get(step, step) for step in body]
    whole = b"".join(steps)
    for response in (
        MemoryResponse(steps, close_delimited=close_delimited),
        MemoryResponse([whole] if whole else [], close_delimited=close_delimited),
        MemoryResponse(
            [whole[i : i + 1] for i in range(len(whole))], close_delimited=close_delimited
        ),
    ):
        pieces = await Desk(response).read()
        assert [p if isinstance(p, str) else type(p) for p in pieces] == expected
        assert response.closed == 1


async def test_what_came_before_an_error_is_given_first():
    chunk = b"".join(completion(["a", "b"], done=False)) + b"data: {}\n\n"
    pieces = await Desk(MemoryResponse([chunk])).read()
    assert pieces[:2] == ["a", "b"]
    check_error(pieces[2], ParseError, "unknown event")


async def test_queen_text_that_is_cut_is_not_given():
    desk = Desk(
        job(),
        MemoryResponse([b"data: once\n\ndata: up"]),
        MemoryResponse(),
        protocol="queen",
    )
    pieces = await desk.read()
    assert pieces[0] == "once"
    check_error(pieces[1], StreamReadError, "cut off in the middle of an event")
    assert desk.paths == ["/v1/inference", "/s", "/v1/cancel"]


# Patience


async def test_patience_that_was_lost_before():
    clock = VirtualClock()
    patience = Patience(clock, 10.0)
    patience.cancel()
    with pytest.raises(Cancelled):
        await patience.wait(5.0, LookupError, anyio.lowlevel.checkpoint())
    with pytest.raises(Cancelled):
        await patience.doze(5.0, anyio.Event())
    with pytest.raises(Cancelled):
        patience.check()


async def test_patience_that_ended_before():
    clock = VirtualClock()
    patience = Patience(clock, 10.0)
    clock.advance(11.0)
    assert patience.left() == 0.0
    with pytest.raises(DeadlineExceeded):
        await patience.wait(5.0, LookupError, anyio.sleep_forever())
    with pytest.raises(DeadlineExceeded):
        await patience.doze(5.0, anyio.Event())


async def test_a_wait_that_is_answered_in_time():
    async def seven():
        return 7

    patience = Patience(VirtualClock(), 10.0)
    assert await patience.wait(-1.0, LookupError, seven()) == 7
    event = anyio.Event()
    event.set()
    assert await patience.doze(0.0, event) is None


async def test_the_failure_of_what_is_waited_for_comes_through():
    async def fail():
        raise LookupError

    patience = Patience(VirtualClock(), 10.0)
    with pytest.raises(LookupError):
        await patience.wait(5.0, ValueError, fail())
    assert patience._scope is None
