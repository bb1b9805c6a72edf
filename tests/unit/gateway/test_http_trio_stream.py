"""The client's trio stream, where its socket was closed by somebody else."""

import socket

import pytest

from rbee_scheduler_gateway._http._trio_stream import TrioStream


pytestmark = pytest.mark.parametrize("anyio_backend", ["trio"])


def closed_streams():
    """Two streams whose sockets are closed."""
    pairs = [socket.socketpair() for _ in range(2)]
    streams = [TrioStream(near) for near, _ in pairs]
    for stream, (_, far) in zip(streams, pairs, strict=True):
        stream.close()
        far.close()
    return streams


async def test_each_reader_of_a_closed_socket_is_told_so():
    # trio would take the second one's descriptor, -1 like the first one's, for a busy one.
    for stream in closed_streams():
        with pytest.raises(ConnectionAbortedError):
            await stream.receive()
        assert stream.dead


async def test_each_writer_to_a_closed_socket_is_told_so():
    for stream in closed_streams():
        with pytest.raises(OSError, match=r"closed|Bad file"):
            await stream.send(b"x")
