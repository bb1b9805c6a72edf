"""The command line ``rbee-scheduler``: data on stdout, messages on stderr, ``--json`` everywhere.

* `_main`: the root group and its table of commands; `_group`: how they are found and run.
* `_options`, `_output`, `_failure`, `_input`, `_backend`: what all commands share.
* every other room: one command.
"""

from __future__ import annotations

from rbee_scheduler.cli._main import cli, main


__all__ = ["cli", "main"]
