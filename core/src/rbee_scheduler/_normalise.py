"""Scores of any range brought to a common one, so that weights mean something."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rbee_scheduler._answers import Scores


__all__ = ["normalise"]


def normalise(raw: Sequence[float | None], scores: Scores, weight: float) -> list[float]:
    """Return ``raw`` scaled to 0..``weight``; the best value gets ``weight``.

    Min-max scaling over the declared range, or the range seen where none is declared::

        higher is better:  weight * (v - low) / (high - low)
        lower is better:   weight * (high - v) / (high - low)

    Values outside a declared range are clipped to it. When all are equal, all get
    ``weight``. None, NaN and infinities get 0.

    Args:
        raw: One value per candidate.
        scores: The answer they come from: direction and range.
        weight: The plugin's weight, 0 or more.

    Raises:
        TypeError: A value is no number.
        ValueError: The declared direction or range makes no sense.
    """
    try:
        # The common case, twice as fast: a sum is finite when all of its terms are.
        known: list[float] = list(raw) if math.isfinite(sum(raw)) else []  # type: ignore[arg-type]
    except TypeError:  # there is a None among them
        known = []
    known = known or [v for v in raw if v is not None and math.isfinite(v)]
    if not known:
        return [0.0] * len(raw)
    least, most = min(known), max(known)
    low = least if scores.lowest is None else scores.lowest
    high = most if scores.highest is None else scores.highest
    span = high - low
    if not math.isfinite(span) or (span < 0 and None not in {scores.lowest, scores.highest}):
        raise ValueError(f"the range {low} to {high} makes no sense")
    # Not one factor for all: weight / span overflows where the span is tiny, and the best
    # would miss the weight by a rounding error.
    if span <= 0:
        scaled = [weight] * len(known)
    elif scores.better == "higher":
        scaled = [(v - low) / span * weight for v in known]
    elif scores.better == "lower":
        scaled = [(high - v) / span * weight for v in known]
    else:
        raise ValueError(f"better is {scores.better!r}, neither 'higher' nor 'lower'")
    if least < low or most > high:
        scaled = [0.0 if s < 0.0 else min(s, weight) for s in scaled]
    if len(known) == len(raw):
        return scaled
    rest = iter(scaled)
    return [0.0 if v is None or not math.isfinite(v) else next(rest) for v in raw]
