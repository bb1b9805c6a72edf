"""The story that the tiny model tells, as text and as the chain of its tokens.

The model knows one thing: which token follows which. Three rules make its text exact
whatever a test does to the request:

* No token occurs twice, so the last token alone says what comes next. A request that
  failed over and goes on with "prompt + text so far" gets exactly the rest.
* Each token is one that llama.cpp's tokenizer finds again when it reads the text back
  (a word with its leading space; never two words in one), for the same reason.
* No token is one that prompts usually end with (``.``, ``?``, ``!``, ``:``, a newline, a
  digit), so any ordinary prompt leads to the first word.

The bee at the end comes as two tokens, each half of one UTF-8 sequence: a server must
hold the first back, and a relay that counts tokens by counting events is found out.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final


__all__ = ["STORY_PIECES", "STORY_TEXT", "STORY_TOKENS", "story_after"]

_WORDS: Final = (
    "Once upon a time the smallest bee of our quiet farm had some letters to write ; "
    "she asked three llamas for help and when their first fell silent another finished "
    "every word exactly where it stopped so nothing was lost or told twice"
)
_BEE: Final = " 🐝".encode()
_BEE_HALF: Final = 3

STORY_PIECES: Final[tuple[bytes, ...]] = (
    *(word.encode() if word == ";" else f" {word}".encode() for word in _WORDS.split()),
    _BEE[:_BEE_HALF],
    _BEE[_BEE_HALF:],
)
"""The bytes of each token of the story, in order."""

STORY_TEXT: Final[str] = b"".join(STORY_PIECES).decode()
"""What the story model answers to an ordinary prompt, to the letter."""

STORY_TOKENS: Final[int] = len(STORY_PIECES) + 1
"""``usage.completion_tokens`` of the whole story: its pieces and the end-of-text token."""


def story_after(prompt: str) -> str:
    """Return what the story model answers to a prompt.

    Only the end of a prompt counts. When it ends within the story, the answer is the
    rest: this is how a request that goes on elsewhere after a failure is checked.

    Args:
        prompt: The prompt as sent to ``/v1/completions``.

    Returns:
        The exact text, given enough ``max_tokens``.

    Example:
        >>> story_after("Tell me a story!") == STORY_TEXT
        True
        >>> story_after("Tell me a story! Once upon a time the smallest")[:11]
        ' bee of our'
        >>> story_after(STORY_TEXT)
        ''
    """
    read = prompt.encode()
    ends = accumulate(len(piece) for piece in STORY_PIECES)
    for piece, end in zip(STORY_PIECES, ends, strict=True):
        if read.endswith(piece):
            return STORY_TEXT.encode()[end:].decode()
    return STORY_TEXT
