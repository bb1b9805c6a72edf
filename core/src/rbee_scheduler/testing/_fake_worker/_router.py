"""From a request to the steps of its answer. No I/O here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from rbee_scheduler.testing._fake_worker._dialect import COMPLETIONS, PROBES, Dialect
from rbee_scheduler.testing._fake_worker._queen import job_of
from rbee_scheduler.testing._fake_worker._reply import body_reply, error_reply, scripted
from rbee_scheduler.testing._fake_worker._script import PLAIN
from rbee_scheduler.testing._fake_worker._wire_faults import faulty_steps


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rbee_scheduler.testing._fake_worker._dialect import Completion, Probe
    from rbee_scheduler.testing._fake_worker._probes import Facts
    from rbee_scheduler.testing._fake_worker._queen import Jobs
    from rbee_scheduler.testing._fake_worker._reply import Reply
    from rbee_scheduler.testing._fake_worker._request import SeenRequest
    from rbee_scheduler.testing._fake_worker._script import Script
    from rbee_scheduler.testing._fake_worker._scripts import Scripts
    from rbee_scheduler.testing._fake_worker._steps import Steps

    Handler = Callable[[SeenRequest, Facts], "Answer"]


@attrs.frozen(kw_only=True)
class Answer:
    """What to do for one request.

    Attributes:
        steps: Put the reply on the wire.
        script: Whose gate and delay hold them up.
        job_id: The queen protocol's job whose stream this is.
        inference: Whether a model works for it: it counts as running then.
    """

    steps: Steps
    script: Script
    job_id: str = ""
    inference: bool = False


def _answer(
    reply: Reply, script: Script = PLAIN, *, job_id: str = "", inference: bool = False
) -> Answer:
    steps = faulty_steps(reply, script)
    return Answer(steps=steps, script=script, job_id=job_id, inference=inference)


class Router:
    """One table of (method, path), made once from the dialect.

    Args:
        dialect: Which paths there are.
        paths: Scripts for single paths, such as ``{"/health": Script(status=503)}``; these
            requests draw no script from ``scripts``.
        scripts: The scripts of inference requests.
        jobs: The queen protocol's jobs.
    """

    def __init__(
        self, *, dialect: Dialect, paths: Mapping[str, Script], scripts: Scripts, jobs: Jobs
    ) -> None:
        self._paths = MappingProxyType(dict(paths))
        self._scripts = scripts
        self._jobs = jobs
        self._probes = PROBES[dialect]
        self._table: dict[tuple[str, str], Handler] = {
            ("GET", path): self._probe(probe) for path, probe in self._probes.items()
        }
        if dialect is Dialect.QUEEN:
            self._table["POST", "/v1/inference"] = self._submit
            self._table["POST", "/v1/cancel"] = self._cancel
        else:
            for path, completion in COMPLETIONS.items():
                self._table["POST", path] = self._complete(completion)

    def answer(self, request: SeenRequest, facts: Facts) -> Answer:
        """Find the answer."""
        script = self._paths.get(request.path)
        if script is not None:
            probe = self._probes.get(request.path)
            reply = probe(facts) if probe else body_reply(b"")
            return _answer(scripted(reply, script), script)
        handler = self._table.get((request.method, request.path))
        if handler is not None:
            return handler(request, facts)
        if request.method == "GET" and job_of(request.path):
            return self._stream(request)
        return _answer(error_reply(404, "not_found_error", f"no such path: {request.path}"))

    def _probe(self, probe: Probe) -> Handler:
        return lambda _, facts: _answer(probe(facts))

    def _complete(self, completion: Completion) -> Handler:
        def handler(request: SeenRequest, facts: Facts) -> Answer:
            script = self._scripts.draw(request)
            return _answer(completion(facts.model, request, script), script, inference=True)

        return handler

    def _submit(self, request: SeenRequest, _: Facts) -> Answer:
        return _answer(*self._jobs.submit(request, self._scripts.draw(request)))

    def _stream(self, request: SeenRequest) -> Answer:
        reply, script = self._jobs.stream(request)
        return _answer(reply, script, job_id=job_of(request.path), inference=True)

    def _cancel(self, request: SeenRequest, _: Facts) -> Answer:
        return _answer(self._jobs.cancel(request))
