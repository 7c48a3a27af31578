"""The escrow policy: how much of each cell an edge may promise alone. Pure, and replaceable.

Everything that central knows enters as arguments; grants and recalls come out, and the only
effect is on the book: the pool is debited here, before anything is sent.

Nobody has to say that a share runs low: central sees every sale, so the log itself says it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol
from zlib import crc32

from central import recalls
from central.accounts import Balance, Book, Cell
from central.demand import HALF_LIFE_MS
from central.relief import Grants, Need, Relief, grant
from central.territory import Territory

PRIOR_UNITS: Final = 1
"""What every edge is taken to sell of every cell, so that one sale does not empty all others."""

LOW_WATER: Final = 4
"""A share below one such part of its target is filled up again."""

_WEIGHT = 1_000
"""Demand is counted in thousandths of a unit here: integers divide without a rest."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a policy knows besides the book.

    Attributes:
        territory: of the latest network.
        fenced: edges that get nothing until they have been heard again.
        present: edges that were heard lately.
        scarce: SKUs that lines are known to wait for: their units are not levelled out, or
            they would go to and fro between who waits and who has few.
    """

    territory: Territory = field(default_factory=Territory)
    fenced: frozenset[str] = frozenset()
    present: frozenset[str] = frozenset()
    scarce: frozenset[str] = frozenset()

    def kept_nodes(self) -> frozenset[str]:
        """Stores whose edge is fenced: nobody else could have their goods picked."""
        kinds = self.territory.kinds
        return frozenset(
            node_id
            for node_id, home in self.territory.home.items()
            if home in self.fenced and kinds[node_id] == "store"
        )


@dataclass(slots=True)
class Handout:
    """What a policy has decided: units that edges get, and units that they shall return."""

    grants: Grants = field(default_factory=dict)
    recalls: Grants = field(default_factory=dict)


class Policy(Protocol):
    """What a policy has to answer."""

    half_life_ms: int
    """After so long a sale counts half."""

    def relieve(
        self,
        book: Book,
        situation: Situation,
        needs: Iterable[Need],
        asks: Iterable[Need],
        handout: Handout,
    ) -> None:
        """Find units for orders that wait, and for payments that wait to be answered.

        Args:
            book: with the accounts of all their cells.
            situation: see the class.
            needs: of orders, the oldest first; other edges' units are recalled for them.
            asks: of payments: there is only time for what pools have.
            handout: filled.
        """
        ...

    def settle(
        self, book: Book, situation: Situation, cells: Iterable[Cell], handout: Handout
    ) -> None:
        """Share out the cells that a burst has moved."""
        ...

    def pay_debts(self, book: Book, situation: Situation, handout: Handout) -> None:
        """Recall what pools below zero owe."""
        ...


class DemandPolicy:
    """Stores' stock to their home edge; a distribution centre's to where it sells.

    Args:
        pool_reserve: fraction of a distribution centre's free units (pool and shares) that
            stays in the pool. Only parked lines and payments that wait may dip into it.
        floor_units: what each edge of the network gets of each cell first, as far as it reaches.
        half_life_ms: after so long a sale counts half.
    """

    def __init__(
        self, pool_reserve: float, floor_units: int = 2, half_life_ms: int = HALF_LIFE_MS
    ) -> None:
        """See the class."""
        assert 0 <= pool_reserve <= 1, pool_reserve
        assert floor_units >= 0, floor_units
        assert half_life_ms > 0, half_life_ms
        self._pool_reserve = pool_reserve
        self._floor_units = floor_units
        self.half_life_ms = half_life_ms

    def relieve(
        self,
        book: Book,
        situation: Situation,
        needs: Iterable[Need],
        asks: Iterable[Need],
        handout: Handout,
    ) -> None:
        """Find units for orders that wait and for payments that wait; see `central.relief`."""
        relief = Relief(
            book,
            situation.present,
            situation.kept_nodes() if situation.fenced else frozenset(),
            situation.territory,
            self._target(book, situation),
            handout.grants,
            handout.recalls,
        )
        for need in needs:
            if need.edge_id not in situation.fenced:
                # Who is not there could not use what others would have to give up.
                relief.serve(need, recall=need.edge_id in situation.present)
        for ask in asks:
            relief.serve(ask, recall=False)

    def settle(
        self, book: Book, situation: Situation, cells: Iterable[Cell], handout: Handout
    ) -> None:
        """Fill shares where stock arrived; elsewhere fill up the shares that have run low."""
        territory = situation.territory
        edges = tuple(x for x in territory.edges if x not in situation.fenced)
        kept = situation.kept_nodes() if situation.fenced else frozenset()
        for cell in sorted(cells):
            pool = book.balances[cell].pool
            kind = territory.kinds.get(cell[0])
            if pool < 0 or kind is None or cell[0] in kept:
                continue  # a debt is never granted; an unknown node waits for its network
            if kind == "dc" and edges:
                self._spread(book, situation, edges, cell, handout)
            elif kind == "store" and pool > 0:
                grant(book, handout.grants, territory.home[cell[0]], cell, pool)

    def pay_debts(self, book: Book, situation: Situation, handout: Handout) -> None:
        """Recall what pools below zero owe, from the shares that are fullest."""
        target = self._target(book, situation)
        recalls.pay_debts(book, situation.present, target, handout.recalls)

    def _target(self, book: Book, situation: Situation) -> recalls.Target:
        known: dict[Cell, dict[str, int]] = {}

        def target(edge_id: str, cell: Cell) -> int:
            if cell not in known:
                known[cell] = self.targets(book, situation, cell)
            return known[cell].get(edge_id, 0)

        return target

    def targets(self, book: Book, situation: Situation, cell: Cell) -> dict[str, int]:
        """What each edge should hold of a cell: the floor, and the rest by demand."""
        territory = situation.territory
        if territory.kinds.get(cell[0]) == "store":
            return {territory.home[cell[0]]: self._free(book, cell)}
        edges = tuple(x for x in territory.edges if x not in situation.fenced)
        return self._shared_out(book, edges, cell) if edges else {}

    def _shared_out(self, book: Book, edges: tuple[str, ...], cell: Cell) -> dict[str, int]:
        free = self._free(book, cell)
        units = free - self._reserve(free)
        floor = min(self._floor_units, units // len(edges))
        rest = units - floor * len(edges)
        # Units that do not divide go to other edges in each cell, always the same ones.
        turn = crc32("\0".join(cell).encode()) % len(edges)
        turned = (*edges[turn:], *edges[:turn])
        weights = [int((book.demand.of(x, cell) + PRIOR_UNITS) * _WEIGHT) for x in turned]
        total = sum(weights)
        parts = [divmod(rest * weight, total) for weight in weights]
        over = rest - sum(part for part, _ in parts)
        first = sorted(range(len(turned)), key=lambda at: (-parts[at][1], at))[:over]
        return {edge_id: floor + parts[at][0] + (at in first) for at, edge_id in enumerate(turned)}

    def _spread(
        self,
        book: Book,
        situation: Situation,
        edges: tuple[str, ...],
        cell: Cell,
        handout: Handout,
    ) -> None:
        shares = book.shares.get(cell, {})
        targets = self._shared_out(book, edges, cell)
        reserve = self._reserve(self._free(book, cell))
        filling = book.moves.get(cell, Balance()).received > 0 or not any(shares.values())
        wants = []
        for place, (edge_id, target) in enumerate(targets.items()):
            share = shares.get(edge_id, 0)
            if share < target and (filling or share * LOW_WATER < target):
                wants.append((share, place, edge_id, target - share))
        lacking = 0
        for _, _, edge_id, want in sorted(wants):
            units = min(want, max(0, book.balances[cell].pool - reserve))
            if units:
                grant(book, handout.grants, edge_id, cell, units)
            lacking += 0 if filling else want - units
        if lacking and cell[1] not in situation.scarce:
            recalls.level(book, situation.present, cell, lacking, targets, handout.recalls)

    def _free(self, book: Book, cell: Cell) -> int:
        return max(0, book.balances[cell].pool + sum(book.shares.get(cell, {}).values()))

    def _reserve(self, free: int) -> int:
        return int(free * self._pool_reserve)
