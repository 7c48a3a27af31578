"""What both watchers write down: P1 is asserted here, whoever has seen something change."""

from collections.abc import Iterable

from msgspec import Struct

from deploy.sim.agenda import Agenda
from deploy.sim.books import (
    Cell,
    EdgeBook,
    Entry,
    ViolationError,
    add,
    late_units,
    uncovered,
)
from deploy.sim.scenario import World
from shared.parts import Shortage


class Measures(Struct):
    """What is counted on the way."""

    orders: int = 0
    orders_online: int = 0
    parked_needlessly: int = 0
    units_sold: int = 0
    units_granted: int = 0
    units_returned: int = 0
    shorts: int = 0
    shorts_rerouted: int = 0
    late_sales: int = 0
    entries: int = 0
    lost_entries: int = 0
    units_abroad: int = 0
    lots_open: int = 0


class Tally:
    """Units of all cells, and the books of all edges.

    Attributes:
        books: by edge.
        owed, made: see `deploy.sim.books`; with `_in` as central has taken them in.
        accepted: order ids to the edges that have accepted them, and how often.
        exceptions: codes that central has noted, with edge, epoch and sequence.
        measures: what was counted.
    """

    def __init__(self, agenda: Agenda, world: World) -> None:
        """See the class."""
        self.agenda = agenda
        self.world = world
        self.books = {edge_id: EdgeBook(edge_id) for edge_id in world.edges}
        self.owed: dict[Cell, int] = {}
        self.made: dict[Cell, int] = {}
        self.owed_in: dict[Cell, int] = {}
        self.made_in: dict[Cell, int] = {}
        self.shipped_in: dict[Cell, int] = {}
        self.exceptions: list[tuple[str, str | None, int | None, int | None]] = []
        self.accepted: dict[str, dict[str, int]] = {}
        self.measures = Measures()
        self._debt: dict[Cell, int] = {}
        self._slack: dict[Cell, int] = {}
        self._ledger_end = 0
        self._exceptions_end = 0
        self._feed_end: dict[str, int] = {}
        self._changes = -1
        self._shorts: set[str] = set()
        self._picked: set[str] = set()

    def _undo(self, entry: Entry) -> set[Cell]:
        for effect in entry.effects:
            add(self.owed, effect.cell, -effect.owed)
            add(self.made, effect.cell, -effect.made)
        return {effect.cell for effect in entry.effects}

    def _be_late(self, entry: Entry) -> None:
        entry.late = True
        self._cover(entry, late_units(entry.data, entry.effects))
        self._cover(entry, uncovered(entry.data, entry.effects))

    def _cover(self, entry: Entry, units_of: dict[Cell, int]) -> None:
        """Units that nothing covers, and of which central has not heard yet."""
        for cell, units in units_of.items():
            add(entry.slack, cell, units)
            add(self._slack, cell, units)

    def _weigh(
        self, cells: Iterable[Cell], rises: dict[Cell, int], *, any_rise: bool = False
    ) -> None:
        """P1: no cell is promised beyond what it has, but for debts that someone has made."""
        for cell in cells:
            over = self.owed.get(cell, 0) - self.made.get(cell, 0)
            for book in self.books.values():
                if not book.coherent:
                    over += book.central_share.get(cell, 0) + book.pending.get(cell, 0)
                    continue
                over += book.share.get(cell, 0)
                for coming in book.coming.values():
                    over += sum(units for of, units in coming if of == cell)
            slack = self._slack.get(cell, 0)
            allowed = max(0, self._debt.get(cell, 0) + rises.get(cell, 0)) + slack
            if over > allowed and not any_rise:
                raise ViolationError(
                    "P1", f"{cell}: {over} units are promised beyond what there is, "
                    f"{allowed} of them explained",
                )  # fmt: skip
            self._debt[cell] = max(0, over - slack)

    def pool(self, cell: Cell) -> int:
        """Central's pool of a cell, as the ledger has it."""
        shares = sum(book.central_share.get(cell, 0) for book in self.books.values())
        return self.made_in.get(cell, 0) - self.owed_in.get(cell, 0) - shares

    def could_ship(self, book: EdgeBook, parked: Iterable[Shortage]) -> tuple[str, str] | None:
        """A node whose pools have what lines lack that need one node; and one of the SKUs.

        Where the edge has enough itself, it waits for something else than stock.
        """
        groups: dict[int, list[Shortage]] = {}
        for shortage in parked:
            if shortage.group >= 0:
                groups.setdefault(shortage.group, []).append(shortage)
        for group in groups.values():
            needs: dict[str, int] = {}
            for shortage in group:
                needs[shortage.sku] = needs.get(shortage.sku, 0) + shortage.quantity
            for node_id in group[0].nodes:
                cells = [((node_id, sku), units) for sku, units in needs.items()]
                if all(book.share.get(cell, 0) >= units for cell, units in cells):
                    continue
                if all(self.pool(cell) >= units for cell, units in cells):
                    return node_id, group[0].sku
        return None
