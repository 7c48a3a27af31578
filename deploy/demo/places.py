"""Real cities, and lots drawn over them: the same key always draws the same lot."""

import csv
import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate
from math import asin, cos, radians, sin, sqrt
from typing import Final, TypeVar

_EARTH_RADIUS_KM: Final = 6371.0088
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class City:
    """A city as GeoNames has it.

    Attributes:
        region: ISO 3166-2 code of its province.
    """

    name: str
    lat: float
    lon: float
    population: int
    region: str


@cache
def cities() -> tuple[City, ...]:
    """About 300 cities of the Chinese mainland, the largest first."""
    text = files("deploy.demo").joinpath("data", "cities.csv").read_text("utf-8")
    return tuple(
        City(
            name=row["name"],
            lat=float(row["lat"]),
            lon=float(row["lon"]),
            population=int(row["population"]),
            region=row["region"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def city(name: str) -> City:
    """The largest city of that name."""
    return next(place for place in cities() if place.name == name)


def centres() -> dict[str, tuple[float, float]]:
    """Where the people of each region are: the mean of its cities, weighted by population."""
    sums: dict[str, tuple[float, float, int]] = {}
    for place in cities():
        lat, lon, people = sums.get(place.region, (0.0, 0.0, 0))
        sums[place.region] = (
            lat + place.lat * place.population,
            lon + place.lon * place.population,
            people + place.population,
        )
    return {
        region: (lat / people, lon / people) for region, (lat, lon, people) in sorted(sums.items())
    }


def distance_km(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Great-circle distance (haversine)."""
    a, b = radians(lat_a), radians(lat_b)
    h = sin((b - a) / 2) ** 2 + cos(a) * cos(b) * sin(radians(lon_b - lon_a) / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * asin(sqrt(h))


def draw(*key: str) -> float:
    """A number in [0, 1) that depends on the key alone."""
    digest = hashlib.sha256("\0".join(key).encode()).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def choose(choices: Sequence[T], weights: Sequence[float], *key: str) -> T:
    """One of the choices, drawn by weight."""
    bounds = list(accumulate(weights))
    return choices[min(bisect_right(bounds, draw(*key) * bounds[-1]), len(choices) - 1)]
