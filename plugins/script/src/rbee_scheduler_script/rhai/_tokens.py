"""The words and symbols of the language, as tables."""

from __future__ import annotations

from typing import Any, Final


I64_MAX: Final = 2**63 - 1
I64_MIN: Final = -(2**63)

KEYWORDS: Final = frozenset((
    "true", "false", "let", "const", "if", "else", "switch", "do", "while", "until", "loop", "for",
    "in", "continue", "break", "return", "throw", "try", "catch", "fn", "private", "import",
    "export", "as",
))  # fmt: skip
# Callable, yet never the name of anything.
CALLABLE: Final = frozenset((
    "print", "debug", "type_of", "eval", "Fn", "call", "curry", "is_shared", "is_def_var",
    "is_def_fn",
))  # fmt: skip
METHOD_CALLABLE: Final = frozenset(("type_of", "call", "curry", "is_shared"))
RESERVED: Final = CALLABLE | frozenset((
    "var", "static", "shared", "is", "goto", "match", "case", "public", "protected", "new", "use",
    "with", "module", "package", "super", "spawn", "thread", "go", "sync", "async", "await",
    "yield", "default", "void", "null", "nil", "this",
))  # fmt: skip

# Symbols that other languages have: an error at once, with a hint.
IMPROPER: Final = {
    "===": "'===' is not a valid operator. This is not JavaScript! Should it be '=='?",
    "!==": "'!==' is not a valid operator. This is not JavaScript! Should it be '!='?",
    "->": "'->' is not a valid symbol. This is not C or C++!",
    "<-": "'<-' is not a valid symbol. This is not Go! Should it be '<='?",
    ":=": "':=' is not a valid assignment operator. This is not Go or Pascal! "
    "Should it be simply '='?",
    ":;": "':;' is not a valid symbol. Should it be '::'?",
    "::<": "'::<>' is not a valid symbol. This is not Rust! Should it be '::'?",
    "(*": "'(* .. *)' is not a valid comment format. This is not Pascal! Should it be '/* .. */'?",
    "*)": "'(* .. *)' is not a valid comment format. This is not Pascal! Should it be '/* .. */'?",
    "#": "'#' is not a valid symbol. Should it be '#{'?",
}
# Symbols kept for later: unknown as an operator, reserved anywhere else.
RESERVED_SYMBOLS: Final = frozenset(("++", "--", "...", "~", "@", "$", "?", "<|", "|>", "!.", "#!"))

_PLAIN: Final = (
    "**=", "<<=", ">>=", "..=", "&&", "||", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "%=",
    "&=", "|=", "^=", "**", "<<", ">>", "..", "??", "?.", "?[", "=>", "::", "#{", "+", "-", "*",
    "/", "%", "<", ">", "=", "!", "&", "|", "^", "(", ")", "[", "]", "{", "}", ",", ";", ".", ":",
)  # fmt: skip
# Longest first: that is how they are read.
SYMBOLS: Final = tuple(sorted({*IMPROPER, *RESERVED_SYMBOLS, *_PLAIN}, key=len, reverse=True))

# Higher binds tighter; all are left-associative except `**`.
PRECEDENCE: Final = {
    "||": 30, "|": 30, "^": 30,
    "&&": 60, "&": 60,
    "==": 90, "!=": 90,
    "in": 110, "!in": 110,
    "<": 130, "<=": 130, ">": 130, ">=": 130,
    "??": 135,
    "..": 140, "..=": 140,
    "+": 150, "-": 150,
    "*": 180, "/": 180, "%": 180,
    "**": 190,
    "<<": 210, ">>": 210,
}  # fmt: skip
ASSIGNMENTS: Final = frozenset(
    ("=", "+=", "-=", "*=", "/=", "%=", "**=", "<<=", ">>=", "&=", "|=", "^=")
)


class Token:
    """One word or symbol and where it starts.

    `kind` is one of `int float string char interpolation name keyword reserved symbol underscore
    error end`; a token of kind `error` carries the `RhaiError` that reading on would raise, so that
    an earlier fault of the script is reported first.
    """

    __slots__ = ("column", "kind", "line", "value")

    def __init__(self, kind: str, value: Any, line: int, column: int) -> None:
        self.kind = kind
        self.value = value
        self.line = line
        self.column = column
