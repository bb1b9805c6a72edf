"""The tiny model's weights: a story told by arithmetic, or noise.

How the story is told. Every token of the story has a code of its own; all other tokens
share one. The codes are rows of a Walsh-Hadamard matrix: +1 and -1, orthogonal, of equal
length, so the final norm leaves them alone. A token's embedding is its code; the output
row of a token is the code of the token before it. Then the logit of the right successor
is `_PEAK` and every other one is exactly 0: no rounding, on any machine, and the text stays
exact at any sensible temperature (the others together have a probability of 1e-18 at
temperature 1, of 2e-8 at 2). Attention and feed-forward layers are computed for real, on noise;
their output projections are zero, so they cost time and change nothing.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rbee_scheduler.demo._extra import load_extra
from rbee_scheduler.demo._recipe import CODES, Recipe
from rbee_scheduler.demo._story import STORY_PIECES
from rbee_scheduler.demo._vocabulary import EOS, Vocabulary


if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.floating[Any]]

__all__ = ["tensors"]

_PEAK: Final = 48.0

_OTHERS: Final = 0
"""Row of the code that all tokens outside the story share; the story's begin after it."""


def tensors(recipe: Recipe, vocabulary: Vocabulary) -> Iterator[tuple[str, Array]]:
    """Yield the name and values of each tensor of a Llama model, in file order.

    Args:
        recipe: Sizes, kind and seed.
        vocabulary: The tokens, and which of them make the story.
    """
    np = load_extra("numpy")
    kind = np.float16 if recipe.half else np.float32
    told = recipe.kind == "story"
    width, hidden = recipe.width, recipe.hidden

    def noise(name: str, rows: int, columns: int) -> tuple[str, Array]:
        return name, _noise(f"{recipe.seed}/{name}", rows, columns).astype(kind)

    def projection(name: str, rows: int, columns: int) -> tuple[str, Array]:
        return (name, np.zeros((rows, columns), kind)) if told else noise(name, rows, columns)

    embedding, output = (_story if told else _babble)(recipe, vocabulary)
    yield "token_embd.weight", embedding.astype(kind)
    yield "output_norm.weight", np.ones(width, np.float32)
    yield "output.weight", output.astype(kind)
    for layer in range(recipe.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", np.ones(width, np.float32)
        yield noise(f"{block}.attn_q.weight", width, width)
        yield noise(f"{block}.attn_k.weight", width, width)
        yield noise(f"{block}.attn_v.weight", width, width)
        yield projection(f"{block}.attn_output.weight", width, width)
        yield f"{block}.ffn_norm.weight", np.ones(width, np.float32)
        yield noise(f"{block}.ffn_gate.weight", hidden, width)
        yield noise(f"{block}.ffn_up.weight", hidden, width)
        yield projection(f"{block}.ffn_down.weight", width, hidden)


def _story(recipe: Recipe, vocabulary: Vocabulary) -> tuple[Array, Array]:
    """Return embedding and output such that each token of the chain leads to the next."""
    np = load_extra("numpy")
    repeats = recipe.width // CODES
    codes = np.array([[_walsh(row, column) for column in range(CODES)] for row in range(CODES)])
    codes = np.tile(codes.astype(np.float32), (1, repeats))

    embedding = np.tile(codes[_OTHERS], (len(vocabulary.tokens), 1))
    output = np.zeros_like(embedding)
    before = _OTHERS
    for code, token in enumerate(vocabulary.chain, start=_OTHERS + 1):
        embedding[token] = codes[code]
        output[token] = codes[before] * (_PEAK / recipe.width)
        before = code
    output[EOS] = codes[before] * (_PEAK / recipe.width)
    return embedding, output


def _walsh(row: int, column: int) -> int:
    """Return an entry of the Walsh-Hadamard matrix (Sylvester's construction)."""
    return -1 if (row & column).bit_count() % 2 else 1


def _babble(recipe: Recipe, vocabulary: Vocabulary) -> tuple[Array, Array]:
    """Return noise that prefers words: all other tokens, EOS too, keep a logit of 0.

    The logits of the words have a standard deviation of `_PEAK` / 3, so that the best of
    them is far above 0 and a text never ends by itself.
    """
    np = load_extra("numpy")
    rows, columns = len(vocabulary.tokens), recipe.width
    embedding = _noise(f"{recipe.seed}/token_embd", rows, columns)
    output = np.zeros_like(embedding)
    told = zip(vocabulary.chain, STORY_PIECES, strict=True)
    words = [token for token, piece in told if piece.isascii()]
    output[words] = _noise(f"{recipe.seed}/output", len(words), columns) * np.float32(_PEAK / 3)
    return embedding, output


def _noise(seed: str, rows: int, columns: int) -> Array:
    """Return uniform noise with a variance of 1 / columns, equal on every machine.

    From SHAKE-256 and not from NumPy's generators: those may change their streams between
    versions (NEP 19), and then the bytes of the model would, too.
    """
    np = load_extra("numpy")
    drawn = hashlib.shake_256(seed.encode()).digest(2 * rows * columns)
    whole = np.frombuffer(drawn, "<i2").astype(np.float32).reshape(rows, columns)
    scaled: Array = whole * np.float32(math.sqrt(3.0 / columns) / 2**15)
    return scaled
