"""`LlamaServer`: the handle of one llama.cpp server in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, TypedDict, cast

from anyio import CapacityLimiter, to_thread

from rbee_scheduler.demo._errors import DemoError, ServerStartFailed
from rbee_scheduler.demo._extra import require_extra
from rbee_scheduler.demo._serve import API_KEY_VARIABLE


if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["LlamaServer", "ServerOptions"]

_GOODBYE_S: Final = 5.0
_TAIL: Final = 4000


class ServerOptions(TypedDict, total=False):
    """What can be said about a server; each may be left out.

    Attributes:
        slots: Requests that it serves at once; more wait in its own queue. Default 2.
        context: Tokens per slot, prompt and answer together; llama.cpp rounds it up to a
            multiple of 256. Default 2048.
        alias: Name of the model in its API. Default ``"tiny-bee"``.
        threads: Threads that compute. Default 1: with several servers on one machine,
            more of them only get into each other's way.
        api_key: A bearer token that it demands (everywhere but at ``/health``). Default
            none.
        start_limit: Seconds that it may take to be ready. Default 20.
    """

    slots: int
    context: int
    alias: str
    threads: int
    api_key: str
    start_limit: float


class LlamaServer:
    """A llama.cpp server that runs in a process of its own, as long as its context.

    Made by `llama_server` and its kin, which also `close` it. `stop` and `kill` return at
    once and may be called at any time and from any thread; they touch this one process,
    never another that got its number later.

    Attributes:
        url: Where it listens, as ``http://127.0.0.1:PORT``; known once it is ready.
        model: The file that it serves.
    """

    def __init__(
        self,
        model: Path,
        *,
        slots: int = 2,
        context: int = 2048,
        alias: str = "tiny-bee",
        threads: int = 1,
        api_key: str = "",
        start_limit: float = 20.0,
    ) -> None:
        require_extra("xllamacpp")
        if not model.is_file():
            raise DemoError(f"there is no model {str(model)!r}", hint="make it with tiny_model()")
        for name, value in {"slots": slots, "context": context, "threads": threads}.items():
            if value < 1:
                raise DemoError(f"{name} is {value}", hint="use 1 or more")
        self.url = ""
        self.model = model
        self._limit = start_limit
        self._deadline = time.monotonic() + start_limit
        self._late = False
        self._closing = threading.Lock()
        # A file takes any amount of output and needs nobody to read it; with a pipe, a
        # talkative server would stand still once the pipe is full. Appending, because
        # parent and child share one position.
        self._log = tempfile.TemporaryFile(mode="a+b", prefix="llama-server-")  # noqa: SIM115
        command = [sys.executable, "-P", "-m", "rbee_scheduler.demo._serve"]
        command += [f"--slots={slots}", f"--context={context}"]
        command += [f"--alias={alias}", f"--threads={threads}", "--", str(model)]
        environment = {**os.environ, API_KEY_VARIABLE: api_key}
        try:
            # A session of its own, so that Ctrl-C in a terminal reaches the program only:
            # it has streams to end properly before the servers go.
            self._process = subprocess.Popen(  # noqa: S603 - our own module and checked arguments
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            raise
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)

    def __repr__(self) -> str:
        return f"<LlamaServer {self.url or 'starting'} pid={self.pid}>"

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended: None while it runs, 0 after `stop`, -9 after `kill`."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to end properly, by closing its stdin.

        Running streams are cut. The process ends within some 10 ms.
        """
        self._stdin.close()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash or the kernel's memory killer would."""
        self._process.kill()

    def wait(self, limit: float | None = None) -> int:
        """Block until it has ended.

        Args:
            limit: Seconds to wait at most; None waits for ever.

        Returns:
            The return code, as in `returncode`.

        Raises:
            TimeoutError: It still runs after ``limit`` seconds.
        """
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self!r} still runs after {limit} s") from None

    async def exited(self) -> int:
        """Wait until it has ended; may be cancelled.

        Returns:
            The return code, as in `returncode`.
        """
        return await to_thread.run_sync(
            self._process.wait, abandon_on_cancel=True, limiter=CapacityLimiter(1)
        )

    def log(self) -> str:
        """Return the end of what it printed; empty once its context is left."""
        if self._log.closed:
            return ""
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - _TAIL))
        return self._log.read().decode(errors="replace").strip()

    def wait_ready(self) -> None:
        """Block until it listens; the context managers do this before they give it out.

        Raises:
            ServerStartFailed: It ended, or was late; the message ends with what it printed.
        """
        timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._give_up)
        timer.daemon = True
        timer.start()
        try:
            # Returns when the child writes its line or ends: whoever wants to stop this
            # wait (the timer, a cancelled caller) kills the child.
            with self._closing, suppress(ValueError):
                line = self._stdout.readline()
                self.url = json.loads(line)["url"]
        finally:
            timer.cancel()
        if self._late or not self.url:
            raise self._start_failed()

    def close(self) -> None:
        """End it, politely once it is ready, reap it, and give back what it held."""
        self.stop()
        if not self.url:
            self.kill()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        with self._closing:
            self._stdout.close()
            self._log.close()

    def _give_up(self) -> None:
        self._late = True
        self.kill()

    def _start_failed(self) -> ServerStartFailed:
        code = self.wait()
        what = f"was not ready after {self._limit:g} s" if self._late else f"ended with {code}"
        return ServerStartFailed(
            f"the llama.cpp server for {self.model.name} {what}; it printed:\n"
            f"{self.log() or '(nothing)'}\n",
            hint="a longer start_limit helps a busy machine" if self._late else "",
        )
