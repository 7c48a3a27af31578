"""Geofences in a few obvious lines: even-odd in whole numbers, haversine in floats."""

from __future__ import annotations

from itertools import pairwise
from math import asin, cos, radians, sin, sqrt

EARTH_RADIUS_M = 6_371_008.8

Point = tuple[int, int]


def on_edge(point: Point, start: Point, end: Point) -> bool:
    """Whether a point lies on the straight line between two others."""
    (x, y), (x1, y1), (x2, y2) = point, start, end
    return (
        (x2 - x1) * (y - y1) == (y2 - y1) * (x - x1)
        and min(x1, x2) <= x <= max(x1, x2)
        and min(y1, y2) <= y <= max(y1, y2)
    )


def encloses(ring: list[Point], point: Point) -> bool:
    """Whether a closed ring holds a point, its border included: a ray to the east."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in pairwise(ring):
        if on_edge(point, (x1, y1), (x2, y2)):
            return True
        if (y1 > y) != (y2 > y):
            # Where the edge crosses the ray's height, times (y2 - y1), is beyond the point.
            beyond = (x1 - x) * (y2 - y1) + (y - y1) * (x2 - x1)
            inside ^= beyond > 0 if y2 > y1 else beyond < 0
    return inside


def distance_m(lat: float, lon: float, to_lat: float, to_lon: float) -> float:
    """Great-circle distance by the haversine formula (Sinnott 1984)."""
    up, to_up = radians(lat), radians(to_lat)
    half_up, half_around = (to_up - up) / 2, radians(to_lon - lon) / 2
    haversine = sin(half_up) ** 2 + cos(up) * cos(to_up) * sin(half_around) ** 2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(haversine)))
