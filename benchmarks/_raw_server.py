"""The cheapest possible worker: canned bytes per request, for measuring the client's side.

Run as a program; prints its port. `GET /events/N` and `POST` with `max_tokens` N answer N
events of 197 bytes, in one piece per event.
"""

import asyncio
import re
import sys


EVENT = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"text_completion","created":1760000000,'
    b'"model":"m","choices":[{"index":0,"text":" bee","logprobs":null,"finish_reason":null}],'
    b'"system":"x0123456"}\n\n'
)
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    b"connection: close\r\n\r\n"
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
DONE = b"data: [DONE]\n\n"
END = b"%x\r\n%b\r\n0\r\n\r\n" % (len(DONE), DONE)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1])) if length else b""
    count = re.search(rb'"max_tokens": *(\d+)', body)
    writer.write(HEAD)
    for _ in range(int(count[1]) if count else 1):
        writer.write(CHUNK)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(END)
    await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
