"""Options that commands share, and the two objects that carry what was chosen.

Each option may stand before the command's name or after it; what stands later wins, and
``--block``, ``--set``, ``-q`` and ``-v`` add up. A command takes them by decorator::

    @click.command()
    @deployment_options     # --config --set --block --no-plugins --strict  -> source
    @backend_option         # --backend                                     (source.run uses it)
    @output_options         # --json --color -q -v                          -> output
    def fleet(output: Output, source: DeploymentSource) -> None:
        scheduler = source.scheduler()
        output.emit(data, text)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import click
from click.core import ParameterSource

from rbee_scheduler.cli._output import ColorChoice, Output
from rbee_scheduler.cli._source import DeploymentSource


__all__ = [
    "DeploymentSource",
    "Settings",
    "backend_option",
    "deployment_options",
    "output_options",
    "settings_of",
]

_Function = Callable[..., Any]

_ADDING = frozenset({"block", "overrides", "quiet", "verbose"})


class Settings:
    """What the shared options say, collected from before and after the command's name.

    Attributes:
        as_json: ``--json``.
        color: ``--color``.
        verbose: How many ``-v``.
        quiet: How many ``-q``.
        config: ``--config``: path of the configuration file.
        overrides: ``(key, value as text, origin)`` of ``--set`` and of options that stand
            for a key, such as ``--backend``.
        block: ``--block``: plugin instances to leave out.
        no_plugins: ``--no-plugins``.
        strict: ``--strict``.
    """

    # No attrs here: importing it would take a third of the time that --help has.
    __slots__ = (
        "as_json", "block", "color", "config", "no_plugins",
        "overrides", "quiet", "strict", "verbose",
    )  # fmt: skip

    def __init__(self) -> None:
        self.as_json = False
        self.color: ColorChoice = "auto"
        self.verbose = 0
        self.quiet = 0
        self.config: str | None = None
        self.overrides: tuple[tuple[str, str, str], ...] = ()
        self.block: tuple[str, ...] = ()
        self.no_plugins = False
        self.strict = False

    def output(self) -> Output:
        """Return the `Output` that these settings ask for."""
        return Output(as_json=self.as_json, verbosity=self.verbose - self.quiet, color=self.color)


def settings_of(context: click.Context) -> Settings:
    """Return the settings that ``context`` shares with the contexts around it."""
    return context.ensure_object(Settings)


# ---- the options ---------------------------------------------------------------------------


def output_options(function: _Function) -> _Function:
    """Add ``--json --color -q -v`` to a command and pass it an ``output``."""

    def with_output(*args: Any, **kwargs: Any) -> Any:
        output = settings_of(click.get_current_context()).output()
        return function(*args, output=output, **kwargs)

    return _optioned(
        update_wrapper(with_output, function),
        _option("--json", "as_json", is_flag=True, help="Print data as JSON."),
        _option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            help="Colour the output; auto: on a terminal, as NO_COLOR, FORCE_COLOR and TERM say.",
        ),
        _option("-q", "--quiet", count=True, help="Say less."),
        _option("-v", "--verbose", count=True, help="Say more."),
    )


def deployment_options(function: _Function) -> _Function:
    """Add the options that choose the deployment to a command and pass it a ``source``."""

    def with_source(*args: Any, **kwargs: Any) -> Any:
        source = DeploymentSource(settings_of(click.get_current_context()))
        return function(*args, source=source, **kwargs)

    return _optioned(
        update_wrapper(with_source, function),
        _option("--config", metavar="FILE", help="Configuration file, instead of the one found."),
        _option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Set one configuration value, such as queue.capacity=10. May be repeated.",
        ),
        _option(
            "--block",
            multiple=True,
            metavar="NAME",
            help="Leave out a plugin. May be repeated.",
        ),
        _option("--no-plugins", is_flag=True, help="Use no plugins at all."),
        _option("--strict", is_flag=True, help="Stop when a plugin can't be used."),
    )


def backend_option(function: _Function) -> _Function:
    """Add ``--backend``; `DeploymentSource.run` goes by it."""
    return _optioned(
        function,
        _option(
            "--backend",
            type=click.Choice(["asyncio", "trio"]),
            help="Event loop to run on; by default the configuration's.",
        ),
    )


def _option(*names: str, **options: Any) -> Callable[[_Function], _Function]:
    return click.option(*names, expose_value=False, callback=_remember, **options)


def _optioned(function: _Function, *options: Callable[[_Function], _Function]) -> _Function:
    for option in reversed(options):
        function = option(function)
    return function


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Keep what was said on the command line; a default says nothing."""
    name = parameter.name or ""
    if context.get_parameter_source(name) in {None, ParameterSource.DEFAULT}:
        return value
    settings = settings_of(context)
    if name == "backend":
        settings.overrides += (("backend", value, "--backend"),)
    elif name == "overrides":
        settings.overrides += tuple(_assignment(text) for text in value)
    elif name in _ADDING:
        setattr(settings, name, getattr(settings, name) + value)
    else:
        setattr(settings, name, value)
    return value


def _assignment(text: str) -> tuple[str, str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--set")
    return key.strip(), value.strip(), f"--set {key.strip()}"
