"""The deployment that a command works on, read when it asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar


if TYPE_CHECKING:
    from rbee_scheduler import Configuration, Plugins, Scheduler
    from rbee_scheduler.cli._options import Settings


__all__ = ["DeploymentSource"]

T = TypeVar("T")


class DeploymentSource:
    """The deployment that the options, the environment and the file describe; read when asked.

    Nothing is imported or read before a method is called, so a command may take a source
    and not use it.
    """

    __slots__ = ("_configuration", "_plugins", "_settings")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configuration: Configuration | None = None
        self._plugins: Plugins | None = None

    def override(self, key: str, value: str, origin: str) -> None:
        """Let ``value`` (as text) win over the environment and the file.

        Args:
            key: Dotted key, such as ``"queue.capacity"``.
            value: As it would stand after ``--set key=``.
            origin: The option it came from, for messages and ``config show --origin``.
        """
        self._settings.overrides += ((key, value, origin),)
        self._configuration = self._plugins = None

    def configuration(self) -> Configuration:
        """Return the configuration with the origin of each value.

        Raises:
            ConfigError: The file, a variable or an option is wrong.
        """
        if self._configuration is None:
            from rbee_scheduler._config import load_configuration

            self._configuration = load_configuration(
                self._settings.config, overrides=self._settings.overrides
            )
        return self._configuration

    def plugins(self) -> Plugins:
        """Return the plugins, as ``--block``, ``--no-plugins`` and ``--strict`` say."""
        if self._plugins is None:
            self._plugins = self.configuration().deployment.load_plugins(
                block=self._settings.block,
                no_plugins=self._settings.no_plugins,
                strict=self._settings.strict,
            )
        return self._plugins

    def scheduler(self, **options: Any) -> Scheduler:
        """Return a scheduler over the deployment's workers; ``.registry`` takes more of them.

        Args:
            **options: As for `Deployment.make_scheduler`: ``registry``, ``clock``, ``client``...
        """
        deployment = self.configuration().deployment
        return deployment.make_scheduler(plugins=self.plugins(), **options)

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run an async function to its end on the deployment's backend (``--backend`` wins).

        Raises:
            ConfigError: The backend is not installed.
        """
        from rbee_scheduler.cli._backend import run_on

        return run_on(self.configuration().deployment.backend, function, *args)
