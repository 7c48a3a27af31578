"""What each edge sells of each cell, old sales counting less and less. Pure.

The measure is in units: a unit committed now counts one, one committed a half-life ago counts
a half. A clock that is set back makes nothing younger, and one that is set years ahead leaves
counts near zero, from which they grow again.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

HALF_LIFE_MS: Final = 7 * 24 * 3_600_000

Place = tuple[str, tuple[str, str]]
"""Edge id and cell."""


class Count(NamedTuple):
    """Units as they counted at a time, milliseconds since 1970 UTC."""

    units: float
    at_ms: int


@dataclass(slots=True)
class Demand:
    """The counts that a burst touches.

    Attributes:
        now_ms: wall time.
        half_life_ms: after so long a sale counts half.
        counts: as they were loaded, or have become.
        changed: places whose counts have to be saved.
    """

    now_ms: int = 0
    half_life_ms: int = HALF_LIFE_MS
    counts: dict[Place, Count] = field(default_factory=dict)
    changed: set[Place] = field(default_factory=set)

    def of(self, edge_id: str, cell: tuple[str, str]) -> float:
        """What an edge sells of a cell, in units, as it counts now."""
        count = self.counts.get((edge_id, cell))
        if count is None:
            return 0.0
        age_ms = max(0, self.now_ms - count.at_ms)
        return count.units * float(0.5 ** (age_ms / self.half_life_ms))

    def add(self, edge_id: str, cell: tuple[str, str], units: int) -> None:
        """An edge has committed units."""
        # Anchored anew each time, so that a clock that was ahead does no harm once it is right.
        self.counts[edge_id, cell] = Count(self.of(edge_id, cell) + units, self.now_ms)
        self.changed.add((edge_id, cell))
