"""``rbee-scheduler doctor``: what works on this machine, and what to install for the rest."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

import attrs
import click

from rbee_scheduler._errors import SchedulerError
from rbee_scheduler._version import __version__
from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._options import DeploymentSource, deployment_options, output_options


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output


__all__ = ["Diagnosis", "doctor"]

# What is optional: the distributions it takes, what it gives, and what to install.
_EXTRAS = (
    ("trio", ("trio",), "--backend trio", "rbee-scheduler[trio]"),
    ("uvloop", ("uvloop",), "a faster event loop under asyncio", "uvloop"),
    ("httpx2", ("httpx2",), "clients made with httpx2", "httpx2"),
    (
        "demo",
        ("gguf", "xllamacpp"),
        "'rbee-scheduler demo' with real llama.cpp servers",
        "rbee-scheduler[demo]",
    ),
    (
        "testing",
        ("hypothesis", "pytest"),
        "rbee_scheduler.testing and 'plugins check'",
        "rbee-scheduler[testing]",
    ),
)
_COLORS = {"ok": "green", "missing": "yellow", "broken": "red"}


@attrs.frozen(kw_only=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: ``"ok"``; ``"missing"``: optional and not there; ``"broken"``: it should work.
        detail: What was found.
        hint: What to do about it.
    """

    name: str
    status: Literal["ok", "missing", "broken"] = "ok"
    detail: str = ""
    hint: str = ""


@click.command()
@deployment_options
@output_options
@click.pass_context
def doctor(context: click.Context, *, output: Output, source: DeploymentSource) -> None:
    """Say what works on this machine and what to install.

    Exits with 1 when something is broken; what is optional and missing is no illness.
    """
    diagnoses = [*_machine(), *_extras(), *_deployment(source)]
    output.emit({"healthy": _healthy(diagnoses), "checks": diagnoses}, lambda: _text(diagnoses))
    if not _healthy(diagnoses):
        context.exit(NEGATIVE)


def _healthy(diagnoses: list[Diagnosis]) -> bool:
    return all(diagnosis.status != "broken" for diagnosis in diagnoses)


def _text(diagnoses: list[Diagnosis]) -> str:
    width = max(len(diagnosis.name) for diagnosis in diagnoses)
    lines = []
    for diagnosis in diagnoses:
        status = click.style(f"{diagnosis.status:<7}", fg=_COLORS[diagnosis.status])
        hint = f" -> {diagnosis.hint}" if diagnosis.hint else ""
        lines.append(f"{status}  {diagnosis.name:<{width}}  {diagnosis.detail}{hint}")
    return "\n".join(lines)


def _machine() -> Iterator[Diagnosis]:
    yield Diagnosis(name="rbee-scheduler", detail=__version__)
    yield Diagnosis(
        name="python", detail=f"{platform.python_version()} ({platform.python_implementation()})"
    )
    encoding = getattr(sys.stdout, "encoding", None) or "unknown"
    yield Diagnosis(name="output", detail=f"{encoding}; what it can't show is escaped")
    yield Diagnosis(name="asyncio", detail="the backend that is always there")


def _extras() -> Iterator[Diagnosis]:
    for name, distributions, use, requirement in _EXTRAS:
        found = {distribution: _version(distribution) for distribution in distributions}
        lacking = [distribution for distribution, there in found.items() if there is None]
        if lacking:
            yield Diagnosis(
                name=name,
                status="missing",
                detail=f"{', '.join(lacking)} not installed; needed for {use}",
                hint=f"pip install '{requirement}'",
            )
        else:
            versions = ", ".join(f"{distribution} {there}" for distribution, there in found.items())
            yield Diagnosis(name=name, detail=f"{versions}: {use}")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _deployment(source: DeploymentSource) -> Iterator[Diagnosis]:
    try:
        configuration = source.configuration()
    except SchedulerError as error:
        yield Diagnosis(name="configuration", status="broken", detail=str(error))
        return
    where = configuration.path or "no file found; the defaults hold"
    yield Diagnosis(name="configuration", detail=str(where))
    try:
        plugins = source.plugins()
    except SchedulerError as error:
        yield Diagnosis(name="plugins", status="broken", detail=str(error))
        return
    for row in plugins.rows:
        yield Diagnosis(
            name=f"plugin {row.name}",
            status="broken" if row.status == "failed" else "ok",
            detail=row.error or f"{row.source}, {row.status}",
            hint=f"fix it, or leave it out with --block {row.name}" if row.error else "",
        )
    try:
        scheduler = source.scheduler()
    except SchedulerError as error:
        yield Diagnosis(name="strategy", status="broken", detail=str(error))
    else:
        yield Diagnosis(name="strategy", detail=scheduler.strategy)
