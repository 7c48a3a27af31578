"""Opening stock, and what arrives during the day: sized on the day's real demand.

Drawn, and made so that most orders can be fulfilled at once and a few must wait: some SKUs
open with less than the day sells, and come in around noon.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from deploy.demo.places import city, draw
from deploy.demo.script import Script
from deploy.demo.world import EDGES, dc_ids, nodes
from shared.events import RouteRequested, StockMoved, StockReceived
from shared.limits import LINES_MAX
from shared.parts import Destination, Fulfilment, Line, StockLine

Shelf = dict[str, int]
"""SKU to units."""

_SCARCE_SHARE: Final = 0.02
_SCARCE_OPENING: Final = 0.6
_SCARCE_DC: Final = "dc-wuhan"
_MOVED_TO: Final = "dc-beijing"
_REPLENISHED_DC: Final = "dc-shanghai"

# A third of a centre's stock, less what central keeps back, is what one edge may promise: a
# cell must hold about four times what the largest region wants of it.
_MAIN_COVER: Final = 4
_OTHER_COVER: Final = 2
_MAIN_RANGE: Final = 0.96
_OTHER_RANGE: Final = 0.45
_STORE_RANGE: Final = 0.03
_SPARE: Final = 6
_PROBE_LINES: Final = 250


@dataclass(frozen=True, slots=True)
class Arrival:
    """Stock that is announced or arrives at a moment of the day."""

    at: datetime
    event: StockReceived | StockMoved


def demand(script: Script) -> dict[str, dict[str, int]]:
    """SKU to edge to units that the edge's tills sell today, in order of SKU."""
    wanted: dict[str, dict[str, int]] = {}
    for sale in script.sales:
        for line in sale.payment.lines:
            edges = wanted.setdefault(line.sku, dict.fromkeys(EDGES, 0))
            edges[sale.edge_id] += line.quantity
    return dict(sorted(wanted.items()))


def is_scarce(sku: str) -> bool:
    """Whether the day opens with less of it than it sells."""
    return draw("scarce", sku) < _SCARCE_SHARE


def opening(script: Script) -> dict[str, Shelf]:
    """Node to what stands on its shelves when it opens. Nodes without stock are left out."""
    shelves: dict[str, Shelf] = {node.node_id: {} for node in nodes()}
    main = {dc_ids(edge_id)[0] for edge_id in EDGES}
    for sku, edges in demand(script).items():
        total, largest = sum(edges.values()), max(edges.values())
        if is_scarce(sku):
            shelves[_SCARCE_DC][sku] = max(1, int(total * _SCARCE_OPENING))
            continue
        for node in nodes():
            node_id = node.node_id
            if node.kind == "dc":
                is_main = node_id in main
                if draw("range", node_id, sku) < (_MAIN_RANGE if is_main else _OTHER_RANGE):
                    cover = _MAIN_COVER if is_main else _OTHER_COVER
                    shelves[node_id][sku] = cover * largest + _SPARE
            elif draw("range", node_id, sku) < _STORE_RANGE:
                shelves[node_id][sku] = 1 + int(draw("units", node_id, sku) * _SPARE)
    for sale in script.sales:
        if sale.payment.fulfilment.kind != "delivery":
            shelf = shelves[sale.payment.store_id]
            for line in sale.payment.lines:
                shelf[line.sku] = shelf.get(line.sku, _SPARE) + line.quantity
    return {node_id: dict(sorted(shelf.items())) for node_id, shelf in shelves.items() if shelf}


def received(node_id: str, shelf: Shelf) -> list[StockReceived]:
    """The opening stock of a node as events, none longer than an event may be."""
    lines = [StockLine(sku=sku, quantity=units) for sku, units in shelf.items()]
    return [
        StockReceived(node_id=node_id, lines=lines[start : start + LINES_MAX], reason="opening")
        for start in range(0, len(lines), LINES_MAX)
    ]


def arrivals(script: Script) -> list[Arrival]:
    """What comes in: a transfer that was announced in the morning, purchases, and returns."""
    start, end = script.sales[0].at, script.sales[-1].at
    noon, later = start + (end - start) * 0.45, start + (end - start) * 0.55
    moved, bought = [], []
    for sku, edges in demand(script).items():
        if not is_scarce(sku):
            continue
        total = sum(edges.values())
        # At most what central keeps in its pool at the start (a fifth): nobody may promise it.
        spare = int(max(1, int(total * _SCARCE_OPENING)) * 0.2)
        if spare:
            moved.append(StockLine(sku=sku, quantity=spare))
        bought.append(StockLine(sku=sku, quantity=4 * total + _SPARE))
    events: list[Arrival] = []
    if moved:
        announced = StockMoved(
            node_id=_SCARCE_DC,
            to_node_id=_MOVED_TO,
            lines=moved,
            expected_at=noon.astimezone(UTC),
        )
        events.append(Arrival(start - timedelta(minutes=10), announced))
        transfer = StockReceived(node_id=_MOVED_TO, lines=moved, reason="transfer")
        events.append(Arrival(noon, transfer))
    if bought:
        purchase = StockReceived(node_id=_REPLENISHED_DC, lines=bought, reason="purchase")
        events.append(Arrival(later, purchase))
    events += [
        Arrival(
            back.at,
            StockReceived(node_id=back.node_id, lines=back.lines, reason="customer_return"),
        )
        for back in script.returns
    ]
    return sorted(events, key=lambda arrival: arrival.at)


def probes(script: Script) -> list[RouteRequested]:
    """Questions for one unit of everything that is not scarce, to a city in the middle."""
    place = city("Wuhan")
    skus = [sku for sku in demand(script) if not is_scarce(sku)]
    return [
        RouteRequested(
            store_id=_SCARCE_DC,
            fulfilment=Fulfilment(kind="delivery"),
            lines=[Line(sku=sku, quantity=1) for sku in skus[start : start + _PROBE_LINES]],
            destination=Destination(lat=place.lat, lon=place.lon, region=place.region),
        )
        for start in range(0, len(skus), _PROBE_LINES)
    ]
