"""Geofences: which nodes' areas a destination lies outside of.

An area is a radius about its node, polygons, or both; a point on the border is inside.
Coordinates become whole numbers first, and all that is decided is decided by these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.network import Node
from shared.rings import on_grid, polygon

EARTH_RADIUS_CM: Final = 637_100_880
"""Mean radius of the earth (IUGG, R1): 6,371,008.8 m."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Areas:
    """The areas of a network's nodes, by position."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Lay them out; the rings have passed `shared.network.parse_network`."""
        self._fenced = np.array([node.area is not None for node in nodes], np.bool_)
        self._fenced.flags.writeable = False
        self._any = bool(self._fenced.any())
        self._lay_radii(nodes)
        self._lay_polygons(nodes)

    def _lay_radii(self, nodes: Sequence[Node]) -> None:
        """Each node with a radius: where, int64[3, R], and its reach, int64[R]."""
        of = [
            (i, _sphere_cm(node.lat, node.lon), _chord_cm(node.area.radius_m))
            for i, node in enumerate(nodes)
            if node.area is not None and node.area.radius_m is not None
        ]
        self._centred = np.array([i for i, _, _ in of], np.int64)
        self._centre = np.array([centre for _, centre, _ in of], np.int64).reshape(-1, 3).T.copy()
        self._reach = np.array([chord * chord for _, _, chord in of], np.int64)

    def _lay_polygons(self, nodes: Sequence[Node]) -> None:
        """Each polygon: whose, int64[P], and its box, int64[4, P]: west, south, -east, -north."""
        of = [
            (i, polygon(ring))
            for i, node in enumerate(nodes)
            if node.area is not None
            for ring in node.area.polygons
        ]
        self._owner = np.array([i for i, _ in of], np.int64)
        self._polygons = np.array([shape for _, shape in of], np.object_)
        if of:
            import shapely

            self._intersects: Any = shapely.intersects_xy
            shapely.prepare(self._polygons)
            bounds = shapely.bounds(self._polygons).astype(np.int64)
            self._box = np.ascontiguousarray((bounds * [1, 1, -1, -1]).T)

    def outside(self, lat: float, lon: float) -> Bools:
        """Nodes whose area does not hold a point.

        Within a radius is what the great circle is not longer than; distances are those of the
        haversine formula (Sinnott 1984), decided by the chord through the earth. Node, point and
        reach are rounded to centimetres, so a border is sharp to about 2 cm, less so for radii
        above 10,000 km.

        Args:
            lat: degrees north, WGS 84.
            lon: degrees east.

        Returns:
            bool[N], false for nodes without an area. Not to be written to.
        """
        if not self._any:
            return self._fenced
        outside = self._fenced.copy()
        if self._centred.size:
            chord = self._centre - np.array(_sphere_cm(lat, lon), np.int64)[:, None]
            chord *= chord
            outside[self._centred[chord.sum(axis=0) <= self._reach]] = False
        if self._owner.size:
            x, y = on_grid(lon), on_grid(lat)
            corner = np.array([x, y, -x, -y], np.int64)[:, None]
            near = np.flatnonzero(np.logical_and.reduce(self._box <= corner, axis=0))
            if near.size:
                inside = self._intersects(self._polygons[near], x, y)
                outside[self._owner[near[inside]]] = False
        return outside


def _sphere_cm(lat: float, lon: float) -> tuple[int, int, int]:
    """A point from the middle of the earth, in centimetres.

    The one place where two machines may differ: by a centimetre, if the last bit of their sines
    differs where it meets a half. That is once in millions of points, and matters to those
    that are within centimetres of a border.
    """
    up, around = math.radians(lat), math.radians(lon)
    out = EARTH_RADIUS_CM * math.cos(up)
    return (
        round(out * math.cos(around)),
        round(out * math.sin(around)),
        round(EARTH_RADIUS_CM * math.sin(up)),
    )


def _chord_cm(radius_m: int) -> int:
    """How far through the earth it is to what lies so far along its surface."""
    angle = radius_m * 100 / (2 * EARTH_RADIUS_CM)
    if angle >= math.pi / 2:
        return 3 * EARTH_RADIUS_CM  # the whole earth
    return round(2 * EARTH_RADIUS_CM * math.sin(angle))
