"""``audit verify``, ``export``, ``prune``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

import attrs
import click

from rbee_scheduler import ConfigError
from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._output import Output
from rbee_scheduler_platform._audit._export import export_lines
from rbee_scheduler_platform._audit._verify import (
    Verification,
    read_anchor,
    verify,
    write_anchor,
)
from rbee_scheduler_platform._cli._common import StoreAccess, duration, moment, store_options
from rbee_scheduler_platform._store._protocol import Store


__all__ = ["export", "prune", "verify_"]


@click.command("verify")
@click.option(
    "--anchor",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the head of the last time; written when all is sound.",
)
@store_options
@click.pass_context
def verify_(
    context: click.Context, *, anchor: Path | None, access: StoreAccess, output: Output
) -> None:
    """Walk the chain and name the first bad record; exit code 1 when there is one.

    Keep the anchor where the service can't write: with it, records that were cut off the end
    are missed, too.
    """
    kept = None if anchor is None else read_anchor(anchor)

    async def work(store: Store) -> Verification:
        return await verify(store, anchor=kept)

    found = access.run(work)
    if found.sound and anchor is not None and found.checked:
        write_anchor(anchor, found.head)
    data = attrs.asdict(found) | {"sound": found.sound}
    if found.sound:
        output.emit(data, f"{found.checked} records, all sound; head {found.head.hash or '-'}")
        return
    output.emit(data, f"record {found.bad}: {found.reason}; {found.checked} before it are sound")
    context.exit(NEGATIVE)


@click.command("export")
@click.argument("target", metavar="[FILE]", default="-")
@click.option("--since", type=moment, help="First moment, UTC.")
@click.option("--until", type=moment, help="Moment from which on none is written, UTC.")
@store_options
def export(
    target: str, *, since: float | None, until: float | None, access: StoreAccess, output: Output
) -> None:
    """Write the records as JSON lines; - (the default) is stdout.

    A line is the record's canonical JSON and, last, the sha256 of all before it.
    """

    async def copy(store: Store, file: IO[str]) -> int:
        count = 0
        async for line in export_lines(store, since=since or 0.0, until=until):
            file.write(f"{line}\n")
            count += 1
        file.flush()
        return count

    if target == "-":
        access.run(lambda store: copy(store, sys.stdout))
        return
    try:
        # The trail names tenants: it is the owner's alone, like the store.
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"can't write it: {error.strerror or error}", place=target, hint="choose another name"
        ) from error
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        count = access.run(lambda store: copy(store, file))
    output.emit({"exported": count, "file": target}, f"{count} records written to {target}")


@click.command("prune")
@click.option(
    "--older-than", type=duration, required=True, help="Age of what is deleted; such as 365d."
)
@store_options
def prune(*, older_than: float, access: StoreAccess, output: Output) -> None:
    """Delete the oldest records, and leave a checkpoint so that the chain still verifies."""
    now = access.clock.now()

    async def work(store: Store) -> int:
        return await store.prune_audit(now - older_than * 1000.0, now, "cli")

    count = access.run(work)
    output.emit({"deleted": count}, f"{count} records deleted")
