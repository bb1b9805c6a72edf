"""docs/helpers.md, made of the catalogue: ``python -m rbee_scheduler_script.helpers_page``."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script._helpers._catalog import CATALOG, HelperCatalog


__all__ = ["page", "shown_value"]

# Paragraphs are one line each, as everywhere in the docs.
_HEAD: Final = (
    "# Helpers",
    "Made by `python -m rbee_scheduler_script.helpers_page > docs/helpers.md`; don't edit it.",
    (
        "{count} functions for policies, beside the standard functions of the language "
        "([Rhai as it runs here](rhai.md)). A helper may be called on its first argument: "
        "`idle(workers)` is `workers.idle()`. What looks among everything "
        "(`find_ready_worker(model)`) may be called on the second parameter of `schedule_job`, "
        "whatever its name: `registry.find_ready_worker(model)`."
    ),
    (
        '* "None" is `()`: the first of an empty array, an unknown id. Ties go to the earliest '
        "worker. A number that nobody knows is 0.\n"
        "* Helpers are deterministic: `random` and `round_robin` draw from the decision's own seed "
        "and number, and `now()` stands still during a decision.\n"
        "* Where the original's helper answered two values, it is a map: "
        '`#{{ok: false, reason: "..."}}`.'
    ),
    (
        "The examples run, as tests, on a fleet of four workers: `gpu-1` and `mac-1` in the pool "
        "`paris`, `gpu-2` and `gpu-3` in `ohio`. All but `gpu-3` serve the job's model and are its "
        "candidates (`workers`)."
    ),
)


def page(catalog: HelperCatalog = CATALOG) -> str:
    """Return docs/helpers.md."""
    lines = ["\n\n".join(_HEAD).format(count=len(catalog))]
    for group in catalog.groups:
        lines += ["", f"## {group.name}", "", group.about, ""]
        lines += ["| call | answers | example |", "|---|---|---|"]
        for helper in group.helpers:
            calls = "<br>".join(f"`{_cell(form)}`" for form in helper.forms)
            example = f"{_code(helper.example)} → `{_cell(shown_value(helper.gives))}`"
            lines.append(f"| {calls} | {_cell(helper.answers)} | {example} |")
    return "\n".join([*lines, ""])


def _code(text: str) -> str:
    """Return ``text`` as code; with back-ticks in it, between double ones."""
    return f"`` {_cell(text)} ``" if "`" in text else f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def shown_value(value: Any) -> str:
    """Return a value as Rhai writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown_value, value))}]"
    if isinstance(value, dict):
        return f"#{{{', '.join(f'{key}: {shown_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        return f'"{value}"'
    if value is None or isinstance(value, bool):
        return {None: "()", True: "true", False: "false"}[value]
    return str(value)
