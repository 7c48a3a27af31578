"""The network snapshot as arrays: what a decision looks up, by position.

Positions (of nodes, SKUs, services, regions) are those of the snapshot's lists and are valid
for one snapshot only; everything that outlives a decision is kept by name.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.frames import encode_bulk
from shared.limits import WEIGHT_G_MAX
from shared.network import Network

Ints = NDArray[np.int64]

COUNTER = "counter"
"""The service by which goods leave over the counter: no carrier, no tariff, no transit."""

_MINUTE_MS = 60_000
_DAY_MIN = 1440


@dataclass(frozen=True, slots=True)
class Options:
    """The ways to reach one region: node and service of each, in a fixed order.

    Attributes:
        node: int64[O], position of the node.
        service: int64[O], position of the service.
        transit_h: int64[O], hours from hand-over to arrival.
        tariff: int64[O], row of the tariff table.
    """

    node: Ints
    service: Ints
    transit_h: Ints
    tariff: Ints


_NOTHING: Ints = np.empty(0, np.int64)
_NO_OPTIONS = Options(_NOTHING, _NOTHING, _NOTHING, _NOTHING)


class Snapshot:
    """One network snapshot, indexed.

    Attributes:
        digest: SHA-256 of the snapshot's wire form; names it as an input of a plan.
        step_g, step_price: int64[T, K], tariff steps, rows padded with -1; the last row is the
            counter's: price 0. Weight limits include the service's own.
        weight_g: int64[P], grams of one unit of each product.
        open: bool[N]; handling_min, handling_minor: int64[N].
    """

    def __init__(self, network: Network) -> None:
        """Build the arrays; `network` has been validated by its type."""
        self.network = network
        self.digest = hashlib.sha256(encode_bulk(network)).digest()
        self.node_ix = {node.node_id: i for i, node in enumerate(network.nodes)}
        self.sku_ix = {product.sku: i for i, product in enumerate(network.products)}
        self.service_ix = {service.service_id: i for i, service in enumerate(network.services)}
        self.weight_g = np.array([product.weight_g for product in network.products], np.int64)
        self.open = np.array([node.status == "open" for node in network.nodes], np.bool_)
        self.handling_min = np.array([node.handling_min for node in network.nodes], np.int64)
        self.handling_minor = np.array([node.handling_minor for node in network.nodes], np.int64)
        self._opens_min = np.array([node.opens_min for node in network.nodes], np.int64)
        self._closes_min = np.array([node.closes_min for node in network.nodes], np.int64)
        self._offset_min = np.array([node.utc_offset_min for node in network.nodes], np.int64)
        self._limited_tariffs()
        self._options: dict[str, Options] = {}
        self._lanes_by_region()

    def _limited_tariffs(self) -> None:
        """One tariff row per (tariff, service) in use, cut at the service's weight limit."""
        network = self.network
        steps = {tariff.tariff_id: tariff.steps for tariff in network.tariffs}
        limits = {service.service_id: service.weight_g_max for service in network.services}
        pairs = sorted({(lane.tariff_id, lane.service_id) for lane in network.lanes})
        rows: list[list[tuple[int, int]]] = []
        self._tariff_row: dict[tuple[str, str], int] = {}
        for tariff_id, service_id in pairs:
            limit = limits[service_id]
            row: list[tuple[int, int]] = []
            for step in steps[tariff_id]:
                row.append((min(step.weight_g_max, limit), step.price_minor))
                if step.weight_g_max >= limit:
                    break
            self._tariff_row[tariff_id, service_id] = len(rows)
            rows.append(row)
        self.counter_tariff = len(rows)
        rows.append([(WEIGHT_G_MAX, 0)])
        width = max(map(len, rows))
        self.step_g = np.full((len(rows), width), -1, np.int64)
        self.step_price = np.full((len(rows), width), -1, np.int64)
        for i, row in enumerate(rows):
            self.step_g[i, : len(row)] = [grams for grams, _ in row]
            self.step_price[i, : len(row)] = [price for _, price in row]

    def _lanes_by_region(self) -> None:
        serves = {node.node_id: frozenset(node.serves) for node in self.network.nodes}
        rows: dict[str, list[tuple[int, int, int, int]]] = {}
        for lane in self.network.lanes:
            node = self.node_ix[lane.node_id]
            area = serves[lane.node_id]
            if self.open[node] and (not area or lane.region in area):
                tariff = self._tariff_row[lane.tariff_id, lane.service_id]
                service = self.service_ix[lane.service_id]
                rows.setdefault(lane.region, []).append((node, service, lane.transit_h, tariff))
        for region, options in rows.items():
            table = np.array(sorted(options), np.int64).T
            self._options[region] = Options(*(np.ascontiguousarray(column) for column in table))

    def options(self, region: str) -> Options:
        """Open nodes and services that reach `region`; empty where none does."""
        return self._options.get(region, _NO_OPTIONS)

    def counter(self, node: int | None) -> Options:
        """The one option of goods that the customer takes at a node; none while it is closed."""
        if node is None or not self.open[node]:
            return _NO_OPTIONS
        one, zero = np.array([node], np.int64), np.zeros(1, np.int64)
        return Options(one, zero - 1, zero, zero + self.counter_tariff)

    def serves(self, node: int, region: str) -> bool:
        """Whether the service area of node number `node` holds `region`."""
        area = self.network.nodes[node].serves
        return not area or region in area

    def ready_ms(self, nodes: Ints, now_ms: int) -> Ints:
        """When each node has a package ready that is ordered now.

        Work starts at once within opening hours, else at the next opening, and takes the
        node's handling time.

        Args:
            nodes: int64[O], positions of nodes.
            now_ms: milliseconds since 1970 UTC.

        Returns:
            int64[O], milliseconds since 1970 UTC.
        """
        minute = (now_ms // _MINUTE_MS + self._offset_min[nodes]) % _DAY_MIN
        opens = self._opens_min[nodes]
        closed = (minute < opens) | (minute >= self._closes_min[nodes])
        wait_min = np.where(closed, (opens - minute) % _DAY_MIN, 0)
        ready: Ints = now_ms + (wait_min + self.handling_min[nodes]) * _MINUTE_MS
        return ready

    def service_id(self, service: int) -> str:
        """Name of a service position; -1 is the counter."""
        return COUNTER if service < 0 else self.network.services[service].service_id
