"""What a tiny model is made of: the knobs, checked, and a digest that names the file."""

from __future__ import annotations

import hashlib
import json
from typing import Final, Literal, TypeAlias, get_args

import attrs

from rbee_scheduler.demo._errors import DemoError
from rbee_scheduler.demo._story import STORY_TEXT


__all__ = ["CODES", "Kind", "Recipe"]

Kind: TypeAlias = Literal["random", "story"]

CODES: Final = 64
"""Number of orthogonal codes that the story's tokens are told apart by."""

# Raise this whenever equal knobs give other bytes, or caches go on serving the old model.
_VERSION: Final = 1


@attrs.frozen(kw_only=True)
class Recipe:
    """The knobs of a tiny model; equal recipes give equal bytes.

    Args:
        kind: ``story`` tells `STORY_TEXT`, then ends. ``random`` babbles words of the story
            until ``max_tokens`` or the context is used up.
        width: Embedding dimension, a multiple of 64. Speed falls with its square.
        layers: Number of transformer blocks.
        heads: Attention heads; ``width / heads`` must be even (rotary embedding).
        hidden: Dimension of the feed-forward layer.
        context: Longest sequence in tokens.
        half: Store 16-bit weights: half the size, for the larger models.
        seed: Seed of the noise in all weights that don't carry the story.

    Raises:
        DemoError: A knob is out of range.
    """

    kind: Kind = "story"
    width: int = 64
    layers: int = 2
    heads: int = 4
    hidden: int = 128
    context: int = 4096
    half: bool = False
    seed: int = 1

    def __attrs_post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DemoError(f"no model of kind {self.kind!r}", hint="use 'random' or 'story'")
        for knob in ("width", "layers", "heads", "hidden", "context"):
            if getattr(self, knob) < 1:
                raise DemoError(f"{knob} is {getattr(self, knob)}", hint="use 1 or more")
        if self.width % CODES:
            raise DemoError(f"width is {self.width}", hint=f"use a multiple of {CODES}")
        if self.width % (2 * self.heads):
            raise DemoError(
                f"width {self.width} over {self.heads} heads is no even number",
                hint="use a power of two for heads",
            )

    @property
    def file_name(self) -> str:
        """Name of the model's file: readable first, then a digest of all that shapes it."""
        made_of = {"version": _VERSION, "text": STORY_TEXT, **attrs.asdict(self)}
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return f"tiny-{self.kind}-{self.width}x{self.layers}-{digest[:16]}.gguf"
