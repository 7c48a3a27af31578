"""Prices as arrays: what units, nodes and carriers cost just now, by position in a snapshot.

What is old counts for less: in full for the document's `fresh_h`, then ever less until, after
as long again, it counts for nothing. A backlog of yesterday is no reason to avoid a node today.
"""

import hashlib

import numpy as np

from edge.network import Ints, Options, Snapshot
from shared.clock import to_ms
from shared.frames import encode_bulk
from shared.parts import StaleInput
from shared.prices import Prices

_HOUR_MS = 3_600_000
_FULL = 1_000


class Rates:
    """One prices document, laid out for one snapshot; without a document nothing costs extra.

    Attributes:
        prices: the document.
        packed: its wire form; empty without one.
        digest: names the document as an input of a plan; empty without one.
        node_delay_min, node_minor: int64[N], the backlog of each node.
    """

    def __init__(self, snapshot: Snapshot, prices: Prices | None = None) -> None:
        """Lay it out; names that the snapshot does not have are left out."""
        self.prices = prices
        self.packed = b"" if prices is None else encode_bulk(prices)
        self.digest = b"" if prices is None else hashlib.sha256(self.packed).digest()
        nodes = len(snapshot.node_ix)
        self.node_delay_min: Ints = np.zeros(nodes, np.int64)
        self.node_minor: Ints = np.zeros(nodes, np.int64)
        self._lanes: dict[tuple[int, str], tuple[int, int]] = {}
        self._bids: dict[int, tuple[Ints, Ints]] = {}
        if prices is None:
            return
        for backlog in prices.backlogs:
            node = snapshot.node_ix.get(backlog.node_id)
            if node is not None:
                self.node_delay_min[node] = backlog.delay_min
                self.node_minor[node] = backlog.price_minor
        for lane in prices.saturations:
            service = snapshot.service_ix.get(lane.service_id)
            if service is not None:
                self._lanes[service, lane.region] = lane.delay_min, lane.price_minor
        bids: dict[int, dict[int, int]] = {}
        for bid in prices.bids:
            node, product = snapshot.node_ix.get(bid.node_id), snapshot.sku_ix.get(bid.sku)
            if node is not None and product is not None:
                bids.setdefault(product, {})[node] = bid.price_minor
        for product, of_node in bids.items():
            self._bids[product] = (
                np.array(list(of_node), np.int64),
                np.array(list(of_node.values()), np.int64),
            )

    def counted_per_mille(self, now_ms: int) -> int:
        """For how much of themselves the prices count at a moment."""
        if self.prices is None:
            return _FULL
        fresh_ms = self.prices.fresh_h * _HOUR_MS
        stale_ms = now_ms - to_ms(self.prices.made_at) - fresh_ms
        return _FULL - min(max(stale_ms, 0) * _FULL // fresh_ms, _FULL)

    def stale(self, now_ms: int) -> list[StaleInput]:
        """Whether the prices were too old to count in full."""
        counted = self.counted_per_mille(now_ms)
        if self.prices is None or counted == _FULL:
            return []
        age_s = (now_ms - to_ms(self.prices.made_at)) // 1_000
        return [StaleInput(source="prices", age_s=age_s, counted_per_mille=counted)]

    def saturation(self, options: Options, region: str | None) -> tuple[Ints, Ints]:
        """int64[O] minutes more that carriers take to a region, int64[O] what they charge more."""
        delay: Ints = np.zeros(len(options.service), np.int64)
        minor: Ints = np.zeros(len(options.service), np.int64)
        if region is not None:
            for service in {service for service, name in self._lanes if name == region}:
                rows = options.service == service
                delay[rows], minor[rows] = self._lanes[service, region]
        return delay, minor

    def bids(self, products: list[int], nodes: int) -> Ints | None:
        """int64[E, N], the bid price of a unit of each product by node; None where all are 0."""
        if self._bids.keys().isdisjoint(products):
            return None
        rows: Ints = np.zeros((len(products), nodes), np.int64)
        for row, product in zip(rows, products, strict=True):
            if product in self._bids:
                at, minor = self._bids[product]
                row[at] = minor
        return rows
