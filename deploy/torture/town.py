"""The small trade that is tortured: two edges, six nodes, sixty SKUs, and never quite enough.

The goods come in by instalments while the tills pay, and there are fewer of them than are
bought: so the last unit of a cell is wanted from two sides again and again.
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final, Literal

from deploy.demo.places import city
from deploy.demo.script import Again, Sale, Script, contact_name
from deploy.torture.plan import EDGES
from shared.events import Payment, RouteRequested, StockReceived
from shared.network import Lane, Network, Node, Product, Service, Step, Tariff
from shared.parts import (
    Contact,
    Customer,
    Destination,
    Fulfilment,
    Line,
    Money,
    PlannedLine,
    StockLine,
)
from shared.sourcing import Profile

CURRENCY: Final = "CNY"
TILLS: Final = 8
"""Of each edge."""

SKUS: Final = tuple(f"sku-{number:02}" for number in range(60))
_PLACES: Final = {
    EDGES[0]: ("Shanghai", "Hangzhou", "Nanjing"),
    EDGES[1]: ("Beijing", "Tianjin", "Jinan"),
}
_STOCKED_SHARE: Final = 0.95
"""Of what is bought."""

_OPENING_SHARE: Final = 0.25
_INSTALMENTS: Final = 12
_STORE_SHARE: Final = 0.1
_CENTRE_SHARE: Final = 0.3
"""Of a SKU's units: four stores, two centres."""

