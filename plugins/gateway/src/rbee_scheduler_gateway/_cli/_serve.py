"""``rbee-scheduler serve``: one HTTP service in front of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rbee_scheduler.cli._fleet import fleet_options
from rbee_scheduler.cli._options import (
    DeploymentSource,
    backend_option,
    deployment_options,
    output_options,
    settings_of,
)
from rbee_scheduler.cli._output import Output


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rbee_scheduler_gateway._service import Started


__all__ = ["serve"]

TOKEN_VARIABLE = "RBEE_GATEWAY_TOKEN"  # noqa: S105 - the name of a variable


@click.command()
@fleet_options
@click.option("--host", metavar="ADDRESS", help="Where to listen; by default 127.0.0.1.")
@click.option("--port", type=int, metavar="PORT", help="By default 8080; 0: any free one.")
@click.option("--mode", type=click.Choice(["home", "lab", "platform"]), help="By default home.")
@click.option(
    "--token",
    "tokens",
    multiple=True,
    envvar=TOKEN_VARIABLE,
    show_envvar=True,
    metavar="TOKEN",
    help="Token that clients must send. May be repeated.",
)
@click.option("--token-file", metavar="FILE", help="File with tokens, one a line.")
@click.option("--strategy", metavar="NAME", help="Strategy that decides.")
@click.option("--processes", type=int, metavar="N", help="Processes that share the port.")
@click.option(
    "--process-port", type=int, metavar="PORT", help="Process n answers alone at PORT + n, too."
)
@click.option("--drain-seconds", type=float, metavar="S", help="For requests under way at the end.")
@click.option("--tls-cert", metavar="FILE", help="Certificate chain, PEM; makes it HTTPS.")
@click.option("--tls-key", metavar="FILE", help="Its key, PEM.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["auto", "json", "text"]))
@click.option(
    "--access-log", type=click.Choice(["all", "errors", "none"]), help="By default errors."
)
@deployment_options
@backend_option
@output_options
def serve(
    *,
    output: Output,
    source: DeploymentSource,
    urls: Sequence[str],
    api_key: str | None,
    tokens: Sequence[str],
    token_file: str | None,
    strategy: str | None,
    **flags: Any,
) -> None:
    """Serve all workers behind one OpenAI API.

    Options win over the configuration's. Ends with SIGTERM or Ctrl-C once what runs has ended;
    a second one ends it at once. SIGHUP, or a change of the file, reloads the configuration.
    """
    from rbee_scheduler_gateway._service import Plan

    if strategy is not None:
        source.override("strategy", strategy, "--strategy")
    settings = settings_of(click.get_current_context())
    plan = Plan(
        config=settings.config,
        overrides=settings.overrides,
        block=settings.block,
        no_plugins=settings.no_plugins,
        strict=settings.strict,
        urls=tuple(urls),
        api_key=api_key,
        tokens=tuple(tokens),
        token_file=token_file or "",
        options={name: value for name, value in flags.items() if value is not None},
        as_json=output.as_json,
    )
    _, options = plan.load()
    interrupted = source.run(_serve_with(options.processes), plan, _announcer(output))
    if interrupted:
        raise KeyboardInterrupt


def _serve_with(processes: int) -> Callable[..., Any]:
    if processes == 1:
        from rbee_scheduler_gateway._service import serve_alone

        return serve_alone
    from rbee_scheduler_gateway._service._parent import serve_together

    return serve_together


def _announcer(output: Output) -> Callable[[Started], None]:
    def announce(started: Started) -> None:
        if output.as_json:
            output.json_line(started)
            return
        facts = [f"{started.mode} mode", f"strategy {started.strategy}"]
        if started.processes > 1:
            facts.append(f"{started.processes} processes")
        facts.append(
            f"{started.usable} of {started.workers} workers usable"
            if started.workers
            else "no workers yet"
        )
        output.message(f"serving on {started.url} ({', '.join(facts)})")

    return announce
