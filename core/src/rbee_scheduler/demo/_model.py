"""`tiny_model`: a GGUF file that llama.cpp can serve, made in well under a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbee_scheduler.demo._cache import cached
from rbee_scheduler.demo._extra import load_extra
from rbee_scheduler.demo._recipe import Kind, Recipe
from rbee_scheduler.demo._vocabulary import BOS, CHAT_TEMPLATE, EOS, IM_END, story_vocabulary
from rbee_scheduler.demo._weights import tensors


if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["tiny_model"]


def tiny_model(
    cache_dir: Path | None = None,
    kind: Kind = "story",
    *,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    hidden: int = 128,
    context: int = 4096,
    half: bool = False,
    seed: int = 1,
) -> Path:
    """Return the path of a tiny Llama model, made first where the cache does not have it.

    The same arguments give the same bytes, on any machine. Tokens per second fall with the
    size, which makes a worker slow enough to be watched, or killed half-way through its
    story. One request alone, one thread, on a 2-core virtual machine (llama.cpp of
    xllamacpp 2026.10):

    ==============================================================  =======  ========
    knobs                                                           file     tokens/s
    ==============================================================  =======  ========
    the defaults                                                    0.55 MB    11,000
    ``width=256, layers=4, hidden=1024, half=True``                 8.8 MB      2,000
    ``width=256, layers=8, hidden=1024, half=True``                 17 MB       1,000
    ``width=512, layers=4, heads=8, hidden=2048, half=True``        34 MB         600
    ``width=512, layers=8, heads=8, hidden=2048, half=True``        68 MB         260
    ==============================================================  =======  ========

    Args:
        cache_dir: Folder to keep it in. By default the user's cache folder, which honours
            ``XDG_CACHE_HOME``, or a private temporary folder where that can't be written.
        kind: ``"story"`` answers `STORY_TEXT` to any ordinary prompt; see `story_after`.
            ``"random"`` babbles words until ``max_tokens`` or the context is used up.
        width: Embedding dimension, a multiple of 64.
        layers: Number of transformer blocks.
        heads: Attention heads; ``width / heads`` must be even.
        hidden: Dimension of the feed-forward layers.
        context: Longest sequence in tokens that the model claims to know.
        half: Store 16-bit weights: half the size, for the larger models.
        seed: Seed of the noise in the weights.

    Returns:
        The path of the GGUF file. Don't change it: other processes may share it.

    Raises:
        DemoError: A knob is out of range, or no folder can take the file.
        DemoExtraMissing: The extra ``rbee-scheduler[demo]`` is not installed.
    """
    recipe = Recipe(
        kind=kind,
        width=width,
        layers=layers,
        heads=heads,
        hidden=hidden,
        context=context,
        half=half,
        seed=seed,
    )
    return cached(recipe.file_name, lambda path: _write(recipe, path), cache_dir)


def _write(recipe: Recipe, path: Path) -> None:
    """Write the model as one GGUF file.

    Keys and their order follow llama.cpp's ``LLM_ARCH_LLAMA`` and its GPT-2 tokenizer.
    """
    gguf = load_extra("gguf")
    vocabulary = story_vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    try:
        writer.add_name(f"tiny {recipe.kind}")
        writer.add_file_type(
            gguf.LlamaFileType.MOSTLY_F16 if recipe.half else gguf.LlamaFileType.ALL_F32
        )
        writer.add_context_length(recipe.context)
        writer.add_embedding_length(recipe.width)
        writer.add_block_count(recipe.layers)
        writer.add_feed_forward_length(recipe.hidden)
        writer.add_head_count(recipe.heads)
        writer.add_head_count_kv(recipe.heads)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_dimension_count(recipe.width // recipe.heads)
        writer.add_vocab_size(len(vocabulary.tokens))

        control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(vocabulary.tokens)
        writer.add_token_types(
            [
                control if token in vocabulary.control else normal
                for token, _ in enumerate(vocabulary.tokens)
            ]
        )
        writer.add_token_merges(vocabulary.merges)
        writer.add_bos_token_id(BOS)
        writer.add_eos_token_id(EOS)
        writer.add_eot_token_id(IM_END)
        writer.add_add_bos_token(value=True)
        writer.add_chat_template(CHAT_TEMPLATE)

        for name, values in tensors(recipe, vocabulary):
            writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
