"""Connecting that is given up at any moment leaves no socket behind."""

import gc

import anyio
import pytest


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_given_up_half_way_is_closed(serve, echo, open_transport, turns):
    async with serve(echo) as server, open_transport() as transport:
        for _ in range(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(transport.open, server.call())
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        gc.collect()  # a socket that is found here is a warning, and so an error
