"""The polygons of service areas: on which grid they are decided by, and what is wrong with one.

A ring is a list of (longitude, latitude) in degrees, its last point the first. Its edges are
straight in these coordinates, and none spans more than half the world: what lies over the
antimeridian is two rings (RFC 7946, 3.1.1 and 3.1.9).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # Both are imported where a network has polygons: others need not pay for them.
    import numpy as np
    from numpy.typing import NDArray
    from shapely import Polygon

GRID_PER_DEGREE: Final = 10**7
"""Steps of about a centimetre. Coordinates are whole numbers of them, which makes the test on
which side of an edge a point lies exact, and so the same on any machine."""

Ring = Sequence[tuple[float, float]]

_PLACE = re.compile(r"\[(\S+) (\S+)\]")


def on_grid(degrees: float) -> int:
    """A longitude or latitude in steps of the grid; half a step goes to the even one."""
    return round(degrees * GRID_PER_DEGREE)


def _corners(ring: Ring) -> NDArray[np.float64]:
    """float64[K, 2], what `on_grid` makes of each coordinate."""
    import numpy as np

    corners: NDArray[np.float64] = np.rint(np.array(ring) * GRID_PER_DEGREE)
    return corners


def polygon(ring: Ring) -> Polygon:
    """What a ring encloses, in steps of the grid."""
    import shapely

    return shapely.Polygon(_corners(ring))


def fault(ring: Ring) -> str | None:
    """What keeps a ring from enclosing one piece of land; None for a good one.

    Good are simple rings, as of OGC Simple Features (ISO 19125-1), in either direction.
    """
    import numpy as np
    import shapely

    far = np.flatnonzero(np.abs(np.diff(_corners(ring)[:, 0])) > 180 * GRID_PER_DEGREE)
    if far.size:
        (lon, lat), (next_lon, next_lat) = ring[far[0]], ring[far[0] + 1]
        return f"has an edge over half the world, from {lon} {lat} to {next_lon} {next_lat}"
    reason = str(shapely.is_valid_reason(polygon(ring)))
    where = _PLACE.search(reason)
    if where is None:
        return None
    lon, lat = (float(steps) / GRID_PER_DEGREE for steps in where.groups())
    if reason.startswith("Too few points"):
        return f"has fewer than three points, all about {lon} {lat}"
    return f"crosses or touches itself near {lon} {lat}"
