"""The demo's scenario: many requests, few workers, and one of them dies half-way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import anyio
import attrs

from rbee_scheduler._errors import ConfigError
from rbee_scheduler._events import Started, StreamEvent
from rbee_scheduler._plugins import PluginConfig, Plugins, installed_plugins
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._scheduler import Scheduler
from rbee_scheduler._settings import SchedulerConfig
from rbee_scheduler._transport import HttpxTransport
from rbee_scheduler._validate import number
from rbee_scheduler._watch import watch_workers
from rbee_scheduler.demo._llama import llama_servers
from rbee_scheduler.demo._model import tiny_model
from rbee_scheduler.demo._notes import policy_notes
from rbee_scheduler.demo._record import Record, Report, report_of
from rbee_scheduler.demo._server import LlamaServer
from rbee_scheduler.demo._story import STORY_TOKENS, story_after


__all__ = ["Scenario", "Show", "play", "watchable_model"]

MODEL: Final = "tiny-bee"
SIMPLE: Final = "simple"
# By name, as a deployment would list it: no plugin is imported here.
SCRIPT: Final = "script"
POLICY: Final = "policy"

# A request that ends within the story is answered with the rest of it.
_PROMPTS: Final = (
    "Tell me a story!",
    "What did the smallest bee do?",
    "Once upon a time",
    "Please tell me of llamas.",
    "A story, please: Once upon a time the smallest bee of our quiet farm",
    "Who finished the letters?",
)


class Show(Protocol):
    """Who shows the demo while it runs."""

    def begin(self, servers: dict[str, LlamaServer], strategy: str) -> None:
        """The workers, by id, are ready."""

    def event(self, record: Record, event: StreamEvent) -> None:
        """Something happened to a request; ``record`` knows it already."""

    def killed(self, worker_id: str, server: LlamaServer) -> None:
        """A worker was killed."""

    def note(self, text: str) -> None:
        """Something else is to be said, such as: the policy has changed."""

    def end(self) -> None:
        """Nothing more will come, whatever the reason."""


@attrs.frozen(kw_only=True)
class Scenario:
    """What the demo does.

    Attributes:
        requests: Requests in all.
        concurrency: Requests under way at once.
        workers: llama.cpp servers.
        kill: Whether to kill one of them half-way.
        strategy: Strategy that decides; empty: ``simple`` where that plugin is installed.
        policy: File of a policy that decides instead; it may change while the demo runs.
    """

    requests: int = attrs.field(default=40, validator=number(at_least=1))
    concurrency: int = attrs.field(default=8, validator=number(at_least=1))
    workers: int = attrs.field(default=3, validator=number(at_least=1))
    kill: bool = True
    strategy: str = ""
    policy: str = ""

    def __attrs_post_init__(self) -> None:
        if self.policy and self.strategy:
            raise ConfigError(
                "there is both a strategy and a policy", hint="use --strategy or --policy"
            )
        if self.kill and self.workers < 2:  # noqa: PLR2004 - one must be left
            raise ConfigError(
                "the only worker can't be killed", hint="use --workers 2 or more, or --no-kill"
            )

    @property
    def slots(self) -> int:
        """Slots of each worker: together, enough for what is under way at once."""
        return -(-self.concurrency // self.workers)

    @property
    def half(self) -> int:
        """Requests that have ended when the worker is killed; others are yet to begin."""
        return max(0, min(self.requests // 2, self.requests - self.concurrency))


def watchable_model(cache_dir: Path | None = None) -> Path:
    """Return the story model at a speed that can be watched: 68 MB, some 260 tokens/s.

    Args:
        cache_dir: As for `tiny_model`.
    """
    return tiny_model(cache_dir, width=512, layers=8, heads=8, hidden=2048, half=True)


async def play(scenario: Scenario, model: Path, show: Show, *, backend: str = "asyncio") -> Report:
    """Start the workers, send the requests, kill a worker; return how it went.

    Args:
        scenario: What to do.
        model: The story model's file.
        show: Who shows it.
        backend: Name of the event loop, for the report.

    Raises:
        ServerStartFailed: A llama.cpp server did not come up.
        DemoExtraMissing: The extra ``rbee-scheduler[demo]`` is not installed.
        ConfigError: There is no such strategy.
    """
    plugins = _plugins(scenario)
    strategy = scenario.strategy or plugins.default_strategy
    registry, transport = WorkerRegistry(), HttpxTransport()
    config = SchedulerConfig(strategy=strategy)
    async with (
        policy_notes(show.note),
        Scheduler(registry, plugins, config, transport=transport) as scheduler,
        llama_servers(model, scenario.workers, slots=scenario.slots, context=256) as started,
    ):
        servers = {f"worker-{n}": server for n, server in enumerate(started, 1)}
        for worker_id, server in servers.items():
            registry.add_url(server.url, id=worker_id)
        async with watch_workers(registry, transport, interval=0.5):
            stage = _Stage(scenario, scheduler, servers, show)
            show.begin(servers, strategy)
            try:
                began = anyio.current_time()
                await stage.play()
                seconds = anyio.current_time() - began
            finally:
                show.end()
    return report_of(
        stage.records,
        backend=backend,
        strategy=strategy,
        seconds=seconds,
        workers=servers,
        killed=stage.killed,
    )


class _Stage:
    """The scenario under way."""

    def __init__(
        self, scenario: Scenario, scheduler: Scheduler, servers: dict[str, LlamaServer], show: Show
    ) -> None:
        self._scenario = scenario
        self._scheduler = scheduler
        self._servers = servers
        self._show = show
        self.records: list[Record] = []
        self.killed = ""

    async def play(self) -> None:
        numbers = iter(range(1, self._scenario.requests + 1))
        async with anyio.create_task_group() as tasks:
            for lane in range(self._scenario.concurrency):
                tasks.start_soon(self._send_all, lane, numbers)

    async def _send_all(self, lane: int, numbers: Iterator[int]) -> None:
        """Send requests one after the other, as long as there are any."""
        for n in numbers:
            prompt = _PROMPTS[n % len(_PROMPTS)]
            record = Record(
                job_id=f"job-{n:02}", lane=lane, prompt=prompt, expected=story_after(prompt)
            )
            self.records.append(record)
            request = InferenceRequest(
                job_id=record.job_id,
                model=MODEL,
                prompt=prompt,
                max_tokens=STORY_TOKENS + 8,
                temperature=0.0,
                resume=True,
            )
            async with self._scheduler.stream(request) as events:
                async for event in events:
                    record.take(event)
                    self._show.event(record, event)
                    if isinstance(event, Started):
                        self._maybe_kill(record)

    def _maybe_kill(self, record: Record) -> None:
        """Kill the worker that was just given a request, once half of them have ended.

        This very request is then sure to be served elsewhere, however late this process
        runs; and with the busiest worker, others are in the middle of their stories.
        """
        scenario = self._scenario
        running = Counter(one.worker_id for one in self.records if one.outcome is None)
        told = len(self.records) - running.total()
        mine = running[record.worker_id]
        busiest = mine == max(running.values()) and (mine > 1 or scenario.slots == 1)
        if scenario.kill and not self.killed and told >= scenario.half and busiest:
            self.killed = record.worker_id
            server = self._servers[record.worker_id]
            server.kill()
            self._show.killed(record.worker_id, server)


def _plugins(scenario: Scenario) -> Plugins:
    """Return the plugins: all where a strategy was asked for, else the one that decides."""
    if scenario.strategy:
        return Plugins()
    installed = {plugin.name for plugin in installed_plugins()}
    if not scenario.policy:
        return Plugins([SIMPLE] if SIMPLE in installed else [])
    if SCRIPT not in installed:
        raise ConfigError(
            "policies need the plugin 'script', which is not installed",
            hint="pip install rbee-scheduler-script",
        )
    policy = PluginConfig(
        name=POLICY, plugin=SCRIPT, options={"file": scenario.policy, "watch": True}
    )
    return Plugins([policy], only=[POLICY], strict=True)
