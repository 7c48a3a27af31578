"""The network snapshot as arrays: what a decision looks up, by position.

Positions (of nodes, SKUs, services, regions) are those of the snapshot's lists and are valid
for one snapshot only; everything that outlives a decision is kept by name.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from edge import transits
from edge.areas import Areas
from edge.routing.calendar import ready_at
from edge.routing.lateness import unwidened
from shared.clock import to_ms
from shared.frames import encode_bulk
from shared.limits import WEIGHT_G_MAX
from shared.network import Network, Node

Ints = NDArray[np.int64]

COUNTER = "counter"
"""The service by which goods leave over the counter: no carrier, no tariff, no transit."""

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)

FRESH_DAYS = 7
"""Times as old as this are taken as true."""
WIDEN_PER_MILLE_DAY = 2
WIDEN_PER_MILLE_MAX = 2_000
"""Each day more makes their spread so much wider, up to twice: see `tests/oracle/calibration.py`
for what it does to real deliveries."""


@dataclass(frozen=True, slots=True)
class Options:
    """The ways to reach one region: node and service of each, in a fixed order.

    Attributes:
        node: int64[O], position of the node.
        service: int64[O], position of the service.
        tariff: int64[O], row of the tariff table.
        tail: int64[O], row of the snapshot's tails.
        pickup: int64[O], row of the snapshot's collections, -1 where there is no cut-off.
        carbon_g, carbon_g_per_kg: int64[O], CO2 equivalent of a package, and of its kilograms.
    """

    node: Ints
    service: Ints
    tariff: Ints
    tail: Ints
    pickup: Ints
    carbon_g: Ints
    carbon_g_per_kg: Ints

    def take(self, rows: Ints) -> "Options":
        """Some of them, by row; a row may be taken more than once."""
        return Options(
            self.node[rows], self.service[rows], self.tariff[rows], self.tail[rows],
            self.pickup[rows], self.carbon_g[rows], self.carbon_g_per_kg[rows],
        )  # fmt: skip


_NOTHING: Ints = np.empty(0, np.int64)
_NO_OPTIONS = Options(*(_NOTHING for _ in range(7)))


class Snapshot:
    """One network snapshot, indexed.

    Attributes:
        packed: the snapshot's wire form.
        digest: its SHA-256; names it as an input of a plan.
        step_g, step_price: int64[T, K], tariff steps, rows padded with -1; the last row is the
            counter's: price 0. Weight limits include the service's own.
        limit_g: int64[T], the heaviest package of each row.
        weight_g: int64[P], grams of one unit of each product.
        open: bool[N]; handling_min, handling_minor, walk_in_units: int64[N].
        classes: int64[P], bits of the classes of goods of each product.
        node_ability: int64[N], service_ability: int64[S], bits of those that they can take.
        calendar, tails, pickups: when nodes work, how long things take, when carriers collect;
            tables of `edge.routing.calendar` and `edge.routing.lateness`.
    """

    def __init__(self, network: Network) -> None:
        """Build the arrays; `network` has been validated by its type."""
        self.network = network
        self.packed = encode_bulk(network)
        self.digest = hashlib.sha256(self.packed).digest()
        self.node_ix = {node.node_id: i for i, node in enumerate(network.nodes)}
        self.sku_ix = {product.sku: i for i, product in enumerate(network.products)}
        self.service_ix = {service.service_id: i for i, service in enumerate(network.services)}
        self.weight_g = np.array([product.weight_g for product in network.products], np.int64)
        self.open = np.array([node.status == "open" for node in network.nodes], np.bool_)
        self.handling_min = np.array([node.handling_min for node in network.nodes], np.int64)
        self.handling_minor = np.array([node.handling_minor for node in network.nodes], np.int64)
        self.walk_in_units = np.array([node.walk_in_units for node in network.nodes], np.int64)
        self._abilities()
        self.calendar = _calendar(network.nodes)
        self.made_ms = None if network.made_at is None else to_ms(network.made_at)
        self._limited_tariffs()
        self._options: dict[str, Options] = {}
        self._rows = transits.Rows()
        self._overrun = [_overrun(node) for node in network.nodes]
        self._counter_tail = [self._rows.row(overrun) for overrun in self._overrun]
        self._collections()
        self._lanes_by_region()
        self._areas = Areas(network.nodes)
        self.tails = self._rows.tails()

    def _abilities(self) -> None:
        """Classes of goods as bits; what no product is of needs none."""
        network = self.network
        names = sorted({name for product in network.products for name in product.classes})
        bit = {name: 1 << i for i, name in enumerate(names)}

        def bits(rows: Iterable[Iterable[str]]) -> Ints:
            return np.array([sum(bit.get(x, 0) for x in set(row)) for row in rows], np.int64)

        self.classes = bits(product.classes for product in network.products)
        self.node_ability = bits(node.abilities for node in network.nodes)
        self.service_ability = bits(service.abilities for service in network.services)

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
        self.limit_g: Ints = self.step_g.max(axis=1)

    def _collections(self) -> None:
        """When carriers collect, by row; a node's overrun stands beside it."""
        self._pickup_row: dict[tuple[str, str], int] = {}
        table: list[tuple[int, int, int]] = []
        for pickup in self.network.pickups:
            self._pickup_row[pickup.node_id, pickup.service_id] = len(table)
            overrun = self._rows.row(self._overrun[self.node_ix[pickup.node_id]])
            days = pickup.weekdays or range(1, 8)
            table.append((pickup.cutoff_min, _bits(days), overrun))
        self.pickups = np.array(table, np.int64).reshape(len(table), 3)

    def _lanes_by_region(self) -> None:
        spreads = {x.transit_id: tuple(x.spread_min) for x in self.network.transits}
        serves = {node.node_id: frozenset(node.serves) for node in self.network.nodes}
        rows: dict[str, list[tuple[int, ...]]] = {}
        for lane in self.network.lanes:
            node = self.node_ix[lane.node_id]
            area = serves[lane.node_id]
            if self.open[node] and (not area or lane.region in area):
                tariff = self._tariff_row[lane.tariff_id, lane.service_id]
                service = self.service_ix[lane.service_id]
                known = spreads.get(lane.transit_id or "")
                transit = known or transits.stated(lane.transit_h * 60)
                pickup = self._pickup_row.get((lane.node_id, lane.service_id), -1)
                overrun = self._overrun[node] if pickup < 0 else transits.POINT
                tail = self._rows.row(transit, overrun)
                rows.setdefault(lane.region, []).append(
                    (node, service, tariff, tail, pickup, lane.carbon_g, lane.carbon_g_per_kg)
                )
        for region, options in rows.items():
            table = np.array(sorted(options), np.int64).T
            self._options[region] = Options(*(np.ascontiguousarray(column) for column in table))

    def options(self, region: str) -> Options:
        """Open nodes and services that reach `region`; empty where none does."""
        return self._options.get(region, _NO_OPTIONS)

    def counter(self, node: int) -> Options:
        """The one option of goods that the customer takes at a node; none while it is closed.

        A node of -1 is none at all.
        """
        if node < 0 or not self.open[node]:
            return _NO_OPTIONS
        one = np.ones(1, np.int64)
        tail = one * self._counter_tail[node]
        zero = one * 0
        return Options(one * node, -one, one * self.counter_tariff, tail, -one, zero, zero)

    def serves(self, node: int, region: str) -> bool:
        """Whether the service area of node number `node` holds `region`."""
        area = self.network.nodes[node].serves
        return not area or region in area

    def outside(self, lat: float, lon: float) -> NDArray[np.bool_]:
        """bool[N], nodes whose geofence does not hold a point in degrees. Not to be written to."""
        return self._areas.outside(lat, lon)

    def ready_ms(self, nodes: Ints, now_ms: int) -> Ints:
        """When each of some nodes has a package ready that is ordered now: see `ready_at`."""
        return ready_at(now_ms, nodes, self.calendar, self.handling_min)

    def widen_per_mille(self, now_ms: int) -> int:
        """How much wider the spread of the network's times is for their age."""
        if self.made_ms is None:
            return unwidened
        days = (now_ms - self.made_ms) // _DAY_MS - FRESH_DAYS
        return min(unwidened + max(days, 0) * WIDEN_PER_MILLE_DAY, WIDEN_PER_MILLE_MAX)

    def service_id(self, service: int) -> str:
        """Name of a service position; -1 is the counter."""
        return COUNTER if service < 0 else self.network.services[service].service_id


def _overrun(node: Node) -> transits.Known:
    """How far from its nominal ready time a node has a package ready."""
    known = tuple(node.handling_spread_min) or transits.stated(node.handling_min)
    return transits.shifted(known, node.handling_min)


def _bits(weekdays: Iterable[int]) -> int:
    return sum(1 << (day - 1) for day in set(weekdays))


def _calendar(nodes: Sequence[Node]) -> Ints:
    hours = [
        (node.utc_offset_min, node.opens_min, node.closes_min, _bits(node.closed_weekdays))
        for node in nodes
    ]
    width = max(len(node.closed_on) for node in nodes)
    closed = np.full((len(nodes), width), -1, np.int64)
    for i, node in enumerate(nodes):
        closed[i, : len(node.closed_on)] = [(day - _EPOCH).days for day in node.closed_on]
    return np.hstack([np.array(hours, np.int64), closed])
