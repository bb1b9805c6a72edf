"""Readers of a job's events: wherever they are cut, each sees every event once, in order."""

import re
from functools import partial

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_gateway._events import EventRing, follow
from rbee_scheduler_gateway._refusals import EventsLost


ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)


class Reader:
    """A client that loses its connection after so many pieces, and comes back."""

    def __init__(self, cuts):
        self.cuts = list(cuts)
        self.seen = []
        self._left = None

    async def write(self, data):
        self.seen += [int(number) for number in ID.findall(data)]
        await anyio.lowlevel.checkpoint()
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                raise ConnectionError

    async def read(self, ring, clock):
        while not (ring.closed and self.seen and self.seen[-1] == ring.last):
            self._left = self.cuts.pop() if self.cuts else None
            after = self.seen[-1] if self.seen else 0
            try:
                await follow(self, ring, after, clock=clock)
            except ConnectionError:
                continue


async def relay(pauses, readers):
    ring, clock = EventRing(10_000), VirtualClock()
    async with anyio.create_task_group() as tasks:
        for reader in readers:
            tasks.start_soon(reader.read, ring, clock)
        for number, pause in enumerate(pauses, start=1):
            for _ in range(pause):
                await anyio.lowlevel.checkpoint()
            ring.add("token", b"{}", last=number == len(pauses))
    return ring


@given(
    pauses=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    cuts=st.lists(st.lists(st.integers(1, 5), max_size=20), min_size=1, max_size=4),
    backend=st.sampled_from(["asyncio", "trio"]),
)
def test_each_reader_sees_every_event_once_and_in_order(pauses, cuts, backend):
    readers = [Reader(each) for each in cuts]
    anyio.run(partial(relay, pauses, readers), backend=backend)
    for reader in readers:
        assert reader.seen == list(range(1, len(pauses) + 1))


@given(
    capacity=st.integers(1, 40),
    count=st.integers(0, 120),
    after=st.integers(0, 120),
    most=st.integers(1, 50),
)
def test_the_ring_gives_what_it_keeps_and_says_what_it_lost(capacity, count, after, most):
    ring = EventRing(capacity)
    for number in range(1, count + 1):
        ring.add("token", b"%d" % number)
    assert len(ring) == min(capacity, count)
    after = min(after, count)
    if after < count - capacity:
        with pytest.raises(EventsLost) as lost:
            ring.since(after, most)
        assert f"?after={count - capacity}" in lost.value.hint
        return
    found = ring.since(after, most)
    assert [event.number for event in found] == list(range(after + 1, min(count, after + most) + 1))
    assert [event.data for event in found] == [b"%d" % event.number for event in found]
