"""Routes: which method of which path is whose to use, and who answers it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from rbee_scheduler import ConfigError
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._identity import Access


__all__ = ["Route", "Routes"]

_PLACEHOLDER = re.compile(r"\{([a-z_]+\*?)\}")
_PATH = re.compile(r"/([^{}?#\s]|\{[a-z_]+\*?\})*")


def _one_of(*known: str) -> Any:
    return attrs.validators.in_(known)


@attrs.frozen
class Route:
    """One method of one path.

    Raises:
        ValueError: It could never be found, or nobody may use it.

    Attributes:
        method: HTTP method.
        path: Path; ``{name}`` stands for one segment, given to the answer in `Call.params`,
            ``{name*}`` for one or more: models have names such as ``meta/llama``.
        answer: Answers the call.
        access: Who may use it.
        inference: Whether it asks for inference: rate-limit headers go with its answers.
        shared: Whether the service's other processes do the same when it succeeds, as for a
            heartbeat; `Call.identity` is the owner's there.
    """

    method: str = attrs.field(validator=_one_of("DELETE", "GET", "PATCH", "POST", "PUT"))
    path: str = attrs.field(validator=attrs.validators.matches_re(_PATH))
    answer: Callable[[Call], Awaitable[None]] = attrs.field(
        validator=attrs.validators.is_callable()
    )
    access: Access = attrs.field(
        default="tenant", validator=_one_of("open", "tenant", "worker", "operator")
    )
    inference: bool = False
    shared: bool = False


class Routes:
    """Finds the route of a request.

    Paths without placeholders are found by one dictionary look-up; the others are tried in
    order.

    Args:
        routes: All routes.

    Raises:
        ConfigError: Two of them have the same method and path.
    """

    __slots__ = ("_exact", "_patterns")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            table = patterns if "{" in route.path else self._exact
            methods = table.setdefault(route.path, {})
            if route.method in methods:
                raise ConfigError(
                    f"two routes answer {route.method} {route.path}",
                    hint="block one of the plugins that bring them",
                )
            methods[route.method] = route
        for path, methods in patterns.items():
            pieces = _PLACEHOLDER.split(path)
            expression = "".join(
                _group(piece) if index % 2 else re.escape(piece)
                for index, piece in enumerate(pieces)
            )
            self._patterns.append((re.compile(expression), methods))

    def __iter__(self) -> Iterator[Route]:
        for methods in [*self._exact.values(), *(methods for _, methods in self._patterns)]:
            yield from methods.values()

    def find(self, path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        """Return the routes of ``path`` by method, and what stands for its placeholders.

        Both are empty when there is no such path.
        """
        methods = self._exact.get(path)
        if methods is not None:
            return methods, {}
        for pattern, routes in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                return routes, match.groupdict()
        return {}, {}


def _group(name: str) -> str:
    """Return the expression for what may stand for a placeholder."""
    return f"(?P<{name[:-1]}>.+)" if name.endswith("*") else f"(?P<{name}>[^/]+)"
