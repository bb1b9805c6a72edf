"""The channel between the parent and its processes: in order, whole, and never in the way."""

import json
import logging
import socket

import anyio
import pytest

from rbee_scheduler_gateway._service._channel import Channel, Repeated, as_message
from rbee_scheduler_gateway._service._child import Child


class Pair:
    """Both ends of a channel."""

    async def __aenter__(self):
        one, two = socket.socketpair()
        self.here, self.there = await Channel.over(one), await Channel.over(two)
        return self.here, self.there

    async def __aexit__(self, *_):
        await self.here.aclose()
        await self.there.aclose()


async def test_messages_come_in_order_and_whole():
    sent = [{"n": n, "text": "x" * n * 1000 + "\n"} for n in range(50)]
    async with Pair() as (here, there), anyio.create_task_group() as tasks:
        tasks.start_soon(here.run)
        assert all(map(here.send, sent))
        assert [await there.receive() for _ in sent] == sent
        tasks.cancel_scope.cancel()


async def test_the_other_ends_death_is_the_end_of_the_messages():
    async with Pair() as (here, there):
        await there.aclose()
        assert await here.receive() is None


async def test_half_a_message_is_none():
    one, two = socket.socketpair()
    channel = await Channel.over(one)
    two.sendall(b'{"do": "dr')
    two.close()
    assert await channel.receive() is None
    await channel.aclose()


async def test_writing_to_the_dead_ends_quietly():
    async with Pair() as (here, there):
        await there.aclose()
        for _ in range(100):
            here.send({"do": "drain"})
        await here.run()


async def test_who_does_not_read_makes_nobody_wait(monkeypatch):
    monkeypatch.setattr("rbee_scheduler_gateway._service._channel._WAITING", 3)
    async with Pair() as (here, _):
        assert [here.send({}) for _ in range(5)] == [True, True, True, False, False]


async def test_what_is_closed_takes_nothing():
    async with Pair() as (here, _):
        await here.aclose()
        assert not here.send({})
        assert await here.receive() is None


@pytest.mark.parametrize("body", [b"{}", b'{"a": "\xc3\xa9"}', bytes(range(256))])
async def test_a_request_that_is_repeated_is_the_same(body):
    message = json.loads(json.dumps(as_message("POST", "/v1/workers", "a=1&b", body)))
    exchange = Repeated(message)
    assert (exchange.method, exchange.path, exchange.query) == ("POST", "/v1/workers", "a=1&b")
    assert exchange.body == body
    await exchange.respond(200, [], b"nobody reads this")


async def test_another_processes_call_changes_this_one_and_is_not_sent_on(memory):
    async with memory.open_site(None, workers=0) as site:
        shared = []
        site.gateway.share = shared.append
        body = json.dumps({"id": "w", "url": "http://127.0.0.1:1", "model": "bee"}).encode()
        await site.gateway.repeat(Repeated(as_message("POST", "/v1/workers", "", body)))
        known = [worker.id for worker in site.gateway.registry.snapshot().workers()]
        asked = await site.ask("/v1/workers/w/drain")
        await site.ask("/v1/workers/none-such/drain")
        await site.ask("/v1/workers", method="GET")
    assert known == ["w"]
    assert asked.status == 200
    assert [exchange.path for exchange in shared] == ["/v1/workers/w/drain"]  # what succeeded


async def test_only_what_is_shared_is_repeated(memory):
    async with memory.open_site(None) as site:
        with pytest.raises(Exception, match="not shared"):
            await site.gateway.repeat(Repeated(as_message("GET", "/v1/workers", "", b"")))


async def test_a_child_goes_on_when_it_can_not_repeat_a_call(memory, caplog):
    class Bugged:
        async def repeat(self, exchange):
            raise RuntimeError("a bug")

        logger = logging.getLogger("rbee_scheduler.gateway")

    async with Pair() as (here, _), anyio.create_task_group() as tasks:
        send, waiting = anyio.create_memory_object_stream(10)
        child = Child(here, 0, 0)
        begun = anyio.Event()

        class Status:
            def started(self):
                begun.set()

        for message in (as_message("POST", "/v1/workers", "", b"{}"), {"do": "begin"}):
            send.send_nowait(message)
        with send, waiting:
            tasks.start_soon(child._repeat, Bugged(), waiting, Status())
            await begun.wait()
            tasks.cancel_scope.cancel()
    assert "a call of another process failed here" in caplog.text
