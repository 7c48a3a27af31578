"""Pick capacity: how many packages this edge may still put into each slot of each node.

A node announces slots, and central shares them out like stock: a slot is a cell whose SKU is
made from its start (`shared.parts.slot_sku`). A node that has announced none takes what comes.
Times are milliseconds since 1970 UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.clock import to_datetime, to_ms
from shared.events import CapacityAnnounced
from shared.parts import CellUnits, is_slot, slot_sku


class Slot(NamedTuple):
    """A time in which a node picks packages."""

    starts_ms: int
    ends_ms: int
    sku: str


class Board(NamedTuple):
    """All slots, laid out by the positions of one snapshot's nodes; S slots.

    Attributes:
        first: int64[N + 1], first slot of each node, and the end; a node's are in order.
        starts_ms, ends_ms: int64[S].
        left: int64[S], packages that this edge may still put into each.
        slots: the same by name.
    """

    first: NDArray[np.int64]
    starts_ms: NDArray[np.int64]
    ends_ms: NDArray[np.int64]
    left: NDArray[np.int64]
    slots: list[Slot]


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
        self._board: Board | None = None
        self._board_of: Mapping[str, int] = {}
        self._place: dict[tuple[str, str], int] = {}  # on the board
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
        self._board = None

    def move(self, cells: Sequence[CellUnits], sign: int) -> None:
        """Add (`sign` +1) or take (-1) units; other goods are left out."""
        for cell in cells:
            if is_slot(cell.sku):
                key = cell.node_id, cell.sku
                self._share[key] = self._share.get(key, 0) + sign * cell.quantity
                assert self._share[key] >= 0, f"share of {cell} would be {self._share[key]}"
                if self._board is not None and key in self._place:
                    self._board.left[self._place[key]] = self._share[key]

    def clear(self) -> None:
        """Nothing may be promised any more."""
        self._share.clear()
        self._board = None

    def share(self, node_id: str, sku: str) -> int:
        """Packages that this edge may still put into a slot."""
        return self._share.get((node_id, sku), 0)

    def of(self, node_id: str) -> Sequence[Slot]:
        """The slots that a node has announced, in order."""
        return self._slots.get(node_id, ())

    def board(self, node_ix: Mapping[str, int]) -> Board | None:
        """All slots by position of the node; None where no node has announced any.

        It is kept, and follows every share, until slots are announced or other positions asked.

        Args:
            node_ix: the positions, in their order.
        """
        if self._slots and (self._board is None or self._board_of is not node_ix):
            self._board, self._board_of = self._lay_out(node_ix), node_ix
        return self._board

    def _lay_out(self, node_ix: Mapping[str, int]) -> Board | None:
        first, self._place = [0], {}
        slots: list[Slot] = []
        left: list[int] = []
        for node_id in node_ix:
            for slot in self._slots.get(node_id, ()):
                self._place[node_id, slot.sku] = len(slots)
                left.append(self.share(node_id, slot.sku))
                slots.append(slot)
            first.append(len(slots))
        if not slots:
            return None
        return Board(
            first=np.array(first, np.int64),
            starts_ms=np.array([slot.starts_ms for slot in slots], np.int64),
            ends_ms=np.array([slot.ends_ms for slot in slots], np.int64),
            left=np.array(left, np.int64),
            slots=slots,
        )
