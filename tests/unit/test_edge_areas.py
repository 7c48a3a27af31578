"""Geofences: which areas a destination is outside of, and which rings are refused."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from edge.areas import Areas
from edge.network import Snapshot
from shared.errors import InvalidDataError
from shared.network import Area, Network, Node, parse_network
from shared.rings import GRID_PER_DEGREE, fault, on_grid
from tests.oracle.area_oracle import distance_m, encloses
from tests.shop import network

Ring = list[tuple[float, float]]

SQUARE: Ring = [(113.0, 23.0), (114.0, 23.0), (114.0, 24.0), (113.0, 24.0), (113.0, 23.0)]
BOW_TIE: Ring = [(113.0, 23.0), (114.0, 24.0), (114.0, 23.0), (113.0, 24.0), (113.0, 23.0)]


def node(area: Area | None = None, lat: float = 23.0, lon: float = 113.0) -> Node:
    return Node(
        node_id="n", name="", kind="dc", edge_id="e", lat=lat, lon=lon, region="r", area=area
    )


def fenced(*rings: Ring) -> Area:
    return Area(polygons=list(rings))


def outside(areas: Areas, lat: float, lon: float) -> list[bool]:
    return areas.outside(lat, lon).tolist()


def published(*rings: Ring) -> Network:
    """The shop's network with an area about its second node, as a planner publishes it."""
    nodes = list(network().nodes)
    nodes[1] = msgspec.structs.replace(nodes[1], area=fenced(*rings))
    return parse_network(msgspec.json.encode(network(nodes=nodes)))


def test_nodes_without_an_area_have_nobody_outside() -> None:
    areas = Areas([node(), node()])
    assert outside(areas, 0.0, 0.0) == [False, False]
    assert areas.outside(0.0, 0.0) is areas.outside(1.0, 1.0)


def test_one_answer_never_changes_another() -> None:
    areas = Areas([node(Area(radius_m=1_000)), node()])
    assert outside(areas, 50.0, 8.0) == [True, False]
    assert outside(areas, 23.0, 113.0) == [False, False]
    assert outside(areas, 50.0, 8.0) == [True, False]


def test_each_node_is_asked_about_its_own_area() -> None:
    nodes = [node(), node(fenced(SQUARE)), node(Area(radius_m=20_000)), node(fenced(SQUARE))]
    snapshot = Snapshot(network(nodes=[
        msgspec.structs.replace(each, node_id=f"n-{i}") for i, each in enumerate(nodes)
    ], lanes=[]))  # fmt: skip
    assert snapshot.outside(23.5, 113.5).tolist() == [False, False, True, False]
    assert snapshot.outside(23.0, 112.9).tolist() == [False, True, False, True]
    assert snapshot.outside(23.01, 113.01).tolist() == [False] * 4


def test_a_radius_or_any_of_the_polygons_will_do() -> None:
    far: Ring = [(10.0, 50.0), (11.0, 50.0), (10.0, 51.0), (10.0, 50.0)]
    areas = Areas([node(Area(radius_m=1_000, polygons=[SQUARE, far]), lat=0.0, lon=0.0)])
    for lat, lon in ((0.0, 0.0), (23.5, 113.5), (50.1, 10.1)):
        assert outside(areas, lat, lon) == [False]
    assert outside(areas, 40.0, 40.0) == [True]


def test_polygons_of_one_node_that_overlap_still_hold_what_both_hold() -> None:
    areas = Areas([node(fenced(SQUARE, SQUARE))])
    assert outside(areas, 23.5, 113.5) == [False]


@pytest.mark.parametrize("point", [(23.0, 113.5), (23.5, 114.0), (24.0, 114.0), (23.0, 113.0)])
def test_the_border_of_a_polygon_is_inside(point: tuple[float, float]) -> None:
    assert outside(Areas([node(fenced(SQUARE))]), *point) == [False]
    assert outside(Areas([node(fenced(SQUARE[::-1]))]), *point) == [False]


def test_a_step_beyond_the_border_is_outside() -> None:
    areas = Areas([node(fenced(SQUARE))])
    step = 1 / GRID_PER_DEGREE
    for lat, lon in ((23.0 - step, 113.5), (23.5, 114.0 + step), (24.0 + step, 113.0)):
        assert outside(areas, lat, lon) == [True]


