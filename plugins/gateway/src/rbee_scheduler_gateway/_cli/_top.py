"""``rbee-scheduler top``: a gateway's workers, queue and rates, live in the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from rbee_scheduler.cli._options import (
    DeploymentSource,
    backend_option,
    deployment_options,
    output_options,
)
from rbee_scheduler.cli._output import is_terminal


if TYPE_CHECKING:
    import httpx

    from rbee_scheduler.cli._output import Output


__all__ = ["top"]

TOKEN_VARIABLE = "RBEE_GATEWAY_TOKEN"  # noqa: S105 - the name of a variable

# Longest wait for an answer of the gateway. Seconds.
_PATIENCE = 10.0


@click.command()
@click.option(
    "--url",
    default="http://127.0.0.1:8080",
    show_default=True,
    metavar="URL",
    help="Where the gateway is.",
)
@click.option(
    "--token",
    envvar=TOKEN_VARIABLE,
    show_envvar=True,
    metavar="TOKEN",
    help="An operator's token.",
)
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Between two looks; rates are over that time.",
)
@click.option("--once", is_flag=True, help="Print one table and end.")
@deployment_options
@backend_option
@output_options
def top(
    *,
    output: Output,
    source: DeploymentSource,
    url: str,
    token: str | None,
    interval: float,
    once: bool,
) -> None:
    """Show a gateway's workers, queue and rates, live.

    Ends with q or Ctrl-C. Where stdout is no terminal, and with --once or --json, one table of
    two looks is printed.
    """
    dumb = os.environ.get("TERM", "") == "dumb"
    live = is_terminal(sys.stdout) and not dumb and not once and not output.as_json
    source.run(_watch if live else _print, output, url.rstrip("/"), token, interval)


def _client(url: str, token: str | None) -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(
        base_url=url,
        headers={} if token is None else {"authorization": f"Bearer {token}"},
        limits=httpx.Limits(max_connections=1),
        timeout=_PATIENCE,
        trust_env=False,  # a proxy is not what stands between an operator and the gateway
    )


async def _print(output: Output, url: str, token: str | None, interval: float) -> None:
    from rbee_scheduler import SystemClock
    from rbee_scheduler_gateway._top import picture, read_gateway, view_of

    clock = SystemClock()
    async with _client(url, token) as client:
        before = await read_gateway(client, clock)
        await clock.sleep(interval)
        view = view_of(before, await read_gateway(client, clock))
    output.emit(view, lambda: "\n".join(picture(view, url, color=output.colored(sys.stdout))))


async def _watch(output: Output, url: str, token: str | None, interval: float) -> None:
    import anyio

    from rbee_scheduler import SchedulerError, SystemClock
    from rbee_scheduler_gateway._top import picture, read_gateway, view_of
    from rbee_scheduler_gateway._top._screen import Screen, key_pressed, keys

    clock = SystemClock()
    color = output.colored(sys.stdout)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    async with _client(url, token) as client:
        first = await read_gateway(client, clock)  # what is wrong from the start ends it

        async def draw() -> None:
            before, reading, note = first, first, ""
            while True:
                columns, rows = screen.size()
                columns -= 1  # behind the last one some terminals begin a new line
                view = view_of(before, reading)
                screen.show(picture(view, url, columns=columns, rows=rows, color=color, note=note))
                await clock.sleep(interval)
                try:
                    before, reading = reading, await read_gateway(client, clock)
                    note = ""
                except SchedulerError as error:  # it may come back
                    note = f"as it was before: {error.message}"

        with keys() as pressed, Screen(write, shutil.get_terminal_size) as screen:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(draw)
                await key_pressed(pressed)
                tasks.cancel_scope.cancel()
