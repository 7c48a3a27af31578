"""What the engine holds in memory, all of it rebuilt from the store at start."""

import heapq
import sys
from collections.abc import Iterable
from typing import Final

import msgspec

from edge.capacity import Slots
from edge.failures import Failures
from edge.incoming import Incoming
from edge.journal import Journal
from edge.network import Snapshot
from edge.prices import Rates
from edge.records import Decision, Order, Records
from edge.routing.known import Known
from edge.sourcing import Rules
from edge.stock import Stock
from shared.clock import to_datetime, to_ms
from shared.envelope import decode_event
from shared.errors import NoNetworkError, OverloadedError, UnknownNodeError, UnknownSkuError
from shared.lots import OVERDUE_MS
from shared.network import Network, Node
from shared.parts import CellUnits, Shortage, StockLine, is_slot
from shared.prices import Prices
from shared.sourcing import Sourcing

_CAPACITY: Final = "slot."
"""What orders wait for that lack not goods but somebody to pick them."""


class State:
    """Snapshot, shares, waiting orders, log position.

    Attributes:
        sourcing: the sourcing document in force, if one was published.
        prices: the newest prices, if any were published.
        feed: number of the newest feed item that was applied.
        due: orders that are to be tried again, oldest first.
        unfit: why this store must not sell, if so: it is behind the ledger, or a copy.
        rebuilding: what this edge has lost is still to come down the feed.
        log_end_max: the log may not grow beyond this position, since central has not taken
            enough of it.
    """

    def __init__(self, edge_id: str, records: Records, now_ms: int) -> None:
        """Read everything from `records`."""
        self.edge_id = edge_id
        self.records = records
        position = records.last_position()
        hlc = "0" * 16
        newest = records.log_entry(position)
        if newest is not None:
            hlc = decode_event(newest).hlc or hlc
        self.journal = Journal(edge_id, records.epochs(), position, hlc)
        self.feed = int(records.meta("feed", "0"))
        self.unfit = records.meta("unfit")
        self.rebuilding = bool(records.meta("rebuilding"))
        self.log_end_max: int = sys.maxsize
        self.due: dict[str, None] = {}
        self._waiting: dict[str, set[str]] = {}  # SKU to orders
        self._wants: dict[str, set[str]] = {}  # order to SKUs
        self._wakes: dict[str, int] = {}  # order to when what it waits for is expected
        self._clock: list[tuple[int, str]] = []  # the same as a heap; some are over
        self.incoming = Incoming(records.incoming(now_ms - OVERDUE_MS))
        for order in records.parked_orders():
            self.index(order)
        self.slots = Slots(records.slots(), records.cells())
        self.failures = Failures(records.failures())
        self._snapshot: Snapshot | None = None
        self._stock: Stock | None = None
        self._known: Known | None = None
        self._rules: Rules | None = None
        self._turns: list[int] = []
        self._woke_ms = now_ms
        self.sourcing: Sourcing | None = None
        self.prices: Prices | None = records.prices()
        sourcing = records.sourcing()
        if sourcing is not None:
            self._choose_by(sourcing)
        network = records.network()
        if network is not None:
            self.enter(network)

    def enter(self, network: Network) -> None:
        """Decide by this network from now on; waiting orders get another try."""
        self._snapshot = Snapshot(network)
        self._stock = Stock(self._snapshot, self.records.cells(), self.edge_id)
        self._know(Rates(self._snapshot, self.prices))
        self.due.update(dict.fromkeys(sorted(self._wants)))

    @property
    def snapshot(self) -> Snapshot:
        """The network.

        Raises:
            NoNetworkError: none has arrived yet.
        """
        if self._snapshot is None:
            raise NoNetworkError(
                "this edge has not received a network snapshot yet",
                expected="`pointsman central network publish`, and a link to central",
            )
        return self._snapshot

    @property
    def stock(self) -> Stock:
        """The shares, laid out for the snapshot."""
        assert self._stock is not None, "the snapshot is asked for first"
        return self._stock

    def _choose_by(self, sourcing: Sourcing) -> None:
        self.sourcing, self._rules = sourcing, Rules(sourcing)
        self._turns = self._rules.turns_ms[::-1]

    def _know(self, rates: Rates) -> None:
        """What a decision is made by from now on; laid out now, not while an order waits for it."""
        self._known = Known(
            self.snapshot,
            self.stock,
            self.slots,
            self.failures,
            self.incoming,
            rules=self._rules,
            rates=rates,
        )

    @property
    def known(self) -> Known:
        """All that a decision is made by."""
        assert self._known is not None, "the snapshot is asked for first"
        return self._known

    def require_sku(self, sku: str, place: str) -> None:
        """Raise UnknownSkuError, naming the place, unless the snapshot has the SKU."""
        if sku not in self.snapshot.sku_ix:
            raise UnknownSkuError(
                f"SKU {sku!r} is not in network version {self.snapshot.network.version}",
                place=place,
                expected="a SKU of the network's products",
            )

    def require_node(self, node_id: str, place: str) -> Node:
        """The node.

        Raises:
            UnknownNodeError: the snapshot has no such node.
        """
        position = self.snapshot.node_ix.get(node_id)
        if position is None:
            raise UnknownNodeError(
                f"node {node_id!r} is not in network version {self.snapshot.network.version}",
                place=place,
                expected="a node of the network",
            )
        return self.snapshot.network.nodes[position]

    def home_of(self, node_id: str) -> str:
        """The node's home edge: this one, if a later network has dropped the node."""
        position = self.snapshot.node_ix.get(node_id)
        return self.edge_id if position is None else self.snapshot.network.nodes[position].edge_id

    def require_own_node(self, node_id: str, place: str) -> Node:
        """The node, which must have this edge as its home.

        Raises:
            UnknownNodeError: no such node, or another edge is its home.
        """
        node = self.require_node(node_id, place)
        if node.edge_id != self.edge_id:
            raise UnknownNodeError(
                f"node {node_id!r} belongs to edge {node.edge_id!r}",
                place=place,
                expected=f"a node of edge {self.edge_id!r}",
            )
        return node

    def shares(self, node_id: str, lines: Iterable[StockLine]) -> list[CellUnits]:
        """Of these units at a node, as many as this edge's shares hold."""
        wanted: dict[str, int] = {}
        for line in lines:
            wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
        node = self.snapshot.node_ix[node_id]
        found = {
            sku: min(units, int(self.stock.share[self.snapshot.sku_ix[sku], node]))
            for sku, units in wanted.items()
        }
        return [
            CellUnits(node_id=node_id, sku=sku, quantity=n) for sku, n in found.items() if n > 0
        ]

    def require_whole(self) -> None:
        """Raise OverloadedError while this edge cannot know yet what it has handled before."""
        if self.rebuilding:
            raise OverloadedError(
                "what this edge has lost is being put together again",
                place="store",
                expected="send it again later",
            )

    @property
    def idle(self) -> bool:
        """Whether nothing may be decided now."""
        return bool(self.unfit) or self.rebuilding

    @property
    def ready(self) -> bool:
        """Whether a network has arrived."""
        return self._snapshot is not None

    def share(self, node_id: str, sku: str) -> int:
        """Units of a cell that this edge may still promise."""
        if is_slot(sku):
            return self.slots.share(node_id, sku)
        node, product = self.snapshot.node_ix.get(node_id), self.snapshot.sku_ix.get(sku)
        known = node is not None and product is not None
        return int(self.stock.share[product, node]) if known else 0

    def held(self, cells: Iterable[CellUnits]) -> list[CellUnits]:
        """Of these units, as many as this edge's shares hold; cells are named once each."""
        found = []
        for cell in cells:
            units = min(cell.quantity, self.share(cell.node_id, cell.sku))
            if units > 0:
                found.append(msgspec.structs.replace(cell, quantity=units))
        return found

    def index(self, order: Order) -> None:
        """Remember what the order waits for now."""
        for sku in self._wants.pop(order.order_id, ()):
            self._waiting[sku].discard(order.order_id)
        if order.parked:
            # What nobody can pick where it is may be granted somewhere else.
            wants = {shortage.sku for shortage in order.parked}
            if any(shortage.reason == "capacity" for shortage in order.parked):
                wants.add(_CAPACITY)
            self._wants[order.order_id] = wants
            for sku in self._wants[order.order_id]:
                self._waiting.setdefault(sku, set()).add(order.order_id)
        self._set_wake(order)
        self.incoming.claim(order.order_id, order.claims())

    def _set_wake(self, order: Order) -> None:
        moments = [
            to_ms(shortage.expected_at)
            for shortage in order.parked
            if shortage.expected_at is not None
        ]
        before = self._wakes.pop(order.order_id, None)
        if moments:
            wake_ms = self._wakes[order.order_id] = min(moments)
            if wake_ms != before:
                heapq.heappush(self._clock, (wake_ms, order.order_id))

    def wake(self, now_ms: int, orders_max: int) -> None:
        """Let orders be tried again that wait for what was expected by now, some at a time."""
        turned = False
        while self._turns and self._turns[-1] <= now_ms:
            turned = self._turns.pop() > self._woke_ms or turned
        self._woke_ms = now_ms
        if turned:  # A rule has begun or ceased to apply.
            self.due.update(dict.fromkeys(sorted(self._wants)))
        for _ in range(orders_max):
            if not self._clock or self._clock[0][0] > now_ms:
                return
            wake_ms, order_id = heapq.heappop(self._clock)
            if self._wakes.get(order_id) == wake_ms:
                del self._wakes[order_id]
                self.due[order_id] = None

    def waiting(self, sku: str) -> list[str]:
        """Orders that wait for a SKU, oldest first (their ids begin with their time)."""
        return sorted(self._waiting.get(sku, ()))

    def with_expected(self, shortages: list[Shortage], now_ms: int) -> list[Shortage]:
        """The shortages, each with the next arrival that is known, unless it names another."""
        found = []
        for shortage in shortages:
            lots = self.incoming.lots(shortage.sku, now_ms)
            if lots and shortage.expected_at is None:
                shortage = msgspec.structs.replace(
                    shortage,
                    expected_at=to_datetime(lots[0].expected_ms),
                    expected_per_mille=lots[0].release_per_mille,
                )
            found.append(shortage)
        return found

    def _move(self, cells: list[CellUnits], sign: int) -> None:
        if self._stock is not None:  # Grants before the first network wait in the store.
            self._stock.move(cells, sign)
        self.slots.move(cells, sign)

    def apply(self, decision: Decision) -> None:
        """Move the shares and remember the orders of a decision, once it is whole."""
        if decision.unfit is not None:
            self.unfit = decision.unfit
        if decision.restored or decision.rebuilt:
            self.rebuilding = not decision.rebuilt
        if decision.epochs is not None:
            self.slots.clear()
            if self._stock is not None:
                self._stock.clear()
        if decision.restored:
            self._wants.clear()
            self._waiting.clear()
            self._wakes.clear()
            self._clock.clear()
            self.incoming.clear()
            self.due.clear()
        if decision.network is not None:
            self.enter(decision.network)
        if decision.sourcing is not None:
            self._choose_by(decision.sourcing)
        if decision.prices is not None:
            self.prices = decision.prices
        if decision.sourcing is not None or decision.prices is not None:
            if self._known is not None:
                same = decision.prices is None
                self._know(self._known.rates if same else Rates(self.snapshot, self.prices))
            self.due.update(dict.fromkeys(sorted(self._wants)))
        for announced in decision.capacity:
            self.slots.announce(announced)
        for failure in decision.failures:
            self.failures.put(failure)
        if decision.given:
            self._move(decision.given, +1)
            for cell in decision.given:
                sku = _CAPACITY if is_slot(cell.sku) else cell.sku
                self.due.update(dict.fromkeys(self.waiting(sku)))
        if decision.taken:
            self._move(decision.taken, -1)
        for order in decision.orders:
            self.index(order)
        self.due.update(dict.fromkeys(decision.due))
        if decision.rebuilt:
            self.due.update(dict.fromkeys(sorted(self._wants)))
        for lot in decision.incoming:
            self.incoming.put(lot)
        if decision.feed is not None:
            self.feed = decision.feed
