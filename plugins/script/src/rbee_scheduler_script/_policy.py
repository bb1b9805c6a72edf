"""`Policy`: a script, compiled, and what became of its runs."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal, Self

from rbee_scheduler import InferenceRequest, PolicyError, PolicyTimeout, Snapshot, Worker
from rbee_scheduler_script import rhai
from rbee_scheduler_script._arguments import arguments
from rbee_scheduler_script._entry import Entry, find_entry, with_batches
from rbee_scheduler_script._helpers import bind_all
from rbee_scheduler_script._problems import WrongAnswer, as_policy_error, wrong_answer
from rbee_scheduler_script._secrets import scrubbed
from rbee_scheduler_script._status import PolicyStatus, WhenNobody
from rbee_scheduler_script._view import Desk, View


__all__ = ["Policy", "read_policy"]

Role = Literal["select", "filter", "soft-filter", "score"]

# Names of metrics that are kept; a policy that makes up new ones for ever fills no memory.
MAX_METRICS = 256

# Characters of a log line that are kept.
LINE_LENGTH = 500

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class Policy:
    """A script that decides.

    Args:
        source: The script.
        name: Name of the policy, for the log.
        file: Where it comes from, for places in errors.
        role: ``"select"``, ``"filter"``, ``"soft-filter"`` or ``"score"``; empty: the first of
            these for which it has a function.
        limits: What one run may cost.
        max_failures: Failures in a row after which it is set aside; 0: never.
        logger: Where its log lines go; ``rbee_scheduler.policy`` by default.

    Attributes:
        unserved_in_row: Failures in a row for jobs that nobody was free for; counted apart.

    Raises:
        PolicyError: It does not compile, or has no function for the role; with the place.

    Example:
        >>> policy = Policy("fn score(job, worker) { worker.vram_free_mb }")
        >>> policy.role, policy.status().state
        ('score', 'active')
    """

    def __init__(
        self,
        source: str,
        *,
        name: str = "script",
        file: str = "<policy>",
        role: Role | Literal[""] = "",
        limits: rhai.Limits | None = None,
        max_failures: int = 5,
        logger: logging.Logger | None = None,
    ) -> None:
        self.name = name
        self.file = file
        self.limits = limits or rhai.Limits()
        self.max_failures = max_failures
        self._logger = logger or logging.getLogger("rbee_scheduler.policy")
        self._desk = Desk()
        self._wanted_role: str = role
        self.load(source)

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> Self:
        """Read a policy from a file.

        Raises:
            PolicyError: There is no such file, or it is no good policy.
        """
        return cls(read_policy(path), **{"file": str(path), **options})

    def load(self, source: str) -> None:
        """Take another script, and forget the failures of the old one.

        The old one stays when the new one is refused.

        Raises:
            PolicyError: It does not compile, or has no function for the role.
        """
        try:
            program = self._compile(with_batches(source), bind_all(self._desk))
        except rhai.RhaiError as error:
            raise as_policy_error(error, self.file) from None
        self._take(source, program, find_entry(program, source, self._wanted_role, self.file))

    def candidate(self, source: str) -> Policy:
        """Return another script for the same use, compiled: to look at, try out and `adopt`.

        Its runs leave no trace here, and may go on in another thread meanwhile.

        Raises:
            PolicyError: As for `load`.
        """
        made = copy(self)
        made.max_failures = 0
        made._logger = _silent()  # noqa: SLF001 - its own class
        # What it is listed for does not change under way.
        made._wanted_role = self.role  # noqa: SLF001 - its own class
        made.load(source)
        return made

    def adopt(self, candidate: Policy) -> None:
        """Take the script of a `candidate`; call it in the thread that decides.

        A decision is one synchronous call, so none sees half of one script and half of another.
        """
        self._take(candidate.source, candidate._program, candidate._entry)

    def _compile(self, source: str, functions: Mapping[str, rhai.HostFunction]) -> rhai.Program:
        # Time on the processor: on a busy machine (llama.cpp next door takes every core) a policy
        # is not at fault for the milliseconds in which it did not run.
        return rhai.compile(source, limits=self.limits, functions=functions, clock=time.thread_time)

    def _take(self, source: str, program: rhai.Program, entry: Entry) -> None:
        """Nothing fails here: all of it changes, or nothing."""
        self.source = source
        self.digest = hashlib.sha256(source.encode()).hexdigest()
        self._program, self._entry = program, entry
        self._runs = self._failures = self._timeouts = self._in_row = 0
        self.unserved_in_row = 0
        self._last_error: PolicyError | None = None
        self._metrics: dict[str, float] = {}

    @property
    def entry(self) -> Entry:
        """The function that decides."""
        return self._entry

    @property
    def role(self) -> str:
        """What it is used for."""
        return self._entry.role

    @property
    def set_aside(self) -> bool:
        """Whether it is no longer run, after too many failures in a row."""
        return 0 < self.max_failures <= self._in_row

    @property
    def when_nobody(self) -> WhenNobody:
        """Whether it is asked about jobs that nobody is free for."""
        if 0 < self.max_failures <= self.unserved_in_row:
            return "set-aside"
        return "asked" if self._entry.unserved else "not-asked"

    def status(self) -> PolicyStatus:
        """Return how it is doing."""
        return PolicyStatus(
            name=self.name,
            file=self.file,
            digest=self.digest,
            role=self.role,
            state="set-aside" if self.set_aside else "active",
            runs=self._runs,
            failures=self._failures,
            timeouts=self._timeouts,
            failures_in_row=self._in_row,
            when_nobody=self.when_nobody,
            last_error="" if self._last_error is None else str(self._last_error),
            metrics=dict(self._metrics),
        )

    def view(
        self, request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
    ) -> View:
        """Return what a run for ``request`` sees."""
        desk = self._desk
        desk.workers.tidy(snapshot)
        return View(
            desk,
            request,
            candidates,
            snapshot,
            say=self._say,
            measure=self._measure,
            costly=self._entry.costly,
        )

    def run(self, view: View) -> Any:
        """Run the script's function; return what it answers, unchecked.

        Raises:
            PolicyTimeout: It took too long.
            PolicyError: It failed, or is set aside.
        """
        if self.set_aside:
            raise self._is_set_aside()
        entry, desk = self._entry, self._desk
        self._runs += 1
        before, desk.view = desk.view, view
        try:
            answer = self._program.call(entry.call, *arguments(entry, view))
        except rhai.RhaiError as error:
            failure = as_policy_error(error, self.file, view.request)
            raise self._failed(failure, view) from error.__cause__
        finally:
            desk.view = before  # a view kept would keep its prompt
        return answer

    def refused(self, wrong: WrongAnswer, view: View) -> PolicyError:
        """Count a wrong answer as a failure; return it as the error to raise."""
        entry = self._entry
        place = f"{self.file}:{entry.line}:{entry.column}"
        return self._failed(wrong_answer(wrong, place, view.request), view)

    def succeeded(self) -> None:
        """Note that the latest answer was a good one."""
        self._in_row = 0

    def _failed(self, error: PolicyError, view: View) -> PolicyError:
        self._failures += 1
        self._timeouts += isinstance(error, PolicyTimeout)
        self._last_error = error
        if view.candidates:
            self._in_row += 1
            in_row, when = self._in_row, ""
        else:
            self.unserved_in_row += 1
            in_row, when = self.unserved_in_row, " for jobs that nobody is free for"
        if in_row == self.max_failures:
            self._logger.error(
                "policy %s is set aside%s after %d failures in a row, until it is loaded again; "
                "the latest: %s",
                self.name, when, in_row, error,
            )  # fmt: skip
        return error

    def _is_set_aside(self) -> PolicyError:
        last = self._last_error
        return PolicyError(
            f"set aside after {self._in_row} failures in a row",
            place=self.file if last is None else last.place,
            hint="mend it and load it again",
        )

    def _say(self, level: str, text: str) -> None:
        view = self._desk.view
        # Scrubbed before it is cut: the start of a prompt is part of it, too.
        line = scrubbed(text, view.request)[:LINE_LENGTH]
        self._logger.log(_LEVELS[level], "%s: %s", self.name, line)

    def _measure(self, name: str, value: float) -> None:
        if name in self._metrics or len(self._metrics) < MAX_METRICS:
            self._metrics[name] = value


def _silent() -> logging.Logger:
    # Not from getLogger, which would keep it, and hand its lines to the application's handlers.
    logger = logging.Logger("rbee_scheduler.policy.candidate")  # noqa: LOG001
    logger.disabled = True
    return logger


def read_policy(path: str | Path) -> str:
    """Return the text of a policy's file.

    Raises:
        PolicyError: It can't be read, or is no UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is no UTF-8 text"
        raise PolicyError(
            f"can't be read: {reason}", place=str(path), hint="give the path of a Rhai file"
        ) from problem
