"""The plugin `strategies`: its options, and the strategies by name."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from rbee_scheduler import hookimpl
from rbee_scheduler_strategies._affinity import SessionAffinity
from rbee_scheduler_strategies._least import LeastInFlight, PowerOfTwo
from rbee_scheduler_strategies._unseen import RandomWorker, RoundRobin
from rbee_scheduler_strategies._worth import Cheapest, Fastest


__all__ = ["Options", "Strategies", "rbee_configure", "rbee_options"]


@attrs.frozen(kw_only=True)
class Options:
    """Options of the ``[[plugins]]`` table.

    Attributes:
        load_factor: How far above its share of the load ``session-affinity`` lets a worker go
            before a session moves on; 1 or more.
    """

    load_factor: float = attrs.field(default=1.25, validator=attrs.validators.ge(1))


@attrs.frozen
class Strategies:
    """An instance of the plugin.

    Args:
        options: Its options.

    Example:
        >>> list(Strategies().rbee_register_strategies())[:2]
        ['least-in-flight', 'round-robin']
    """

    options: Options = attrs.Factory(Options)

    @hookimpl
    def rbee_register_strategies(self) -> Mapping[str, object]:
        """Return the strategies; the first one is the default of who installs nothing else."""
        return {
            "least-in-flight": LeastInFlight(),
            "round-robin": RoundRobin(),
            "power-of-two": PowerOfTwo(),
            "random": RandomWorker(),
            "session-affinity": SessionAffinity(self.options.load_factor),
            "cheapest": Cheapest(),
            "fastest": Fastest(),
        }


@hookimpl
def rbee_options() -> type:
    """Return the class of the options."""
    return Options


@hookimpl
def rbee_configure(options: Options) -> Strategies:
    """Return the instance's strategies."""
    return Strategies(options)
