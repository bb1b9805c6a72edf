"""The reception: what is checked and settled of a request before anybody is asked."""

from __future__ import annotations

from rbee_scheduler._errors import InvalidRequest, PromptTooLarge, Rejected
from rbee_scheduler._life import RequestLife
from rbee_scheduler._observe import Observer
from rbee_scheduler._patience import Patience
from rbee_scheduler._plugins import Chain, Plugins
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._settings import SchedulerConfig


__all__ = ["Reception"]


class Reception:
    """Receives requests.

    Args:
        registry: Its catalog resolves aliases, its clock is the time.
        plugins: The strategies there are.
        config: The settings.
        observer: Who is told of requests.

    Attributes:
        chain: The hooks of the deployment's strategy.
    """

    __slots__ = ("_clock", "_config", "_observer", "_plugins", "_registry", "chain")

    def __init__(
        self,
        registry: WorkerRegistry,
        plugins: Plugins,
        config: SchedulerConfig,
        observer: Observer,
    ) -> None:
        self._registry = registry
        self._clock = registry.clock
        self._plugins = plugins
        self._config = config
        self._observer = observer
        self.chain: Chain = plugins.chain(config.strategy or plugins.default_strategy)

    def receive(self, request: InferenceRequest, *, quiet: bool = False) -> RequestLife:
        """Return the life of ``request``: canonical, with its strategy and its time limit.

        Args:
            request: The request as it came.
            quiet: Whether nobody is told of it: for dry runs.

        Raises:
            PromptTooLarge: Its prompt is longer than the deployment allows.
            Rejected: It names a strategy, and may not.
            InvalidRequest: There is no such strategy.
        """
        limits = self._config.limits
        if _prompt_bytes(request, limits.max_prompt_bytes) > limits.max_prompt_bytes:
            raise PromptTooLarge(
                f"the prompt has over {limits.max_prompt_bytes} bytes",
                place="$.messages" if request.messages else "$.prompt",
                hint="shorten it, or raise limits.max_prompt_bytes",
            )
        chain = self.chain
        if request.strategy is not None and request.strategy != chain.strategy:
            if not self._config.allow_strategy_override:
                raise Rejected(
                    "this deployment lets no request name a strategy",
                    place="$.strategy",
                    hint="leave it out",
                )
            if request.strategy not in self._plugins.strategies:
                raise InvalidRequest(
                    f"there is no strategy {request.strategy!r}",
                    place="$.strategy",
                    hint=f"there are: {', '.join(self._plugins.strategies)}",
                )
            chain = self._plugins.chain(request.strategy)
        clock = self._clock
        now = clock.now()
        model = self._registry.catalog.resolve(request.model)
        if model != request.model or not request.created_at:
            request = request.changed(model=model, created_at=request.created_at or now)
        seconds = self._config.timeout.total
        deadline = request.deadline_at(request.created_at)
        if deadline is not None:
            seconds = min(seconds, (deadline - now) / 1000.0)
        began_at = clock.monotonic()
        return RequestLife(
            request,
            chain,
            patience=Patience(clock, began_at + seconds),
            began_at=began_at,
            clock=clock,
            observer=self._observer,
            hook_timeout=limits.hook_timeout,
            quiet=quiet,
        )


def _prompt_bytes(request: InferenceRequest, enough: int) -> int:
    """Return the size of the prompt and of the messages as UTF-8; exact beyond ``enough``."""
    texts = [request.prompt]
    for message in request.messages:
        texts += [value if type(value) is str else str(value) for value in message.values()]
    characters = sum(map(len, texts))
    # UTF-8 takes 1 to 4 bytes per character, so that most prompts need no encoding.
    if characters * 4 <= enough or characters > enough:
        return characters
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
