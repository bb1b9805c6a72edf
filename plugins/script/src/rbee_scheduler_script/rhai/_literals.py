"""Numbers, characters and the three kinds of strings, as the lexer meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from ._errors import parsing, too_large
from ._tokens import I64_MAX, Token
from ._values import Char


if TYPE_CHECKING:
    from ._lexer import Lexer


_RADIX: Final = {"x": 16, "o": 8, "b": 2}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`"}
_HEX: Final = {"x": 2, "u": 4, "U": 8}
# More digits than any i64 or useful float; int() of a long text is quadratic.
_MAX_INT_DIGITS: Final = 24


def number(text: str, line: int, column: int) -> Token:
    """An integer or a float; a decimal too large for i64 becomes a float, a radix literal wraps."""
    digits = text.replace("_", "")
    radix = _RADIX.get(digits[1:2].lower()) if digits[:1] == "0" else None
    if radix is not None:
        body = digits[2:]
        value = int(body, radix) if body and len(body) <= 66 else -1  # noqa: PLR2004 - 64 bits and 0b
        if not 0 <= value < 2**64:
            raise parsing("BadInput", f"Invalid number: '{body}'", line, column)
        return Token("int", value - 2**64 if value > I64_MAX else value, line, column)
    if not digits.isdigit():
        return Token("float", float(digits), line, column)
    if len(digits) <= _MAX_INT_DIGITS and int(digits) <= I64_MAX + 1:
        # 2**63 is only good after a minus sign: the parser decides.
        return Token("int", int(digits), line, column)
    return Token("float", float(digits), line, column)


def read_string(lexer: Lexer, opening: str) -> Token:
    """The literal that starts at the lexer's position."""
    line, column = lexer.line, lexer.column()
    lexer.position += len(opening)
    if opening == "`":
        return _template(lexer, line, column)
    if opening[0] == "#":
        return _raw(lexer, opening, line, column)
    text = _quoted(lexer, opening, line, column)
    if opening == '"':
        return Token("string", text, line, column)
    if len(text) != 1:
        raise parsing("BadInput", f"Invalid character: '{text}'", line, column)
    return Token("char", Char(text), line, column)


def _unterminated(line: int, column: int) -> NoReturn:
    raise parsing("BadInput", "Open string is not terminated", line, column)


def _checked(lexer: Lexer, size: int) -> None:
    if size > lexer.limits.string_size:
        raise too_large("Length of string")


def _quoted(lexer: Lexer, quote: str, line: int, column: int) -> str:
    source = lexer.source
    end = len(source)
    out: list[str] = []
    indent = column
    while True:
        start = lexer.position
        at = start
        while at < end and source[at] not in "\"'\\\n":
            at += 1
        out.append(source[start:at])
        lexer.position = at
        char = source[at : at + 1]
        if char in ("", "\n"):
            _unterminated(line, column)
        lexer.position += 1
        if char == "\\":
            out.append(_escape(lexer, indent))
        elif char != quote:
            out.append(char)
        elif quote == '"' and source.startswith(quote, lexer.position):
            out.append(quote)
            lexer.position += 1
        else:
            text = "".join(out)
            _checked(lexer, len(text))
            return text


def _escape(lexer: Lexer, indent: int) -> str:
    source = lexer.source
    line, column = lexer.line, lexer.column() - 1
    code = source[lexer.position : lexer.position + 1]
    lexer.position += 1
    if code in _ESCAPES:
        return _ESCAPES[code]
    if code == "\n":
        # The string goes on in the next line; blanks up to the opening quote's column are skipped.
        lexer.newlines(lexer.position - 1, lexer.position)
        skip = 0
        while skip < indent and source[lexer.position : lexer.position + 1] in (" ", "\t"):
            lexer.position += 1
            skip += 1
        return ""
    width = _HEX.get(code)
    digits = source[lexer.position : lexer.position + (width or 0)]
    if width is None or len(digits) != width or not _is_hex(digits):
        raise parsing("BadInput", f"Invalid escape sequence: '\\{code}{digits}'", line, column)
    lexer.position += width
    value = int(digits, 16)
    if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:  # noqa: PLR2004 - Unicode scalar values
        raise parsing("BadInput", f"Invalid escape sequence: '\\{code}{digits}'", line, column)
    return chr(value)


def _is_hex(text: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in text)


def _raw(lexer: Lexer, opening: str, line: int, column: int) -> Token:
    closing = '"' + opening[:-1]
    start = lexer.position
    end = lexer.source.find(closing, start)
    if end < 0:
        _unterminated(line, column)
    lexer.position = end + len(closing)
    lexer.newlines(start, end)
    text = lexer.source[start:end]
    _checked(lexer, len(text))
    return Token("string", text, line, column)


def _template(lexer: Lexer, line: int, column: int) -> Token:  # noqa: C901 - one branch a char
    """A back-tick string: text and `${ }` blocks in turn, always starting and ending with text."""
    source = lexer.source
    end = len(source)
    if source.startswith("\r\n", lexer.position):
        lexer.position += 1
    if source.startswith("\n", lexer.position):
        lexer.position += 1
        lexer.newlines(lexer.position - 1, lexer.position)
    parts: list[object] = []
    text: list[str] = []
    while True:
        start = lexer.position
        at = start
        while at < end and source[at] not in "`$\\":
            at += 1
        text.append(source[start:at])
        lexer.newlines(start, at)
        lexer.position = at
        if at >= end:
            _unterminated(line, column)
        if source.startswith("``", at):
            text.append("`")
            lexer.position += 2
        elif source[at] == "`":
            lexer.position += 1
            parts.append("".join(text))
            break
        elif source.startswith("\\${", at):
            text.append("${")
            lexer.position += 3
        elif source.startswith("${", at):
            parts.append("".join(text))
            text = []
            lexer.position += 2
            parts.append(lexer.interpolation())
        else:
            text.append(source[at])
            lexer.position += 1
    if len(parts) == 1:
        _checked(lexer, len(str(parts[0])))
        return Token("string", parts[0], line, column)
    return Token("interpolation", parts, line, column)
