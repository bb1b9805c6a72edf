"""The queen protocol: a request is submitted, then its stream is fetched."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rbee_scheduler.testing._fake_worker._reply import (
    EVENT_STREAM,
    Kind,
    Part,
    Reply,
    body_reply,
    error_reply,
    scripted,
)
from rbee_scheduler.testing._fake_worker._script import Script


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rbee_scheduler.testing._fake_worker._request import SeenRequest

STREAM_PREFIX: Final = "/v1/inference/"


class Jobs:
    """The jobs that were submitted: what each one's stream says, and which were cancelled."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._running: dict[str, Callable[[], None]] = {}
        self.cancels: list[str] = []

    def submit(self, request: SeenRequest, script: Script) -> tuple[Reply, Script]:
        """Answer POST /v1/inference: the reply, and the script whose fault it has."""
        first, stream = _split(script)
        job_id = f"job-{request.number}"
        try:
            options = request.json
        except ValueError as error:
            return error_reply(400, "invalid_request", f"the body is no JSON: {error}"), first
        if not isinstance(options, dict) or not isinstance(options.get("prompt"), str):
            return error_reply(400, "invalid_request", "`prompt` must be a string"), first
        self._scripts[job_id] = stream
        answer = {"job_id": job_id, "sse_url": f"{STREAM_PREFIX}{job_id}/stream"}
        return scripted(body_reply(answer), first), first

    def stream(self, request: SeenRequest) -> tuple[Reply, Script]:
        """Answer GET of a job's ``sse_url``."""
        script = self._scripts.get(job_of(request.path))
        if script is None:
            return error_reply(404, "not_found", f"no job has the stream {request.path}"), Script()
        tokens = (Part(Kind.TOKEN, t.encode(), t.encode()) for t in script.tokens)
        parts = (*tokens, Part(Kind.DONE, b"[DONE]"))
        reply = Reply(content_type=EVENT_STREAM, parts=parts, streamed=True)
        return scripted(reply, script), script

    def cancel(self, request: SeenRequest) -> Reply:
        """Answer POST /v1/cancel. Cancelling twice, or what never was, is no error."""
        try:
            job_id = str(request.json["job_id"])
        except (ValueError, TypeError, KeyError):
            return error_reply(400, "invalid_request", "`job_id` must be a string")
        self.cancels.append(job_id)
        if job_id in self._running:
            self._running[job_id]()
        return body_reply({"job_id": job_id, "status": "cancelled"})

    @contextmanager
    def running(self, job_id: str, stop: Callable[[], None]) -> Iterator[None]:
        """Let a cancel call stop the stream of this job, while it is under way.

        Args:
            job_id: The job; an empty one belongs to no job, and nothing can stop it.
            stop: Stops the stream.
        """
        if job_id:
            self._running[job_id] = stop
        try:
            yield
        finally:
            self._running.pop(job_id, None)


def job_of(path: str) -> str:
    """Return the id of the job whose stream has this path; empty when it is no such path."""
    if not (path.startswith(STREAM_PREFIX) and path.endswith("/stream")):
        return ""
    return path[len(STREAM_PREFIX) : -len("/stream")]


def _split(script: Script) -> tuple[Script, Script]:
    """Divide a script between the two replies: see ``Script.on_submit``."""
    plain = Script(tokens=script.tokens, delay=script.delay, usage=script.usage)
    return (script, plain) if script.on_submit else (Script(), script)
