"""Additions: what plugins bring to the service, and what becomes of one that fails.

A `SchedulerError` that a plugin raises while the service starts is said on purpose (a wrong
option, a store that can't be reached), and stops the start. Anything else is a defect of the
plugin: it is named and counted, and the service does without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rbee_scheduler import ConfigError, PluginError, SchedulerError
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._journal import JobJournal
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler._plugins import Call as HookCall
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["added_headers", "added_routes", "enter_companions", "find_journal"]

_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2, lower-case
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")

# What the service itself says: where an answer ends, what it is, who served it, who may read it.
_OURS = re.compile(
    r"allow|connection|content-.*|date|keep-alive|retry-after|te|trailer|transfer-encoding"
    r"|upgrade|www-authenticate|x-correlation-id|x-rbee-worker|x-rbee-strategy"
    r"|access-control-.*"
)


def added_routes(gateway: Gateway, own: Iterable[Route]) -> Iterator[Route]:
    """Yield the gateway's own routes, then those of plugins (`rbee_register_routes`).

    Raises:
        ConfigError: Two of them answer one method of one path; both owners are named.
        SchedulerError: A plugin says that the service can't start.
    """
    owners: dict[tuple[str, str], str] = {}
    for route in own:
        owners[route.method, route.path] = "rbee-scheduler-gateway"
        yield route
    for call in gateway.plugins.calls("rbee_register_routes"):
        try:
            routes = [_checked_route(route) for route in call.function(gateway)]
        except SchedulerError:
            raise
        except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
            gateway.metrics.plugin_failed(call.failure(problem))
            continue
        for route in routes:
            source = f"the plugin {call.plugin!r} ({call.source})"
            owner = owners.setdefault((route.method, route.path), source)
            if owner is not source:
                raise ConfigError(
                    f"{route.method} {route.path} is answered by both {owner} and {source}",
                    hint="block one of them with --block",
                )
            yield route


def _checked_route(route: Any) -> Route:
    if not isinstance(route, Route):
        raise TypeError(f"{route!r} is no Route")
    return route


def added_headers(
    calls: Sequence[HookCall],
    call: Call,
    error: SchedulerError | None,
    failed: Callable[[PluginError], None],
) -> list[tuple[bytes, bytes]]:
    """Return the headers that plugins add to an answer (`rbee_answer_headers`).

    Of two plugins that add one header, the first has it.

    Args:
        calls: The implementations, in the order of asking.
        call: What is answered.
        error: Why it failed; None: it is served.
        failed: Told of a plugin that fails; its headers are left out.
    """
    found: dict[str, bytes] = {}
    for hook in calls:
        try:
            answer = hook.function(call.request, call.identity, error)
            headers = _checked_headers(answer) if answer else {}
        except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
            failed(hook.failure(problem))
            continue
        found = headers | found if found else headers
    return [(name.encode("ascii"), value) for name, value in found.items()]


def _checked_headers(answer: Mapping[str, str]) -> dict[str, bytes]:
    """Return headers with lower-case names, fit to be sent.

    Raises:
        ValueError: One is none, or is the service's own to say.
    """
    headers = {}
    for given, value in answer.items():
        name = given.lower()
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"the header {given[:80]!r} can't be sent as it is")
        if _OURS.fullmatch(name):
            raise ValueError(f"the header {given!r} is the gateway's to say")
        headers[name] = value.encode("latin-1")
    return headers


async def enter_companions(gateway: Gateway, stack: AsyncExitStack) -> None:
    """Enter what plugins run beside the service (`rbee_gateway_lifespan`).

    Args:
        gateway: The gateway.
        stack: Leaves them, the last one first.

    Raises:
        SchedulerError: A plugin says that the service can't start.
    """
    for call in gateway.plugins.calls("rbee_gateway_lifespan"):
        try:
            beside = call.function(gateway)
            if beside is None:
                continue
            await beside.__aenter__()
        except SchedulerError:
            raise
        except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
            gateway.metrics.plugin_failed(call.failure(problem))
            continue
        stack.push_async_exit(_Companion(gateway, call, beside).leave)


class _Companion:
    """What a plugin runs beside the service, entered.

    Args:
        gateway: The gateway.
        call: The implementation that it came from.
        beside: The context manager.
    """

    def __init__(self, gateway: Gateway, call: HookCall, beside: Any) -> None:
        self._gateway = gateway
        self._call = call
        self._beside = beside

    async def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave it; a failure is named and counted."""
        # Told of a cancellation, which a task group of it must see to end with; not of the
        # block's error, which a task group would hand on wrapped in a group.
        cancelled = error is not None and not isinstance(error, Exception)
        told = (kind, error, traceback) if cancelled else (None, None, None)
        try:
            await self._beside.__aexit__(*told)
        except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
            self._gateway.metrics.plugin_failed(self._call.failure(problem))


def find_journal(gateway: Gateway) -> JobJournal | None:
    """Return where jobs are written down (`rbee_job_journal`); None: nowhere.

    Raises:
        PluginError: A plugin failed. The service does not start then: who takes jobs that are
            thought to be on disk breaks a promise.
        SchedulerError: A plugin says that the service can't start.
    """
    for call in gateway.plugins.calls("rbee_job_journal"):
        try:
            journal: JobJournal | None = call.function()
        except SchedulerError:
            raise
        except Exception as problem:
            raise call.failure(problem) from problem
        if journal is not None:
            return journal
    return None
