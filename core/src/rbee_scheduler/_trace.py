"""The trace: what a decision writes down when somebody wants to know why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rbee_scheduler._errors import PluginError
from rbee_scheduler._worker import Worker


__all__ = ["Trace"]


class Trace:
    """A decision's notes; filled by `decide`, read by `explain`."""

    __slots__ = ("candidates", "contributions", "drops", "failures", "relaxed")

    def __init__(self) -> None:
        self.candidates: tuple[Worker, ...] = ()
        # (plugin, worker id -> reason, soft)
        self.drops: list[tuple[str, dict[str, str], bool]] = []
        # (plugin, weight, worker id -> (raw, weighted))
        self.contributions: list[tuple[str, float, dict[str, tuple[float | None, float]]]] = []
        self.failures: list[PluginError] = []
        self.relaxed = False

    def filtered(self, plugin: str, dropped: Mapping[str, str], *, soft: bool) -> None:
        """Note a filter's answer."""
        self.drops.append((plugin, dict(dropped), soft))

    def scored(
        self,
        plugin: str,
        weight: float,
        ids: Sequence[str],
        raw: Sequence[float | None],
        weighted: Sequence[float],
    ) -> None:
        """Note a scorer's answer, as given and as it counts."""
        pairs = zip(raw, weighted, strict=True)
        self.contributions.append((plugin, weight, dict(zip(ids, pairs, strict=True))))
