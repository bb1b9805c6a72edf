"""The model catalog: what is known of each model, and the short names for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from rbee_scheduler._errors import ConfigError
from rbee_scheduler._validate import as_tuple, integer, listed, non_empty


__all__ = ["Catalog", "ModelInfo"]


@attrs.frozen(kw_only=True)
class ModelInfo:
    """One model of the catalog; sizes in bytes, lengths in tokens."""

    model_ref: str = attrs.field(validator=non_empty)
    aliases: tuple[str, ...] = attrs.field(
        default=(), converter=as_tuple, validator=listed(str, "names")
    )
    family: str = ""
    size: str = ""
    quantization: str = ""
    vram_required_bytes: int = attrs.field(default=0, validator=integer(at_least=0))
    context_length: int = attrs.field(default=0, validator=integer(at_least=0))
    capabilities: tuple[str, ...] = attrs.field(
        default=("text-gen",), converter=as_tuple, validator=listed(str, "task types")
    )
    supports_determinism: bool = False
    supports_streaming: bool = True
    estimated_tokens_per_sec: Mapping[str, float] = attrs.field(factory=dict)
    file_size_bytes: int = attrs.field(default=0, validator=integer(at_least=0))


class Catalog:
    """Models by reference and by alias; immutable once made.

    Args:
        models: The entries. A name that stands for two models is refused.

    Raises:
        ConfigError: Two entries share a reference or an alias.

    Example:
        >>> catalog = Catalog([ModelInfo(model_ref="meta-llama/Llama-3-8b", aliases=["llama3"])])
        >>> catalog.resolve("llama3")
        'meta-llama/Llama-3-8b'
        >>> catalog.resolve("never heard of")
        'never heard of'
    """

    __slots__ = ("_by_ref", "_refs")

    def __init__(self, models: Iterable[ModelInfo] = ()) -> None:
        self._by_ref: dict[str, ModelInfo] = {}
        self._refs: dict[str, str] = {}
        for model in models:
            if model.model_ref in self._by_ref:
                raise ConfigError(
                    f"{model.model_ref!r} names two models", hint="list each model once"
                )
            self._by_ref[model.model_ref] = model
            for name in (model.model_ref, *model.aliases):
                taken = self._refs.setdefault(name, model.model_ref)
                if taken != model.model_ref:
                    raise ConfigError(
                        f"{name!r} names both {taken!r} and {model.model_ref!r}",
                        hint="give each model of the catalog names of its own",
                    )

    def __len__(self) -> int:
        return len(self._by_ref)

    def resolve(self, name: str) -> str:
        """Return the canonical reference for ``name``; a name unknown here is its own."""
        return self._refs.get(name, name)

    def with_references(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return ``names`` and the canonical references they stand for.

        A worker that knows a model under a short name is thus found by the canonical one.

        Example:
            >>> catalog = Catalog([ModelInfo(model_ref="meta/Llama-3-8b", aliases=["llama3"])])
            >>> catalog.with_references(("llama3",))
            ('llama3', 'meta/Llama-3-8b')
        """
        if not self._refs:
            return names
        missing = {self.resolve(name) for name in names}.difference(names)
        return (*names, *sorted(missing)) if missing else names

    def known_as(self, model_ref: str, names: Iterable[str]) -> str:
        """Return the first of ``names`` that stands for ``model_ref``; else that itself.

        What a worker must be asked for: it need not know the canonical reference.
        """
        if not self._refs:
            return model_ref
        return next((name for name in names if self.resolve(name) == model_ref), model_ref)

    def get(self, name: str) -> ModelInfo | None:
        """Return what is known of the model called ``name`` (reference or alias)."""
        return self._by_ref.get(self.resolve(name))

    def models(self) -> tuple[ModelInfo, ...]:
        """Return all entries, in the order in which they were listed."""
        return tuple(self._by_ref.values())
