"""Stock that is not here yet: lots on their way, or in inspection, by SKU.

They are no stock: what is received comes by grants. Times are milliseconds since 1970 UTC.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

from shared.events import Data
from shared.lots import Lot, Scope, by_time, changes, scope_of


class Incoming:
    """What is expected, and when.

    Args:
        known: what the store has.
    """

    def __init__(self, known: Iterable[Lot] = ()) -> None:
        """See the class."""
        self._by_sku: dict[str, list[Lot]] = {}
        self._of_lot: dict[tuple[str, str], dict[str, Lot]] = {}
        self._claims: dict[str, list[tuple[str, str, int]]] = {}
        self._claimed: dict[tuple[str, str], int] = {}
        for lot in known:
            self.put(lot)

    def put(self, lot: Lot) -> None:
        """Take note of what is expected of a lot from now on; without units: nothing."""
        key = lot.node_id, lot.lot_id
        parts = self._of_lot.setdefault(key, {})
        queue = self._by_sku.setdefault(lot.sku, [])
        known = parts.pop(lot.sku, None)
        if known is not None:
            queue.remove(known)
        if lot.units:
            parts[lot.sku] = lot
            insort(queue, lot, key=by_time)
        if not parts:
            del self._of_lot[key]
        if not queue:
            del self._by_sku[lot.sku]

    def clear(self) -> None:
        """Nothing is expected any more."""
        self._by_sku.clear()
        self._of_lot.clear()
        self._claims.clear()
        self._claimed.clear()

    def claim(self, order_id: str, units: list[tuple[str, str, int]]) -> None:
        """What an order waits for from now on: node, SKU and units; it replaces what it did."""
        for node_id, sku, count in self._claims.pop(order_id, ()):
            self._claimed[node_id, sku] -= count
        for node_id, sku, count in units:
            self._claimed[node_id, sku] = self._claimed.get((node_id, sku), 0) + count
        if units:
            self._claims[order_id] = units

    def claimed(self, node_id: str, sku: str) -> int:
        """Units at a node that orders of this edge wait for."""
        return self._claimed.get((node_id, sku), 0)

    def lots(self, sku: str, now_ms: int) -> Sequence[Lot]:
        """Lots with units of a SKU whose time is still to come, the earliest first."""
        queue = self._by_sku.get(sku, [])
        return queue[bisect_right(queue, now_ms, key=lambda lot: lot.expected_ms) :]

    def after(self, event_id: str, data: Data, now_ms: int) -> list[Lot]:
        """The lots that an event changes, as they are after it; nothing is put here yet."""
        scope = scope_of(event_id, data)
        if scope is None:
            return []
        return changes(scope, data, self._within(scope), now_ms)

    def _within(self, scope: Scope) -> list[Lot]:
        """The lots that an event may change."""
        of_lot = self._of_lot.get((scope.node_id, scope.lot_id or ""), {}).values()
        of_sku = [
            lot
            for sku in sorted(scope.skus)
            for lot in self._by_sku.get(sku, ())
            if lot.node_id == scope.node_id
        ]
        return [*of_lot, *of_sku]
