"""`format_source`: a script in the one form that all scripts have.

    _pieces     tokens and comments with their own text
    _groups     brackets, blocks and statements
    _measure    widths and spaces
    _writer     lines

Only blanks between tokens change, and never what the script says: the result is parsed, and where
it would read otherwise (a text that goes on in the next line up to a column), the script stays as
it is.
"""

from __future__ import annotations

from rbee_scheduler_script._format._formatter import format_source


__all__ = ["format_source"]
