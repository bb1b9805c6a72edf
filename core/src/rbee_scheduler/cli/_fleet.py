"""The workers that a command is to talk to: from ``--worker``, else from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rbee_scheduler.cli._options import DeploymentSource


if TYPE_CHECKING:
    from rbee_scheduler import Worker


__all__ = ["fleet_options", "workers_at", "workers_of"]

F = TypeVar("F", bound=Callable[..., Any])

# Not of the prefix RBEE_SCHEDULER_, whose variables all stand for keys of the configuration.
KEY_VARIABLE = "RBEE_WORKER_API_KEY"


def fleet_options(function: F) -> F:
    """Add ``--worker URL`` (``urls``) and ``--api-key`` (``api_key``) to a command."""
    for option in (
        click.option(
            "--api-key",
            envvar=KEY_VARIABLE,
            show_envvar=True,
            metavar="KEY",
            help="Bearer token for the workers given by --worker.",
        ),
        click.option(
            "-w",
            "--worker",
            "urls",
            multiple=True,
            metavar="URL",
            help="Base URL of a worker, instead of the configuration's. May be repeated.",
        ),
    ):
        function = option(function)
    return function


def workers_of(
    urls: Sequence[str], api_key: str | None, source: DeploymentSource
) -> tuple[Worker, ...]:
    """Return the workers at ``urls``, or those of the configuration when none is given.

    Raises:
        ConfigError: An URL is none, or there are no workers at all.
    """
    from rbee_scheduler import ConfigError

    if not urls:
        workers = source.configuration().deployment.workers
        if not workers:
            raise ConfigError(
                "there are no workers",
                hint="give --worker URL, or list [[workers]] in rbee-scheduler.toml",
            )
        return workers
    return workers_at(urls, api_key)


def workers_at(urls: Sequence[str], api_key: str | None) -> tuple[Worker, ...]:
    """Return the workers at ``urls``, each once.

    Raises:
        ConfigError: An URL is none.
    """
    from rbee_scheduler import Worker
    from rbee_scheduler._worker import id_of

    labels = {"api_key": api_key} if api_key else {}
    found: dict[str, Worker] = {}
    for url in urls:
        base = (url if "://" in url else f"http://{url}").rstrip("/")
        worker_id = id_of(base)
        found[worker_id] = Worker(id=worker_id or url, url=base, labels=labels)
    return tuple(found.values())
