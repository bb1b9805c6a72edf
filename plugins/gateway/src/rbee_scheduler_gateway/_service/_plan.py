"""The plan: what to serve, as the command line says; read as often as the files change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from rbee_scheduler import (
    ConfigError,
    Configuration,
    Deployment,
    Plugins,
    load_configuration,
    structure,
)
from rbee_scheduler_gateway._options import GatewayOptions, options_of


__all__ = ["DEFAULT_STRATEGY", "Plan", "with_default_strategy"]

# Spreads load over whatever workers there are, without a word of configuration.
DEFAULT_STRATEGY = "least-in-flight"
_ITS_PLUGIN = "strategies"

# Chooses plugins beside the configuration; see `Plugins`.
_ONLY_VARIABLE = "RBEE_SCHEDULER_PLUGINS"


def with_default_strategy(configuration: Configuration) -> Deployment:
    """Return the deployment, with a strategy where its owner named neither one nor plugins."""
    deployment = configuration.deployment
    named = deployment.scheduler.strategy or configuration.origins.get("strategy") != "default"
    if named or deployment.plugins is not None or _ONLY_VARIABLE in os.environ:
        return deployment
    scheduler = attrs.evolve(deployment.scheduler, strategy=DEFAULT_STRATEGY)
    return attrs.evolve(deployment, scheduler=scheduler)


@attrs.frozen(kw_only=True)
class Plan:
    """What to serve, and how.

    Attributes:
        config: Path of the configuration file; None: the one that is found.
        overrides: As for `load_configuration`.
        block: Plugins to leave out.
        no_plugins: Use none.
        strict: Stop when a plugin can't be used.
        urls: Workers instead of the configured ones.
        api_key: Bearer token for those.
        tokens: Tokens beside the configured ones.
        token_file: A file with more of them, one a line.
        options: Options of the gateway by name; they win over the configuration's.
        as_json: Whether failures are told as JSON.
    """

    config: str | None = None
    overrides: tuple[tuple[str, str, str], ...] = ()
    block: tuple[str, ...] = ()
    no_plugins: bool = False
    strict: bool = False
    urls: tuple[str, ...] = ()
    api_key: str | None = attrs.field(default=None, repr=False)
    tokens: tuple[str, ...] = attrs.field(default=(), repr=False)
    token_file: str = ""
    options: Mapping[str, Any] = attrs.field(factory=dict)
    as_json: bool = False

    @classmethod
    def from_json(cls, text: bytes | str) -> Plan:
        """Return the plan that `to_json` wrote."""
        return structure(json.loads(text), cls, place="plan", error=ConfigError)

    def to_json(self) -> bytes:
        """Return the plan for another process."""
        return json.dumps(attrs.asdict(self)).encode()

    # ---- reading it --------------------------------------------------------------------

    def configuration(self) -> Configuration:
        """Return the configuration as it is now.

        Raises:
            ConfigError: It is wrong.
        """
        return load_configuration(self.config, overrides=self.overrides)

    def load(self) -> tuple[Deployment, GatewayOptions]:
        """Return what to serve with: the configuration, below what the command line said.

        Raises:
            ConfigError: A file, a variable or an option is wrong.
        """
        configuration = self.configuration()
        deployment = configuration.deployment
        if not self.no_plugins and _ITS_PLUGIN not in self.block:
            deployment = with_default_strategy(configuration)
        if self.urls:
            deployment = attrs.evolve(deployment, workers=self._workers())
        options = options_of(deployment)
        for name, value in self.options.items():
            options = _with(options, name, value, f"--{name.replace('_', '-')}")
        tokens = (*options.tokens, *self.tokens)
        options = _with(options, "tokens", tokens, "--token or RBEE_GATEWAY_TOKEN")
        if self.token_file:
            tokens = (*tokens, *_tokens_in(self.token_file))
            options = _with(options, "tokens", tokens, self.token_file)
        return deployment, options

    def load_plugins(self, deployment: Deployment) -> Plugins:
        """Return the deployment's plugins.

        Raises:
            ConfigError: One that is listed is not installed.
            PluginError: When `strict`: one can't be used.
        """
        return deployment.load_plugins(
            block=self.block, no_plugins=self.no_plugins, strict=self.strict
        )

    def files(self, options: GatewayOptions) -> Iterator[Path]:
        """Yield the files that all this was read from."""
        path = self.configuration().path
        if path is not None:
            yield path
        yield from map(Path, filter(None, (self.token_file, options.tls_cert, options.tls_key)))

    def _workers(self) -> tuple[Any, ...]:
        from rbee_scheduler.cli._fleet import workers_at

        return workers_at(self.urls, self.api_key)


def _with(options: GatewayOptions, name: str, value: Any, place: str) -> GatewayOptions:
    try:
        return attrs.evolve(options, **{name: value})
    except ConfigError as error:
        error.place = place
        raise


def _tokens_in(path: str) -> tuple[str, ...]:
    """Return the tokens of a file: one a line; empty lines and comments (#) are none."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the tokens: {error}", place=path) from error
    words = (line.strip() for line in lines)
    return tuple(word for word in words if word and not word.startswith("#"))
