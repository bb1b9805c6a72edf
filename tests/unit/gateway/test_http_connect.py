"""Connecting that is given up at any moment leaves no socket behind."""

import anyio
import pytest


# A socket that the collector finds is a warning, and so an error.
@pytest.mark.usefixtures("nothing_left_to_the_garbage_collector")
@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_given_up_half_way_is_closed(serve, echo, open_transport, turns):
    async with serve(echo) as server, open_transport() as transport:
        for _ in range(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(transport.open, server.call())
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
