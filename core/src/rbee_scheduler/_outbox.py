"""The outbox: commands of a decision to pool managers, on their way to `rbee_pool_command`."""

from __future__ import annotations

from collections.abc import Iterable

from rbee_scheduler._clock import Clock
from rbee_scheduler._commands import PoolCommand
from rbee_scheduler._errors import PluginError
from rbee_scheduler._observe import Observer
from rbee_scheduler._plugins import Call, Chain
from rbee_scheduler._snapshot import Snapshot


__all__ = ["Outbox"]


class Outbox:
    """The commands of one request's decisions. Deciding is synchronous, telling may wait.

    Args:
        chain: The hooks of the request's strategy.
        clock: Source of time.
        observer: Told of plugins that fail, and of commands that nobody takes.
        hook_timeout: Seconds a hook may take.
    """

    __slots__ = ("_chain", "_clock", "_commands", "_hook_timeout", "_observer")

    def __init__(self, chain: Chain, clock: Clock, observer: Observer, hook_timeout: float) -> None:
        self._chain = chain
        self._clock = clock
        self._observer = observer
        self._hook_timeout = hook_timeout
        self._commands: list[tuple[PoolCommand, Snapshot]] = []

    def __len__(self) -> int:
        return len(self._commands)

    def put(self, commands: Iterable[PoolCommand], snapshot: Snapshot) -> None:
        """Add the commands of a decision."""
        self._commands += [(command, snapshot) for command in commands]

    async def send(self) -> None:
        """Offer each command to the plugins, in their order, until one answers. Never fails."""
        while self._commands:
            command, snapshot = self._commands.pop(0)
            answer = None
            for call in self._chain.pool_command:
                answer = await self._offer(call, command, snapshot)
                if answer is not None:
                    break
            if answer is not True:
                what = "refused" if answer is False else "taken by no plugin"
                self._observer.logger.warning("the command %s was %s", command, what)

    async def _offer(self, call: Call, command: PoolCommand, snapshot: Snapshot) -> bool | None:
        try:
            answer = call.function(command, snapshot)
            if call.is_async:
                with self._clock.move_on_after(self._hook_timeout) as scope:
                    answer = await answer
                if scope.cancelled_caught:
                    raise PluginError(  # noqa: TRY301 - told like any other failure
                        f"took longer than {self._hook_timeout:g} s",
                        hint="see limits.hook_timeout",
                    )
        except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
            self._observer.plugin_failed(call.failure(problem))
            return None
        return None if answer is None else bool(answer)
