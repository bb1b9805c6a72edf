"""Distance on the Earth."""

from __future__ import annotations

from math import asin, cos, inf, pi, sin, sqrt
from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._helper import Helper, number


__all__ = ["HELPERS"]

# Mean radius; the great circle is within 0.5 % of the way on the ellipsoid.
EARTH_KM: Final = 6371.0088

_HALF_DEGREE: Final = pi / 360


def _distance(run: rhai.Run, a: Any, b: Any, lat2: Any = None, lon2: Any = None) -> float:
    """Return the haversine distance in km; exact also for places next to each other.

    In one piece, without calls: a policy that picks the nearest calls it once per worker.
    """
    if lon2 is not None:
        lat1, lon1, lat2, lon2 = [number(run, v, "a coordinate") for v in (a, b, lat2, lon2)]
    elif a is None or b is None:
        return inf
    else:
        try:
            lat1, lon1 = a["latitude"], a["longitude"]
            lat2, lon2 = b["latitude"], b["longitude"]
        except (KeyError, TypeError):
            raise _no_places(run) from None
    try:
        north = sin((lat2 - lat1) * _HALF_DEGREE)
        east = sin((lon2 - lon1) * _HALF_DEGREE)
        half = north * north + cos(2 * _HALF_DEGREE * lat1) * cos(2 * _HALF_DEGREE * lat2) * (
            east * east
        )
        return 2 * EARTH_KM * asin(sqrt(half) if half < 1.0 else 1.0)
    except (TypeError, ValueError):
        raise _no_places(run) from None


def _no_places(run: rhai.Run) -> rhai.RhaiError:
    return run.fail("distance() wants two places such as job.user.geo and w.geo, or four numbers")


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="distance",
        forms=("distance(a, b)", "distance(lat1, lon1, lat2, lon2)"),
        answers="The great circle between two places in km. Infinite when a place is unknown "
        "(`()`), so that such a worker is never the nearest.",
        example="distance(job.user.geo, workers[0].geo).round()",
        gives=878.0,
        code=_distance,
        arities=(2, 4),
    ),
)
