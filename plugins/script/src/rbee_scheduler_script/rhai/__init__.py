"""Rhai for Python."""

from __future__ import annotations

from ._errors import RhaiError
from ._hosts import HostFunction, host
from ._lexer import Comment
from ._limits import Limits
from ._parser import parse
from ._program import Program, compile
from ._run import Run
from ._values import Blob, Char, FnPtr, Range


__all__ = [
    "Blob", "Char", "Comment", "FnPtr", "HostFunction", "Limits", "Program", "Range", "RhaiError",
    "Run", "compile", "host", "parse",
]  # fmt: skip
