"""Stand-in until expected stock lands."""

from collections.abc import Iterable
from typing import NamedTuple


class Lot(NamedTuple):
    """Stand-in until expected stock lands."""

    node_id: str
    lot_id: str
    sku: str
    units: int
    expected_ms: int
    release_per_mille: int


class Incoming:
    """Stand-in until expected stock lands."""

    def __init__(self, known: Iterable[Lot] = ()) -> None:
        self._known = list(known)

    def lots(self, sku: str, now_ms: int) -> Iterable[Lot]:
        """Stand-in."""
        return sorted(
            (x for x in self._known if x.sku == sku and x.expected_ms > now_ms),
            key=lambda x: x.expected_ms,
        )
