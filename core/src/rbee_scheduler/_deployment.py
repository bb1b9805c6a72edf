"""The deployment: everything one running scheduler is made of, as data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from rbee_scheduler._catalog import Catalog, ModelInfo
from rbee_scheduler._errors import ConfigError
from rbee_scheduler._plugins import PluginConfig
from rbee_scheduler._settings import SchedulerConfig
from rbee_scheduler._worker import Worker


if TYPE_CHECKING:
    from rbee_scheduler._clock import Clock
    from rbee_scheduler._plugins import Plugins
    from rbee_scheduler._registry import WorkerRegistry
    from rbee_scheduler._scheduler import Scheduler


__all__ = ["BACKENDS", "Deployment", "Document"]

BACKENDS = ("asyncio", "trio")


def _known_backend(_: Any, attribute: Any, value: Any) -> None:
    if value not in BACKENDS:
        raise ConfigError(
            f"{attribute.name} is {value!r}",
            place=f"$.{attribute.name}",
            hint=f"it must be one of {', '.join(BACKENDS)}",
        )


def _unique(key: str) -> Any:
    """Return an attrs validator: no two tables share the value of ``key``."""

    def validate(_: Any, attribute: Any, tables: Sequence[Any] | None) -> None:
        seen: set[str] = set()
        for index, table in enumerate(tables or ()):
            value = getattr(table, key)
            if value in seen:
                raise ConfigError(
                    f"{value!r} is there twice",
                    place=f"$.{attribute.name}[{index}].{key}",
                    hint=f"give each [[{attribute.name}]] table {_article(key)} of its own",
                )
            seen.add(value)

    return validate


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _known_models(_: Any, attribute: Any, models: Sequence[ModelInfo]) -> None:
    try:
        Catalog(models)
    except ConfigError as error:
        error.place = f"$.{attribute.name}"
        raise


@attrs.frozen(kw_only=True)
class Document(SchedulerConfig):
    """The shape of ``rbee-scheduler.toml``: a scheduler's settings, and what it works with.

    Attributes:
        backend: Event loop of the command line: ``"asyncio"`` or ``"trio"``.
        plugins: Plugin instances in the order of asking; None: all installed plugins.
        workers: Workers that are always there; others come by heartbeat or option.
        models: The catalog: what is known of each model, and its aliases.
    """

    backend: str = attrs.field(default="asyncio", validator=_known_backend)
    plugins: tuple[PluginConfig, ...] | None = attrs.field(default=None, validator=_unique("name"))
    workers: tuple[Worker, ...] = attrs.field(default=(), validator=_unique("id"))
    models: tuple[ModelInfo, ...] = attrs.field(default=(), validator=_known_models)


@attrs.frozen(kw_only=True)
class Deployment:
    """Everything one running scheduler is made of.

    Attributes:
        scheduler: The scheduler's settings.
        plugins: Plugin instances in the order of asking; None: all installed plugins.
        workers: Workers that are always there.
        models: The catalog.
        backend: Event loop of the command line: ``"asyncio"`` or ``"trio"``.

    Example:
        >>> worker = Worker(id="w1", url="http://127.0.0.1:8081", model="m")
        >>> deployment = Deployment(workers=(worker,))
        >>> scheduler = deployment.make_scheduler(plugins=deployment.load_plugins(no_plugins=True))
        >>> [worker.id for worker in scheduler.registry.snapshot().free("m")]
        ['w1']
    """

    scheduler: SchedulerConfig = attrs.field(factory=SchedulerConfig)
    plugins: tuple[PluginConfig, ...] | None = None
    workers: tuple[Worker, ...] = ()
    models: tuple[ModelInfo, ...] = ()
    backend: str = attrs.field(default="asyncio", validator=_known_backend)

    @classmethod
    def from_document(cls, document: Document) -> Deployment:
        """Return the deployment that a configuration file describes."""
        own = {field.name: getattr(document, field.name) for field in attrs.fields(SchedulerConfig)}
        return cls(
            scheduler=SchedulerConfig(**own),
            plugins=document.plugins,
            workers=document.workers,
            models=document.models,
            backend=document.backend,
        )

    def load_plugins(
        self,
        *,
        only: Collection[str] | None = None,
        block: Collection[str] = (),
        no_plugins: bool = False,
        strict: bool = False,
    ) -> Plugins:
        """Import and configure the plugins.

        Args:
            only: As for `Plugins`.
            block: As for `Plugins`.
            no_plugins: Use none; they all show as blocked.
            strict: As for `Plugins`.

        Raises:
            ConfigError: A listed plugin is not installed.
            PluginError: With ``strict``: a plugin can't be used.
        """
        from rbee_scheduler._plugins import Plugins

        return Plugins(self.plugins, only=() if no_plugins else only, block=block, strict=strict)

    def make_registry(self, *, clock: Clock | None = None) -> WorkerRegistry:
        """Return a registry with the catalog and the workers of the deployment."""
        from rbee_scheduler._registry import WorkerRegistry

        registry = WorkerRegistry(
            clock=clock, catalog=Catalog(self.models), liveness=self.scheduler.liveness
        )
        for worker in self.workers:
            registry.add(worker)
        return registry

    def make_scheduler(
        self,
        *,
        plugins: Plugins | None = None,
        registry: WorkerRegistry | None = None,
        clock: Clock | None = None,
        **options: Any,
    ) -> Scheduler:
        """Return a scheduler that is ready to decide; its ``registry`` holds the workers.

        Args:
            plugins: From `load_plugins`; loaded as the deployment says when not given.
            registry: Used as it is, instead of one with the deployment's workers.
            clock: Source of time of a registry made here.
            **options: Passed on to `Scheduler`: ``client``, ``transport``, ``rng``, ``logger``.

        Raises:
            ConfigError: A plugin or strategy that is asked for is not there.
        """
        from rbee_scheduler._scheduler import Scheduler

        return Scheduler(
            registry if registry is not None else self.make_registry(clock=clock),
            plugins if plugins is not None else self.load_plugins(),
            self.scheduler,
            **options,
        )
