"""``policy helpers``: the functions that policies may call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rbee_scheduler.cli._options import output_options


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output


__all__ = ["helpers"]


@click.command()
@click.argument("name", required=False)
@output_options
def helpers(*, output: Output, name: str | None) -> None:
    """List the functions that policies may call.

    With a NAME: all about those whose name contains it. The standard functions of the language
    are not listed.
    """
    from rbee_scheduler import ConfigError
    from rbee_scheduler_script._helpers import CATALOG
    from rbee_scheduler_script._helpers._page import shown_value

    rows = CATALOG.to_dict()
    if name is not None:
        rows = [row for row in rows if name in row["name"]]
        if not rows:
            raise ConfigError(f"there is no helper {name!r}", hint="policy helpers lists all")
        lines = [
            line
            for row in rows
            for line in (
                *row["signatures"],
                f"    {row['answers']}",
                f"    {row['example']}  ->  {shown_value(row['gives'])}",
                "",
            )
        ]
        output.emit({"helpers": rows}, "\n".join(lines).rstrip())
        return
    columns = ("group", "call", "answers")
    cells = [(row["group"], row["signatures"][0], row["answers"]) for row in rows]
    output.emit({"helpers": rows}, lambda: output.table(columns, cells))