_PICK_UP_SHARE: Final = 0.12
_AGAIN_SHARE: Final = 0.08
_CANCEL_SHARE: Final = 0.06
_MOMENT: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Goods that come in once so many payments have begun; 0: before the first."""

    after: int
    event: StockReceived


@dataclass(frozen=True, slots=True)
class Trade:
    """Everything that people do.

    Attributes:
        script: sales in their order; cancellations and returns are not timed, so none are here.
        changes: number of a sale to the lines that are cancelled afterwards; empty: all of it.
        goods: what comes in, in its order.
    """

    script: Script
    changes: dict[int, list[PlannedLine]]
    goods: list[Delivery]


@cache
def nodes() -> tuple[Node, ...]:
    """A distribution centre and two stores for each edge."""
    return tuple(
        _node(edge_id, "store" if number else "dc", name)
        for edge_id, names in _PLACES.items()
        for number, name in enumerate(names)
    )


def network() -> Network:
    """The snapshot: every centre serves everybody, a store its own province."""
    services = (("standard", 1), ("express", 0))
    regions = sorted({node.region for node in nodes()})
    lanes = [
        Lane(
            node_id=node.node_id,
            service_id=service,
            region=region,
            transit_h=hours,
            tariff_id=service,
        )
        for node in nodes()
        for service, hours in services
        for region in regions
        if node.kind == "dc" or node.region == region
    ]
    return Network(
        version=1,
        currency=CURRENCY,
        profile=Profile(version="torture-1", split_cost_minor=200, late_minor_per_h=10),
        nodes=list(nodes()),
        services=[Service(service_id=x, name=x, weight_g_max=100_000) for x, _ in services],
        tariffs=[
            Tariff(
                tariff_id=service,
                steps=[Step(weight_g_max=100_000, price_minor=500 + 400 * (hours == 0))],
            )
            for service, hours in services
        ],
        lanes=lanes,
        products=[Product(sku=sku, weight_g=300) for sku in SKUS],
    )


def trade(seed: int, payments: int, start: datetime) -> Trade:
    """What is sold, changed and delivered; the same for the same seed and number."""
    lots = random.Random(f"trade {seed}")
    sales = [_sale(lots, number, start + number * _MOMENT) for number in range(payments)]
    changes: dict[int, list[PlannedLine]] = {}
    for number, sale in enumerate(sales):
        if lots.random() < _CANCEL_SHARE:
            lines = sale.payment.lines
            changes[number] = [
                PlannedLine(line=i, sku=line.sku, quantity=lots.randint(1, line.quantity))
                for i, line in enumerate(lines[: lots.randint(0, len(lines))])
            ]
    goods = list(_goods(lots, sales))
    return Trade(Script(sales, [], []), changes, goods)


def _node(edge_id: str, kind: Literal["dc", "store"], name: str) -> Node:
    place = city(name)
    is_dc = kind == "dc"
    return Node(
        node_id=f"{kind}-{name.lower()}",
        name=name,
        kind="dc" if is_dc else "store",
        edge_id=edge_id,
        lat=place.lat,
        lon=place.lon,
        region=place.region,
        handling_min=2,
        handling_minor=50 if is_dc else 80,
        serves=[] if is_dc else [place.region],
    )


def _sale(lots: random.Random, number: int, at: datetime) -> Sale:
    edge_id = EDGES[number % len(EDGES)]
    own = [node for node in nodes() if node.edge_id == edge_id]
    till = f"till-{edge_id}-{lots.randrange(TILLS)}"
    # Half of what is bought is the same tenth of the goods.
    chosen = dict.fromkeys(
        SKUS[int(len(SKUS) * lots.random() ** 3)] for _ in range(lots.randint(1, 4))
    )
    lines = [Line(sku=sku, quantity=lots.randint(1, 3), unit_price_minor=990) for sku in chosen]
    pick_up = lots.random() < _PICK_UP_SHARE
    store = lots.choice([node for node in own if node.kind == "store"])
    home = lots.choice(own)
    fulfilment = Fulfilment(
        kind="pick_up" if pick_up else "delivery", node_id=store.node_id if pick_up else None
    )
    destination = None if pick_up else Destination(lat=home.lat, lon=home.lon, region=home.region)
    customer = Customer(split_allowed=lots.random() < 0.9)
    question = RouteRequested(
        store_id=store.node_id,
        fulfilment=fulfilment,
        lines=lines,
        customer=customer,
        destination=destination,
    )
    payment = Payment(
        payment_id=f"pay-{number}",
        terminal_id=till,
        store_id=store.node_id,
        paid_at=at,
        amount=Money(minor=sum(x.quantity for x in lines) * 990, currency=CURRENCY),
        channel="pos",
        fulfilment=fulfilment,
        lines=lines,
        customer=customer,
        destination=destination,
        contact=None if pick_up else Contact(name=contact_name(str(number))),
    )
    lot = lots.random() / _AGAIN_SHARE
    again: Again = "no" if lot >= 1 else "at_once" if lot < 0.5 else "later"
    return Sale(at, f"{number:06}", edge_id, till, question, payment, again)


def _goods(lots: random.Random, sales: list[Sale]) -> Iterable[Delivery]:
    """Opening stock and instalments, of each SKU a little less than is bought in all."""
    bought: Counter[str] = Counter()
    for sale in sales:
        for line in sale.payment.lines:
            bought[line.sku] += line.quantity
    steps = [0, *(round((i + 1) * len(sales) * 0.9 / _INSTALMENTS) for i in range(_INSTALMENTS))]
    weights = [_OPENING_SHARE, *([(1 - _OPENING_SHARE) / _INSTALMENTS] * _INSTALMENTS)]
    for after, weight in zip(steps, weights, strict=True):
        arriving: dict[str, list[StockLine]] = {}
        for sku, units in sorted(bought.items()):
            for node in nodes():
                share = _STORE_SHARE if node.kind == "store" else _CENTRE_SHARE
                coming = int(units * _STOCKED_SHARE * share * weight + lots.random())
                if coming:
                    units_of = StockLine(sku=sku, quantity=coming)
                    arriving.setdefault(node.node_id, []).append(units_of)
        for node_id, lines in arriving.items():
            event = StockReceived(
                node_id=node_id, lines=lines, reason="purchase" if after else "opening"
            )
            yield Delivery(after, event)
