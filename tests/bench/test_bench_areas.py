"""Which areas a destination is outside of: 200 and 2,000 nodes, radii, polygons and both.

Beside each, the library alone: every prepared polygon is asked.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import shapely

from edge.areas import Areas
from shared.network import Area, Node
from shared.rings import on_grid, polygon
from tests.bench.test_bench_router import quantiles

CORNERS = 40


def ring(rng: np.random.Generator, lat: float, lon: float) -> list[tuple[float, float]]:
    """A star of 10 to 50 km about a node."""
    reach = rng.uniform(0.1, 0.5, CORNERS)
    points = [
        (lon + far * math.cos(turn), lat + far * math.sin(turn))
        for far, turn in zip(reach, np.linspace(0, 2 * math.pi, CORNERS, False), strict=True)
    ]
    return [*points, points[0]]


def nodes(count: int, fences: str) -> list[Node]:
    """Seeded: spread over ten degrees by ten."""
    rng = np.random.default_rng(5)
    found = []
    for i in range(count):
        lat, lon = rng.uniform(22, 32), rng.uniform(110, 120)
        area = None
        if fences != "none":
            area = Area(
                radius_m=int(rng.integers(5_000, 50_000)) if fences != "polygons" else None,
                polygons=[ring(rng, lat, lon)] if fences != "radii" else [],
            )
        found.append(
            Node(
                node_id=f"n-{i}", name="", kind="store", edge_id="e", lat=lat, lon=lon,
                region="r", area=area,
            )
        )  # fmt: skip
    return found


@pytest.mark.benchmark(group="areas a destination is outside of")
@pytest.mark.parametrize("count", [200, 2_000])
@pytest.mark.parametrize("fences", ["none", "radii", "polygons", "both", "library alone"])
def test_outside(benchmark: Any, count: int, fences: str) -> None:
    every = nodes(count, "polygons" if fences == "library alone" else fences)
    if fences == "library alone":
        shapes = np.array([polygon(each.area.polygons[0]) for each in every if each.area])
        shapely.prepare(shapes)

        def ask(lat: float, lon: float) -> Any:
            return ~shapely.intersects_xy(shapes, on_grid(lon), on_grid(lat))

    else:
        ask = Areas(every).outside
    here = (every[0].lat, every[0].lon)
    answer = benchmark.pedantic(ask, here, rounds=5_000, warmup_rounds=50)
    assert not answer[0]
    assert answer.any() == (fences != "none")
    quantiles(benchmark)


@pytest.mark.benchmark(group="laying areas out")
@pytest.mark.parametrize("count", [200, 2_000])
def test_laying_areas_out(benchmark: Any, count: int) -> None:
    every = nodes(count, "both")
    areas = benchmark.pedantic(Areas, (every,), rounds=5)
    assert not areas.outside(every[0].lat, every[0].lon)[0]