def test_two_rings_are_an_area_over_the_antimeridian() -> None:
    west: Ring = [(177.0, -20.0), (180.0, -20.0), (180.0, -15.0), (177.0, -15.0), (177.0, -20.0)]
    east: Ring = [(-180.0, -20.0), (-178.0, -20.0), (-178.0, -15.0), (-180.0, -15.0),
                  (-180.0, -20.0)]  # fmt: skip
    areas = Areas(published(west, east).nodes)
    for lon in (177.5, 180.0, -180.0, -178.5):
        assert not areas.outside(-18.0, lon)[1]
    assert areas.outside(-18.0, -170.0)[1]
    assert areas.outside(-18.0, 0.0)[1]


def test_a_radius_goes_over_the_antimeridian_and_the_pole() -> None:
    assert outside(Areas([node(Area(radius_m=200_000), lat=-18.0, lon=179.5)]), -18.0, -179.5) == [
        False
    ]
    assert outside(Areas([node(Area(radius_m=300_000), lat=89.0, lon=0.0)]), 89.0, 180.0) == [False]
    assert outside(Areas([node(Area(radius_m=200_000), lat=89.0, lon=0.0)]), 89.0, 180.0) == [True]


def test_the_largest_radius_is_the_whole_earth() -> None:
    areas = Areas([node(Area(radius_m=20_100_000))])
    assert outside(areas, -23.0, -67.0) == [False]


lats, lons = st.floats(-90, 90), st.floats(-180, 180)


@given(lats, lons, lats, lons, st.integers(1, 10_000_000))
@example(0.0, 0.0, 0.0, 0.0, 1)
def test_a_radius_is_a_haversine_distance(
    lat: float, lon: float, to_lat: float, to_lon: float, radius_m: int
) -> None:
    distance = distance_m(lat, lon, to_lat, to_lon)
    assume(abs(distance - radius_m) > 0.05)
    areas = Areas([node(Area(radius_m=radius_m), lat=lat, lon=lon)])
    assert outside(areas, to_lat, to_lon) == [distance > radius_m]


@given(st.integers(1, 5_000_000), lats, lons, st.floats(0, 2 * math.pi), st.booleans())
def test_a_radius_is_sharp_to_centimetres(
    radius_m: int, lat: float, lon: float, bearing: float, beyond: bool
) -> None:
    """Go so far in a direction (destination point on a sphere), less or more five centimetres."""
    angle = (radius_m + (0.05 if beyond else -0.05)) / 6_371_008.8
    up = math.radians(lat)
    sine = math.sin(up) * math.cos(angle) + math.cos(up) * math.sin(angle) * math.cos(bearing)
    around = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(up), math.cos(angle) - math.sin(up) * sine
    )
    to_lat, to_lon = math.degrees(math.asin(max(-1.0, min(1.0, sine)))), math.degrees(around) + lon
    assume(abs(to_lat) < 89)  # nearer to a pole, asin itself is not sharp
    areas = Areas([node(Area(radius_m=radius_m), lat=lat, lon=lon)])
    assert outside(areas, to_lat, to_lon) == [beyond]


