"""Stopping: what runs may end, what can't is told so once, and nothing is lost silently."""

import anyio
import httpx
import pytest

from rbee_scheduler.testing import FakeWorker, Gate, Script, VirtualClock


SHUTTING_DOWN = "SHUTTING_DOWN"


async def begin_streams(running, tasks, gate, count):
    """Let ``count`` streams stand before the gate; return where their texts will be."""
    answers = []
    for _ in range(count):
        tasks.start_soon(running.stream, answers)
    await gate.wait_for(count)
    return answers


async def test_fifty_streams_under_way_are_finished_and_none_is_lost(running):
    gate = Gate(after=2)
    async with (
        FakeWorker(Script(gate=gate), slots=64) as worker,
        running.open_service(worker) as service,
        anyio.create_task_group() as tasks,
    ):
        answers = await begin_streams(service, tasks, gate, 50)
        service.service.drain()
        await anyio.wait_all_tasks_blocked()
        assert not service.ended.is_set()
        gate.release()
        await service.ended.wait()
    assert [running.content(text) for text in answers] == [Script().text] * 50
    assert [running.events(text)[-1] for text in answers] == ["[DONE]"] * 50


async def test_new_connections_are_refused_while_old_streams_go_on(running):
    gate = Gate(after=1)
    async with (
        FakeWorker(Script(gate=gate)) as worker,
        running.open_service(worker) as service,
        anyio.create_task_group() as tasks,
    ):
        answers = await begin_streams(service, tasks, gate, 1)
        service.service.drain()
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(httpx.ConnectError):
            await service.client.get("/health")
        gate.release()
        await service.ended.wait()
    assert running.errors(answers[0]) == []


async def test_a_service_that_stops_is_not_ready(running, memory):
    async with FakeWorker() as worker, running.open_service(worker) as service:
        before = memory.MemoryExchange("/ready", method="GET")
        await service.gateway.handle(before)
        service.service.drain()
        await service.ended.wait()
        after = memory.MemoryExchange("/ready", method="GET")
        await service.gateway.handle(after)
    assert before.status == 200
    assert after.status == 503
    assert after.json() == {"status": "not ready", "reasons": ["the service stops"]}


async def test_after_drain_seconds_each_stream_gets_one_error_event(running):
    gate, clock = Gate(after=2), VirtualClock()
    async with (
        FakeWorker(Script(gate=gate), slots=8) as worker,
        running.open_service(worker, clock=clock, drain_seconds=20) as service,
        anyio.create_task_group() as tasks,
    ):
        answers = await begin_streams(service, tasks, gate, 5)
        service.service.drain()
        await clock.run_for(19)
        assert answers == []
        await clock.run_for(2)
        await service.ended.wait()
        await worker.wait_for_client_gone(5)  # nobody is left to compute for
    assert [running.errors(text) for text in answers] == [[SHUTTING_DOWN]] * 5
    assert ["error" in running.events(text)[-1] for text in answers] == [True] * 5
    assert service.gateway.active == 0


async def test_a_second_demand_does_not_wait_for_drain_seconds(running):
    gate = Gate(after=2)
    async with (
        FakeWorker(Script(gate=gate), slots=4) as worker,
        running.open_service(worker, drain_seconds=1e6) as service,
        anyio.create_task_group() as tasks,
    ):
        answers = await begin_streams(service, tasks, gate, 3)
        service.service.drain()
        await anyio.wait_all_tasks_blocked()
        service.service.cut()
        await service.ended.wait()
    assert [running.errors(text) for text in answers] == [[SHUTTING_DOWN]] * 3


async def test_who_has_nothing_yet_is_told_503_and_when_to_try_again(running):
    gate, answers = Gate(after=None), []
    async with (
        FakeWorker(Script(gate=gate), slots=1) as worker,
        running.open_service(worker) as service,
        anyio.create_task_group() as tasks,
    ):

        async def ask():
            answers.append(await service.ask())

        for _ in range(3):  # one runs, two wait in the queue
            tasks.start_soon(ask)
        await gate.wait_for(1)
        while service.status().queued < 2:
            await anyio.wait_all_tasks_blocked()
        service.service.cut()
        await service.ended.wait()
    assert [answer.status_code for answer in answers] == [503] * 3
    assert {answer.json()["error"]["code"] for answer in answers} == {SHUTTING_DOWN}
    assert {answer.headers["retry-after"] for answer in answers} == {"5"}


