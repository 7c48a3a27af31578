"""Relief: units for orders that wait, each need whole and at one node. Pure.

What waits is a group of lines that one node must have altogether (often it is one line). A
need is served, the oldest first, from the first of these that will do:

1. units that its edge holds already at one of the nodes, and no older need of it wants;
2. pools;
3. pools and what other edges can return, apart from what older needs of theirs want.

Nothing is remembered of one round for the next: what an edge was granted is in its share, what
it was asked for is on its way, and both count again. So a lost word, an edge that is away, or
units that went to another order need no mending.

A store's fence holds for orders of other edges: its last units of a SKU, so many as its network
says, stay with its home edge, for customers who walk in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from central import recalls
from central.accounts import Book, Cell
from central.desk import Waiting
from central.recalls import Recalls, Target
from central.territory import Territory

Grants = dict[str, dict[Cell, int]]
"""Edge id to cell to units that it may promise from now on, in addition."""


@dataclass(frozen=True, slots=True)
class Need:
    """Lines of an order that one node must have altogether.

    Attributes:
        edge_id: who keeps the order.
        age: orders needs; the smallest is the oldest.
        units: SKU to units.
        nodes: those that would do, the best first.
    """

    edge_id: str
    age: tuple[str, int]
    units: dict[str, int]
    nodes: tuple[str, ...]

    def at(self, node_id: str) -> dict[Cell, int]:
        """Units of the cells of a node."""
        return {(node_id, sku): units for sku, units in self.units.items()}

    def cells(self) -> list[Cell]:
        """The cells that could help."""
        return [(node_id, sku) for node_id in self.nodes for sku in self.units]


def needs_of(waiting: Iterable[Waiting]) -> list[Need]:
    """What lines that wait need, the oldest first; lines that no stock could help are left out."""
    groups: dict[tuple[str, int], list[Waiting]] = {}
    for line in waiting:
        if line.group >= 0 and line.nodes:
            groups.setdefault((line.order_id, line.group), []).append(line)
    needs = []
    for age, lines in sorted(groups.items()):
        units: dict[str, int] = {}
        for line in lines:
            units[line.sku] = units.get(line.sku, 0) + line.units
        # Order ids begin with their time.
        needs.append(Need(lines[0].edge_id, age, units, tuple(lines[0].nodes.split())))
    return needs


@dataclass(slots=True)
class Relief:
    """One round.

    Args:
        book: accounts of all cells of all needs.
        present: edges that were heard lately: they do what they are asked.
        kept: nodes whose pools nobody may have.
        territory: whose the nodes are, and what they keep for customers who walk in.
        target: what an edge should hold of a cell.
        grants, recalls: filled.
    """

    book: Book
    present: frozenset[str]
    kept: frozenset[str]
    territory: Territory
    target: Target
    grants: Grants
    recalls: Recalls
    _wanted: dict[tuple[str, Cell], int] = field(default_factory=dict)
    _awaited: dict[Cell, int] = field(default_factory=dict)
    _reach: dict[Cell, dict[int, int]] = field(default_factory=dict)

    def serve(self, need: Need, *, recall: bool = True) -> None:
        """Find units for a need; `recall` also those of other edges."""
        # Thousands may wait for what is nowhere: they must cost little.
        hopeful = [
            cells
            for cells in map(need.at, need.nodes)
            if all(self._others(need.edge_id, cell, units) for cell, units in cells.items())
        ]
        for ways in (self._own, self._pool, *([self._others] if recall else [])):
            for cells in hopeful:
                if all(ways(need.edge_id, cell, units) for cell, units in cells.items()):
                    self._take(need.edge_id, cells)
                    return

    def _free(self, edge_id: str, cell: Cell) -> int:
        """Units of an edge's share that no older need wants."""
        share = self.book.shares.get(cell, {}).get(edge_id, 0)
        asked = self.book.coming.get(cell, {}).get(edge_id, 0)
        return max(0, share - asked - self._wanted.get((edge_id, cell), 0))

    def _own(self, edge_id: str, cell: Cell, units: int) -> bool:
        return self._free(edge_id, cell) >= units

    def _fence(self, edge_id: str, cell: Cell) -> int:
        """Units of a cell that must stay with its home edge, whatever this edge wants."""
        at_home = self.territory.home.get(cell[0]) == edge_id
        return 0 if at_home else self.territory.walk_in.get(cell[0], 0)

    def _owed_home(self, edge_id: str, cell: Cell) -> int:
        """What the home edge lacks of the fence: the next units of the pool are its own."""
        fence = self._fence(edge_id, cell)
        return max(0, fence - self._free(self.territory.home[cell[0]], cell)) if fence else 0

    def _starved(self, edge_id: str, cell: Cell) -> bool:
        """Whether whatever comes into the pool next is for the home edge's fence."""
        owed = self._owed_home(edge_id, cell)
        return owed > 0 and owed > self._balance(cell) + self._coming(cell)

    def _in_pool(self, edge_id: str, cell: Cell) -> int:
        """Units of a pool that an edge may have."""
        if cell[0] in self.kept:
            return 0
        return max(0, self._balance(cell) - self._owed_home(edge_id, cell))

    def _pool(self, edge_id: str, cell: Cell, units: int) -> bool:
        return self._free(edge_id, cell) + self._in_pool(edge_id, cell) >= units

    def _on_its_way(self, edge_id: str, cell: Cell) -> int:
        """Units that were recalled, will come, and nothing that goes before wants.

        That is a debt, what the home edge lacks of the fence, and older needs.
        """
        first = max(0, self._owed_home(edge_id, cell) - self._balance(cell))
        return max(0, self._coming(cell) - first)

    def _balance(self, cell: Cell) -> int:
        """Units of the pool; below zero: a debt."""
        balance = self.book.balances.get(cell)
        return 0 if balance is None else balance.pool

    def _coming(self, cell: Cell) -> int:
        """Units that were recalled, will come, and no older need wants."""
        coming = recalls.coming(self.book, self.present, cell)
        return coming - self._awaited.get(cell, 0)

    def _others(self, edge_id: str, cell: Cell, units: int) -> bool:
        if cell[0] in self.kept or self._starved(edge_id, cell):
            return self._own(edge_id, cell, units)
        found = self._in_reach(edge_id, cell)
        if edge_id not in self.present:
            found += self._free(edge_id, cell)
        return found >= units

    def _in_reach(self, edge_id: str, cell: Cell) -> int:
        """Units that an edge could have of those that are heard, its own with them."""
        known = self._reach.setdefault(cell, {})
        fence = self._fence(edge_id, cell)  # All edges are alike but for this.
        if fence not in known:
            held = sum(self._loose(x, cell, fence) for x in self._holders(cell))
            known[fence] = self._in_pool(edge_id, cell) + self._on_its_way(edge_id, cell) + held
        return known[fence]

    def _spare(self, edge_id: str, cell: Cell) -> dict[str, int]:
        """What other edges that are heard could return: edge id to units."""
        fence = self._fence(edge_id, cell)
        return {
            other: units
            for other in self._holders(cell)
            if other != edge_id and (units := self._loose(other, cell, fence))
        }

    def _holders(self, cell: Cell) -> Iterable[str]:
        return (x for x in self.book.shares.get(cell, {}) if x in self.present)

    def _loose(self, edge_id: str, cell: Cell, fence: int) -> int:
        """Units of an edge's share beyond the fence, which is its own if it is at home there."""
        at_home = self.territory.home.get(cell[0]) == edge_id
        return max(0, self._free(edge_id, cell) - (fence if at_home else 0))

    def _take(self, edge_id: str, cells: dict[Cell, int]) -> None:
        for cell, units in cells.items():
            free = self._free(edge_id, cell)
            lacking = max(0, units - free)
            granted = min(lacking, self._in_pool(edge_id, cell))
            if granted:
                grant(self.book, self.grants, edge_id, cell, granted)
            lacking -= granted
            key = (edge_id, cell)
            self._wanted[key] = self._wanted.get(key, 0) + units - lacking
            coming = min(lacking, self._on_its_way(edge_id, cell))
            self._awaited[cell] = self._awaited.get(cell, 0) + lacking
            spare = self._spare(edge_id, cell)
            recalls.take(self.book, cell, lacking - coming, spare, self.target, self.recalls)
            self._reach.pop(cell, None)


def grant(book: Book, grants: Grants, edge_id: str, cell: Cell, units: int) -> None:
    """Move units from a cell's pool to an edge's share."""
    assert 0 < units <= book.balances[cell].pool, (cell, units)
    book.post("grant", cell, units, edge_id)
    granted = grants.setdefault(edge_id, {})
    granted[cell] = granted.get(cell, 0) + units