@st.composite
def rings(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Simple rings in steps of the grid, any shape, few and many coordinates alike."""
    most = draw(st.sampled_from([3, 6, 1_000, GRID_PER_DEGREE]))
    coordinate = st.integers(-most, most)
    points = draw(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9, unique=True))
    west, south = draw(st.integers(-179, 179)), draw(st.integers(-89, 89))
    closed = [*points, points[0]]
    return [(x + west * GRID_PER_DEGREE, y + south * GRID_PER_DEGREE) for x, y in closed]


@given(rings(), st.data())
def test_a_polygon_holds_what_even_odd_says_in_whole_numbers(
    ring: list[tuple[int, int]], data: st.DataObject
) -> None:
    degrees = [(x / GRID_PER_DEGREE, y / GRID_PER_DEGREE) for x, y in ring]
    assume(fault(degrees) is None)
    areas = Areas([node(fenced(degrees))])
    xs, ys = [x for x, _ in ring], [y for _, y in ring]
    ends = data.draw(st.lists(st.sampled_from(ring), min_size=2, max_size=2))
    middle = tuple(sum(axis) // 2 for axis in zip(*ends, strict=True))
    anywhere = st.tuples(
        st.integers(min(xs) - 1, max(xs) + 1), st.integers(min(ys) - 1, max(ys) + 1)
    )
    x, y = data.draw(st.one_of(anywhere, st.sampled_from([middle, ends[0]])))
    held = encloses(ring, (x, y))
    assert outside(areas, y / GRID_PER_DEGREE, x / GRID_PER_DEGREE) == [not held]


@given(lons)
def test_the_grid_keeps_its_own_coordinates(degrees: float) -> None:
    steps = on_grid(degrees)
    assert on_grid(steps / GRID_PER_DEGREE) == steps


@pytest.mark.parametrize("across, up", [(1_799_999_999, 1_234_567_891), (987_654_321, 1_111)])
def test_the_side_of_a_long_edge_is_exact(across: int, up: int) -> None:
    """Two points so close to an edge that floats see them on it: their triangle's area is 1/2."""
    west, south = -across // 2, -up // 2
    u = pow(up, -1, across)
    v = up * u // across
    assert across * v - up * u == -1
    ring = [(west, south), (west + across, south + up), (west, south + up), (west, south)]
    areas = Areas([node(fenced([(x / GRID_PER_DEGREE, y / GRID_PER_DEGREE) for x, y in ring]))])
    for x, y, inside in (
        (west + u, south + v, False),
        (west + across - u, south + up - v, True),
    ):
        assert encloses(ring, (x, y)) is inside
        assert outside(areas, y / GRID_PER_DEGREE, x / GRID_PER_DEGREE) == [not inside]


def test_a_good_ring_is_published() -> None:
    assert published(SQUARE).nodes[1].area == fenced(SQUARE)


@pytest.mark.parametrize(
    "ring, says",
    [
        (BOW_TIE, "crosses or touches itself near 113.5 23.5"),
        ([*SQUARE[:2], (113.5, 23.0), (113.0, 23.0)], "crosses or touches itself"),
        ([(113.0, 23.0)] * 4, "fewer than three points, all about 113.0 23.0"),
        ([(113.0, 23.0), (113.00000001, 23.0), (113.0, 23.00000001), (113.0, 23.0)], "fewer than"),
        (
            [(177.0, -20.0), (-178.0, -20.0), (-178.0, -15.0), (177.0, -15.0), (177.0, -20.0)],
            "has an edge over half the world, from 177.0 -20.0 to -178.0 -20.0",
        ),
    ],
    ids=["crossing", "flat", "a point", "smaller than the grid", "over the antimeridian"],
)
def test_a_ring_that_encloses_nothing_is_refused_by_name(ring: Ring, says: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        published(SQUARE, ring)
    assert caught.value.place == "$.nodes[1].area.polygons[1]"
    assert caught.value.detail.startswith("the area of node 'dc-north' ")
    assert says in caught.value.detail
    assert "antimeridian" in caught.value.expected


@pytest.mark.parametrize("area", [None, Area(radius_m=1_000)], ids=["no area", "a radius"])
def test_a_network_without_polygons_loads_no_geometry_library(area: Area | None) -> None:
    nodes = [msgspec.structs.replace(each, area=area) for each in network().nodes]
    program = (
        "import sys\n"
        "from edge.network import Snapshot\n"
        "from shared.network import parse_network\n"
        "Snapshot(parse_network(sys.stdin.buffer.read())).outside(1.0, 2.0)\n"
        "sys.exit('shapely' in sys.modules)\n"
    )
    document: Any = msgspec.json.encode(network(nodes=nodes))
    assert subprocess.run([sys.executable, "-c", program], input=document).returncode == 0


def test_the_answer_is_a_flag_for_each_node() -> None:
    answer = Areas([node(fenced(SQUARE)), node()]).outside(0.0, 0.0)
    assert answer.dtype == np.bool_
    assert answer.shape == (2,)
