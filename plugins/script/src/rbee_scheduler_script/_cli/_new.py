"""``policy new``: a policy from a template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from rbee_scheduler.cli._options import output_options


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output


__all__ = ["new"]


@click.command()
@click.argument("file", required=False)
@click.option("--template", metavar="NAME", help="Which one; without it they are listed.")
@output_options
def new(*, output: Output, file: str | None, template: str | None) -> None:
    """Write a policy from a template.

    Into FILE, which must not exist; without FILE it is printed, and without --template the
    templates are listed.
    """
    from rbee_scheduler import ConfigError
    from rbee_scheduler_script._template_files import find_template, templates

    if template is None:
        if file is not None:
            raise click.UsageError("name a template, with --template")
        found = templates()
        output.emit(
            {"templates": [attrs.asdict(one) for one in found]},
            lambda: output.table(("template", "decides"), [(one.name, one.about) for one in found]),
        )
        return
    chosen = find_template(template)
    if file is None:
        output.emit(attrs.asdict(chosen), chosen.source.rstrip("\n"))
        return
    try:
        with Path(file).open("x", encoding="utf-8", newline="\n") as target:
            target.write(chosen.source)
    except FileExistsError as error:
        raise ConfigError(
            "it exists, and nothing is overwritten", place=file, hint="choose another name"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"can't write it: {error.strerror or error}", place=file, hint="check the path"
        ) from error
    output.emit(
        {"file": file, "template": chosen.name},
        f"{file} written; try it: rbee-scheduler policy check {file}",
    )
