"""Cases for a policy: jobs, fleets, and what must come out; in a file beside the policy."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from rbee_scheduler import (
    Catalog,
    ConfigError,
    Explanation,
    InferenceRequest,
    ModelInfo,
    Worker,
    WorkerRegistry,
)
from rbee_scheduler._config import with_worker_ids
from rbee_scheduler._wire import structure
from rbee_scheduler_script._still_clock import NOW, StillClock


__all__ = ["Case", "Expectation", "cases_beside", "read_cases"]

SUFFIXES: Final = (".test.yaml", ".test.yml", ".test.toml")


@attrs.frozen(kw_only=True)
class Expectation:
    """What must come out; one of the fields is given.

    Attributes:
        worker: The worker that is chosen.
        one_of: The workers of which one is chosen.
        reject: A part of the reason with which the job is refused; may be empty.
        wait: A part of the reason for which it waits; may be empty.
    """

    worker: str | None = None
    one_of: tuple[str, ...] | None = None
    reject: str | None = None
    wait: str | None = None

    def __attrs_post_init__(self) -> None:
        given = [field.name for field in attrs.fields(Expectation) if self._has(field.name)]
        if len(given) != 1:
            raise ConfigError(
                f"{' and '.join(given) or 'nothing'} is expected",
                place="$",
                hint="give one of worker, one_of, reject, wait",
            )

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None

    def problem(self, explained: Explanation) -> str:
        """Return what is wrong with a decision; empty when it is as expected."""
        if explained.failures:
            return "; ".join(explained.failures)
        came = explained.worker_id or f"{explained.action}: {explained.reason}"
        if self.worker is not None or self.one_of is not None:
            wanted = (self.worker,) if self.one_of is None else self.one_of
            if explained.worker_id in wanted:
                return ""
            return f"expected {' or '.join(map(str, wanted))}, but got {came}"
        action, words = ("wait", self.wait) if self.reject is None else ("reject", self.reject)
        if explained.action == action and (words or "") in explained.reason:
            return ""
        return f"expected {action}{f' ({words})' if words else ''}, but got {came}"


@attrs.frozen(kw_only=True)
class Case:
    """One case.

    Attributes:
        name: What it shows.
        job: The job.
        registry: The fleet.
        expect: What must come out.
    """

    name: str
    job: InferenceRequest
    registry: WorkerRegistry
    expect: Expectation


@attrs.frozen(kw_only=True)
class _WrittenCase:
    expect: Any  # a worker's id, or an `Expectation`
    name: str = ""
    job: Mapping[str, Any] = attrs.field(factory=dict)
    workers: tuple[Mapping[str, Any], ...] | None = None


@attrs.frozen(kw_only=True)
class _Document:
    cases: tuple[_WrittenCase, ...]
    job: Mapping[str, Any] = attrs.field(factory=dict)
    workers: tuple[Mapping[str, Any], ...] = ()
    models: tuple[ModelInfo, ...] = ()
    now: float = NOW


def cases_beside(policy: str | Path) -> Path:
    """Return the file with the cases of a policy: ``p.rhai`` has them in ``p.test.yaml``.

    Raises:
        ConfigError: There is none.
    """
    path = Path(policy)
    stems = (path.stem, path.name)
    tried = [path.with_name(stem + suffix) for stem in stems for suffix in SUFFIXES]
    for one in tried:
        if one.is_file():
            return one
    raise ConfigError(
        "it has no cases",
        place=str(path),
        hint=f"write {tried[0].name}, or name a file with --cases",
    )


def read_cases(path: Path) -> tuple[Case, ...]:
    """Return the cases in a file, YAML or TOML.

    Raises:
        ConfigError: It can't be read, or something in it is wrong, at its path.
    """
    data = _loaded(path)
    place = f"{path}:$"
    document = structure(data, _Document, place=place, error=ConfigError)
    return tuple(
        _case(document, written, f"{place}.cases[{index}]", index + 1)
        for index, written in enumerate(document.cases)
    )


def _case(document: _Document, written: _WrittenCase, place: str, number: int) -> Case:
    job = {
        "job_id": f"case-{number}", "prompt": "Hello!", "created_at": document.now,
        **document.job, **written.job,
    }  # fmt: skip
    expect = {"worker": written.expect} if isinstance(written.expect, str) else written.expect
    rows = document.workers if written.workers is None else written.workers
    workers = structure(
        with_worker_ids([dict(row) for row in rows]), list[Worker], place=f"{place}.workers",
        error=ConfigError,
    )  # fmt: skip
    registry = WorkerRegistry(
        clock=StillClock(document.now), catalog=Catalog(list(document.models))
    )
    for worker in workers:
        registry.add(worker)
    return Case(
        name=written.name or f"case {number}",
        job=structure(job, InferenceRequest, place=f"{place}.job", error=ConfigError),
        registry=registry,
        expect=structure(expect, Expectation, place=f"{place}.expect", error=ConfigError),
    )


def _loaded(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(
            f"can't read it: {reason}", place=str(path), hint="check the path"
        ) from error
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        from ruamel.yaml import YAML

        return YAML(typ="safe", pure=True).load(text)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"can't be read: {reason}", place=str(path)) from error
