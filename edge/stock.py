"""The shares that this edge may promise from, as one dense array.

Rebuilt from the store at start and whenever a new network snapshot changes the positions.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from edge.network import Ints, Snapshot
from shared.parts import CellUnits


class Stock:
    """Shares by SKU and node, both by position in the snapshot.

    Args:
        snapshot: positions of SKUs and nodes.
        cells: `(node_id, sku, units)`.
        edge_id: whose shares they are; None: everybody's.

    Attributes:
        reserve: int64[N], units of each SKU of a node that are left for who walks in there.
            Only a store's own edge holds them back: what others have was granted beyond them.
        share: int64[P, N], units; a SKU's row is contiguous, since a decision reads whole rows.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        cells: Iterable[tuple[str, str, int]],
        edge_id: str | None = None,
    ) -> None:
        """Lay the cells `(node_id, sku, units)` out.

        Cells that the snapshot does not know stay in the store; a later snapshot may know them.
        """
        self._snapshot = snapshot
        self.edge_id = edge_id
        shape = len(snapshot.sku_ix), len(snapshot.node_ix)
        nodes = snapshot.network.nodes
        own = np.array([edge_id in (None, node.edge_id) for node in nodes], np.bool_)
        self.reserve: Ints = np.where(own, snapshot.walk_in_units, 0)
        self.share: Ints = np.zeros(shape, np.int64)
        for node_id, sku, units in cells:
            node, product = snapshot.node_ix.get(node_id), snapshot.sku_ix.get(sku)
            if node is not None and product is not None:
                self.share[product, node] = units

    def clear(self) -> None:
        """Nothing may be promised any more."""
        self.share[:] = 0

    def move(self, cells: Sequence[CellUnits], sign: int) -> None:
        """Add (`sign` +1) or take (-1) units. Taking more than is there is a fault of ours."""
        for cell in cells:
            node = self._snapshot.node_ix.get(cell.node_id)
            product = self._snapshot.sku_ix.get(cell.sku)
            if node is None or product is None:
                continue
            units = int(self.share[product, node]) + sign * cell.quantity
            assert units >= 0, f"share of {cell} would be {units}"
            self.share[product, node] = units
