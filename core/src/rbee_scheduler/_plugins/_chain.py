"""The chain: the compiled hooks of one strategy, as plain tuples of bound functions.

pluggy takes 1.2 to 5 us per hook call. A decision makes four of them and has 10 us in
all, so the manager compiles each hook once, when plugins are frozen, into a tuple of
functions that take the specification's arguments by position (0.1 to 0.4 us).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import takewhile
from operator import itemgetter
from typing import Any, Literal

import attrs

from rbee_scheduler._errors import PluginError
from rbee_scheduler._plugins._inspect import is_async, spec_arguments


__all__ = ["Call", "Chain", "compile_call"]


@attrs.frozen
class Call:
    """One implementation of one hook.

    Attributes:
        function: Takes the hook's arguments by position, in the specification's order.
        plugin: Name of the instance it belongs to; a strategy's own name for its hooks.
        source: Distribution and version, for messages.
        hook: Name of the hook.
        weight: Weight of its scores.
        on_error: What a failure of this filter or scorer leads to.
        is_async: Whether the answer must be awaited.
        strategy: The strategy whose hook it is; empty for a plugin's own.
    """

    function: Callable[..., Any]
    plugin: str
    source: str
    hook: str
    weight: float = 1.0
    on_error: Literal["fallback", "reject"] = "fallback"
    is_async: bool = False
    strategy: str = ""

    def failure(self, problem: Exception) -> PluginError:
        """Return ``problem`` as a `PluginError` that names who failed where."""
        if isinstance(problem, PluginError):
            problem.plugin = problem.plugin or self.plugin
            problem.distribution = problem.distribution or self.source
            problem.hook = problem.hook or self.hook
            return problem
        error = PluginError(
            f"{type(problem).__name__}: {problem}",
            plugin=self.plugin,
            distribution=self.source,
            hook=self.hook,
        )
        error.__cause__ = problem
        return error


@attrs.frozen(kw_only=True)
class Chain:
    """All that is called for a request under one strategy; each tuple in calling order."""

    strategy: str
    check_quota: tuple[Call, ...] = ()
    filter_workers: tuple[Call, ...] = ()
    score_workers: tuple[Call, ...] = ()
    select_worker: tuple[Call, ...] = ()
    no_candidate: tuple[Call, ...] = ()
    order_queue: tuple[Call, ...] = ()
    order_lane: tuple[Call, ...] = ()
    reserve: tuple[Call, ...] = ()
    release: tuple[Call, ...] = ()
    worker_event: tuple[Call, ...] = ()
    pool_command: tuple[Call, ...] = ()
    on_event: tuple[Call, ...] = ()

    def with_filter(self, function: Callable[..., Any]) -> Chain:
        """Return the chain with one more filter in front, for a request of special needs.

        Args:
            function: Takes all arguments of `rbee_filter_workers`, in its order.
        """
        own = Call(function, "caller", "core", "rbee_filter_workers")
        return attrs.evolve(self, filter_workers=(own, *self.filter_workers))


def compile_call(function: Callable[..., Any], hook: str, **about: Any) -> Call:
    """Return ``function`` as a call that takes all of the hook's arguments by position."""
    wanted = tuple(inspect.signature(function).parameters)
    offered = spec_arguments(hook)
    compiled = function if wanted == offered else _adapt(function, wanted, offered)
    return Call(compiled, hook=hook, is_async=is_async(function), **about)


def _adapt(
    function: Callable[..., Any], wanted: Sequence[str], offered: Sequence[str]
) -> Callable[..., Any]:
    """Return a function that passes on those of the ``offered`` arguments that are wanted."""
    first = list(takewhile(offered.__contains__, wanted))
    places = [offered.index(name) for name in first]
    # Behind a parameter of the function's own, which has a default, the rest go by name.
    named = [(name, offered.index(name)) for name in wanted[len(first) :] if name in offered]
    if named:
        return lambda *given: function(
            *[given[at] for at in places], **{name: given[at] for name, at in named}
        )
    if not places:
        return lambda *_: function()
    if len(places) == 1:
        only = places[0]
        return lambda *given: function(given[only])
    pick = itemgetter(*places)  # 0.1 us less than a dict of keywords
    return lambda *given: function(*pick(given))
