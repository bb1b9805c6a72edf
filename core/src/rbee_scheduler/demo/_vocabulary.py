"""The tiny model's vocabulary: GPT-2's byte-level BPE, with one token per piece of the story.

A byte-level vocabulary can spell any prompt. GGUF stores tokens as text, so GPT-2's table
gives each of the 256 bytes a printable character (Radford et al. 2019, ``encoder.py``).
A merge joins two tokens into a third; every merge here extends a piece from its first byte
on (``t`` + ``h``, ``th`` + ``e``), so a piece is reached on one way only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rbee_scheduler.demo._story import STORY_PIECES


if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = ["BOS", "CHAT_TEMPLATE", "EOS", "IM_END", "Vocabulary", "story_vocabulary"]

BOS, EOS, IM_START, IM_END = range(4)
_SPECIALS = ("<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# Matrix kernels of llama.cpp like dimensions that are multiples of a SIMD block.
_MULTIPLE = 32


@attrs.frozen
class Vocabulary:
    """Tokens, merges and what the story makes of them.

    Attributes:
        tokens: Each token as GGUF spells it; the index is its id.
        merges: BPE merges in order of rank, ``"left right"``.
        chain: Ids of the story's tokens, in the order of the story.
        control: Ids of tokens that never are text (BOS, EOS, padding, ...).
    """

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    chain: tuple[int, ...]
    control: frozenset[int]


def story_vocabulary(pieces: Iterable[bytes] = STORY_PIECES) -> Vocabulary:
    """Return a vocabulary in which each piece is one token.

    Args:
        pieces: The bytes of each wanted token; a piece may be part of a UTF-8 sequence.
    """
    spelling = _byte_spelling()
    ids = {token: number for number, token in enumerate((*_SPECIALS, *spelling))}
    merges: list[str] = []
    chain: list[int] = []
    for piece in pieces:
        left, *rest = (spelling[byte] for byte in piece)
        for character in rest:
            joined = left + character
            if joined not in ids:
                ids[joined] = len(ids)
                merges.append(f"{left} {character}")
            left = joined
        chain.append(ids[left])
    control = set(range(len(_SPECIALS)))
    while len(ids) % _MULTIPLE:
        control.add(len(ids))
        ids[f"<|unused{len(ids)}|>"] = len(ids)
    return Vocabulary(
        tokens=tuple(ids), merges=tuple(merges), chain=tuple(chain), control=frozenset(control)
    )


def _byte_spelling() -> tuple[str, ...]:
    """Return GPT-2's character for each byte: itself where printable, else from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(spare)) for byte in range(256))
