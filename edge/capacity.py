"""Pick capacity: how many packages this edge may still put into each slot of each node.

A node announces slots, and central shares them out like stock: a slot is a cell whose SKU is
made from its start (`shared.parts.slot_sku`). A node that has announced none takes what comes.
Times are milliseconds since 1970 UTC.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared.clock import to_datetime, to_ms
from shared.events import CapacityAnnounced
from shared.parts import CellUnits, is_slot, slot_sku


class Slot(NamedTuple):
    """A time in which a node picks packages."""

    starts_ms: int
    ends_ms: int
    sku: str


class Slots:
    """Slots by node, and this edge's shares of them.

    Args:
        announced: node, start, end of every slot that is known.
        cells: node, SKU and units of every share; other goods are left out.
    """

    def __init__(
        self,
        announced: Iterable[tuple[str, int, int]] = (),
        cells: Iterable[tuple[str, str, int]] = (),
    ) -> None:
        """See the class."""
        self._slots: dict[str, list[Slot]] = {}
        for node_id, starts_ms, ends_ms in announced:
            self._add(node_id, starts_ms, ends_ms)
        self._share = {(node, sku): units for node, sku, units in cells if is_slot(sku)}

    def announce(self, announced: CapacityAnnounced) -> None:
        """Take note of slots; how many packages they take comes by grants."""
        for slot in announced.slots:
            self._add(announced.node_id, to_ms(slot.starts_at), to_ms(slot.ends_at))

    def _add(self, node_id: str, starts_ms: int, ends_ms: int) -> None:
        slots = self._slots.setdefault(node_id, [])
        slots[:] = [slot for slot in slots if slot.starts_ms != starts_ms]
        slots.append(Slot(starts_ms, ends_ms, slot_sku(to_datetime(starts_ms))))
        slots.sort()

    def move(self, cells: Sequence[CellUnits], sign: int) -> None:
        """Add (`sign` +1) or take (-1) units; other goods are left out."""
        for cell in cells:
            if is_slot(cell.sku):
                key = cell.node_id, cell.sku
                self._share[key] = self._share.get(key, 0) + sign * cell.quantity
                assert self._share[key] >= 0, f"share of {cell} would be {self._share[key]}"

    def clear(self) -> None:
        """Nothing may be promised any more."""
        self._share.clear()

    def share(self, node_id: str, sku: str) -> int:
        """Packages that this edge may still put into a slot."""
        return self._share.get((node_id, sku), 0)

    def nodes(self) -> Iterable[str]:
        """Nodes that have announced slots."""
        return self._slots

    def first(self, node_id: str, ready_ms: int, packages: int = 1) -> Slot | None:
        """The first slot of a node in which a package that is ready then can still be picked."""
        for slot in self._slots.get(node_id, ()):
            if slot.ends_ms > ready_ms and self.share(node_id, slot.sku) >= packages:
                return slot
        return None