async def test_waiting_requests_are_served_before_the_end(running):
    gate, answers = Gate(after=1), []
    async with (
        FakeWorker(Script(gate=gate), slots=1) as worker,
        running.open_service(worker) as service,
        anyio.create_task_group() as tasks,
    ):

        async def ask():
            answers.append(await service.ask())

        for _ in range(3):
            tasks.start_soon(ask)
        await gate.wait_for(1)
        while service.status().queued < 2:
            await anyio.wait_all_tasks_blocked()
        service.service.drain()
        gate.release()
        await service.ended.wait()
    assert [answer.status_code for answer in answers] == [200] * 3


async def test_streams_of_before_a_reload_are_ended_as_well(running):
    gate = Gate(after=1)
    async with FakeWorker(Script(gate=gate)) as worker:

        def load():
            return service.gateway.deployment, service.gateway.options

        async with (
            running.open_service(worker, load=load) as service,
            anyio.create_task_group() as tasks,
        ):
            answers = await begin_streams(service, tasks, gate, 1)
            await service.gateway.reload()
            service.service.cut()
            await service.ended.wait()
    assert running.errors(answers[0]) == [SHUTTING_DOWN]


async def test_a_request_whose_body_comes_too_late_is_refused(running):
    async with (
        FakeWorker() as worker,
        running.open_service(worker) as service,
        await anyio.connect_tcp("127.0.0.1", service.port) as stream,
    ):
        await stream.send(b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        await stream.send(b"Content-Length: 2\r\n\r\n{")
        await anyio.wait_all_tasks_blocked()
        service.gateway.end_all()
        await stream.send(b"}")
        answer = await stream.receive()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert SHUTTING_DOWN.encode() in answer


async def test_an_idle_service_ends_at_once(running):
    async with FakeWorker() as worker, running.open_service(worker, clock=VirtualClock()) as one:
        one.service.drain()
        await one.ended.wait()  # although the clock stands


async def test_a_dashboard_that_listens_does_not_hold_up_the_end(running):
    gate, clock = Gate(after=1), VirtualClock()
    async with (
        FakeWorker(Script(gate=gate)) as worker,
        running.open_service(worker, clock=clock, drain_seconds=1e6) as service,
        anyio.create_task_group() as tasks,
    ):
        feed = []

        async def listen():
            async with service.client.stream("GET", "/v1/events", timeout=None) as response:
                feed.append(await response.aread())

        tasks.start_soon(listen)
        await begin_streams(service, tasks, gate, 1)
        service.service.drain()
        await clock.run_for(10)
        assert feed == []  # it sees the last stream's end
        gate.release()
        while service.gateway.active:
            await anyio.wait_all_tasks_blocked()
        await clock.run_for(1.1)
        await service.ended.wait()
    assert b'"outcome"' in feed[0]


async def test_jobs_that_nobody_listens_to_are_finished_first(running):
    gate = Gate(after=1)
    async with (
        FakeWorker(Script(gate=gate)) as worker,
        running.open_service(worker) as service,
    ):
        body = {"model": "story", "prompt": "A story!", "max_tokens": 50}
        taken = await service.ask(body, path="/v1/jobs")
        assert taken.status_code == 202
        await gate.wait_for(1)
        service.service.drain()
        await service.service._server.wait_drained()
        assert not service.ended.is_set()
        gate.release()
        await service.ended.wait()
        outcomes = service.status().outcomes
    assert outcomes == {"success": 1}


async def test_a_job_that_is_cut_ends_with_one_error_of_the_same_code(running):
    gate, answers = Gate(after=1), []
    async with (
        FakeWorker(Script(gate=gate)) as worker,
        running.open_service(worker) as service,
        anyio.create_task_group() as tasks,
    ):
        body = {"model": "story", "prompt": "A story!", "max_tokens": 50}
        taken = (await service.ask(body, path="/v1/jobs")).json()

        async def listen(*, task_status):
            async with service.client.stream("GET", taken["events_url"]) as response:
                task_status.started()
                answers.append((await response.aread()).decode())

        await gate.wait_for(1)
        await tasks.start(listen)
        service.service.cut()
        await service.ended.wait()
    assert answers[0].count(SHUTTING_DOWN) == 1
    assert answers[0].count("event: error") == 1
