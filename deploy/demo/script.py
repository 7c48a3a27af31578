"""The script of the day: who buys what, where, when, and who changes his mind.

Baskets, prices, the minute and the cancellations are the day's own. The second in the minute,
the city, the channel, the tier, the deadline and the way of fulfilment are drawn, always the
same for the same customer or invoice. The shop's wall clock is taken for China's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Final, Literal

from deploy.demo.day import Day, Invoice, match_credits
from deploy.demo.places import City, choose, cities, draw
from deploy.demo.world import CURRENCY, UTC_OFFSET_MIN, dc_ids, nearest_store, weight_g
from shared.events import Payment, RouteRequested
from shared.parts import (
    Channel,
    Contact,
    Customer,
    Destination,
    Fulfilment,
    FulfilmentKind,
    Line,
    Money,
    PlannedLine,
    Speed,
    StockLine,
    Tier,
)

Again = Literal["no", "at_once", "later"]

_ZONE: Final = timezone(timedelta(minutes=UTC_OFFSET_MIN))
_CHANNELS: Final[dict[Channel, float]] = {"pos": 70, "mini_program": 12, "douyin": 8, "jd": 10}
_TIERS: Final[dict[Tier, float]] = {"standard": 60, "silver": 20, "gold": 13, "vip": 7}
_SPEEDS: Final[dict[Speed, float]] = {"economy": 30, "standard": 55, "express": 15}
_KINDS: Final[dict[FulfilmentKind, float]] = {"carry_out": 55, "pick_up": 37, "delivery": 8}
_DEADLINE_H: Final[dict[Tier, int | None]] = {
    "standard": None, "silver": 120, "gold": 72, "vip": 48,
}  # fmt: skip

# What one carries to the car.
_BASKET_LINES_MAX: Final = 8
_BASKET_G_MAX: Final = 25_000
_AGAIN_SHARE: Final = 0.05
_WHOLE_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Sale:
    """A sale: the question first, then the payment, perhaps sent twice.

    Attributes:
        device: the till, or the web shop's connection to the edge.
        again: whether and when the till sends the payment a second time.
    """

    at: datetime
    invoice: str
    edge_id: str
    device: str
    question: RouteRequested
    payment: Payment
    again: Again


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Goods of a sale of this day, cancelled by the till that sold them."""

    at: datetime
    invoice: str
    sale: str
    lines: list[PlannedLine]


@dataclass(frozen=True, slots=True)
class Return:
    """Goods of an earlier day, brought back to the customer's store."""

    at: datetime
    invoice: str
    node_id: str
    lines: list[StockLine]


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that happens, each list in order of time."""

    sales: list[Sale]
    cancellations: list[Cancellation]
    returns: list[Return]

    def first(self, orders: int | None) -> "Script":
        """The day up to its `orders`-th sale."""
        sales = self.sales[:orders]
        end = sales[-1].at
        names = {sale.invoice for sale in sales}
        return Script(
            sales,
            [x for x in self.cancellations if x.at <= end and x.sale in names],
            [x for x in self.returns if x.at <= end],
        )


def web_device(edge_id: str) -> str:
    """The online channels' connection to an edge."""
    return f"web-{edge_id}"


def till_device(node_id: str) -> str:
    """The till of a store."""
    return f"till-{node_id}"


@cache
def write(day: Day) -> Script:
    """The whole day."""
    times = _times(day)
    matches = match_credits(day)
    cancellations = [
        Cancellation(
            times[credit.invoice],
            credit.invoice,
            sale,
            [PlannedLine(line=x.line, sku=x.sku, quantity=x.quantity) for x in found],
        )
        for credit in day.credits
        for sale, found in matches.get(credit.invoice, {}).items()
    ]
    returns = []
    for credit in day.credits:
        units: dict[str, int] = {}
        for item in credit.items:
            units[item.sku] = units.get(item.sku, 0) + item.quantity
        for found in matches.get(credit.invoice, {}).values():
            for match in found:
                units[match.sku] -= match.quantity
        lines = [StockLine(sku=sku, quantity=left) for sku, left in units.items() if left]
        if lines:
            node_id = nearest_store(_city(credit)).node_id
            returns.append(Return(times[credit.invoice], credit.invoice, node_id, lines))
    sales = [_sale(invoice, times[invoice.invoice]) for invoice in day.sales]
    return Script(
        sorted(sales, key=lambda x: x.at),
        sorted(cancellations, key=lambda x: x.at),
        sorted(returns, key=lambda x: x.at),
    )


def _times(day: Day) -> dict[str, datetime]:
    """A moment for each invoice: the source's minute, and within it the source's order."""
    minutes: dict[datetime, list[str]] = {}
    for invoice in sorted((*day.sales, *day.credits), key=lambda x: x.invoice.lstrip("C")):
        minutes.setdefault(invoice.time, []).append(invoice.invoice)
    return {
        name: minute.replace(tzinfo=_ZONE)
        + timedelta(milliseconds=round((i + draw("second", name)) / len(names) * 60_000))
        for minute, names in minutes.items()
        for i, name in enumerate(names)
    }


def _key(invoice: Invoice) -> str:
    return invoice.customer or f"unknown {invoice.invoice}"


def _city(invoice: Invoice) -> City:
    places = cities()
    return choose(places, [place.population for place in places], "city", _key(invoice))


def _sale(invoice: Invoice, at: datetime) -> Sale:
    key, name = _key(invoice), invoice.invoice
    place = _city(invoice)
    store = nearest_store(place)
    online = invoice.web or not invoice.customer
    channel: Channel = (
        "web" if online else choose(list(_CHANNELS), list(_CHANNELS.values()), "channel", key)
    )
    kind = _kind(invoice) if channel == "pos" else "delivery"
    tier = choose(list(_TIERS), list(_TIERS.values()), "tier", key)
    deadline_h = _DEADLINE_H[tier] if kind == "delivery" else None
    device = till_device(store.node_id) if channel == "pos" else web_device(store.edge_id)
    store_id = store.node_id if channel == "pos" else dc_ids(store.edge_id)[0]
    fulfilment = Fulfilment(
        kind=kind,
        node_id=store.node_id if kind == "pick_up" else None,
        deadline=None if deadline_h is None else at + timedelta(hours=deadline_h),
    )
    lines = [
        Line(sku=x.sku, quantity=x.quantity, unit_price_minor=x.unit_price_minor)
        for x in invoice.items
    ]
    customer = Customer(
        token=f"customer-{invoice.customer}" if invoice.customer else None,
        tier=tier,
        speed=choose(list(_SPEEDS), list(_SPEEDS.values()), "speed", key),
        split_allowed=len(lines) > _BASKET_LINES_MAX or draw("whole", key) >= _WHOLE_SHARE,
    )
    destination = (
        Destination(lat=place.lat, lon=place.lon, region=place.region)
        if kind == "delivery"
        else None
    )
    goods_minor = sum(x.quantity * x.unit_price_minor for x in invoice.items)
    payment = Payment(
        payment_id=f"invoice-{name}",
        terminal_id=device,
        store_id=store_id,
        paid_at=at,
        amount=Money(minor=max(0, goods_minor + invoice.services_minor), currency=CURRENCY),
        channel=channel,
        fulfilment=fulfilment,
        lines=lines,
        customer=customer,
        destination=destination,
        contact=Contact(name=contact_name(name), note=place.name) if destination else None,
    )
    question = RouteRequested(
        store_id=store_id,
        fulfilment=fulfilment,
        lines=lines,
        customer=customer,
        destination=destination,
        channel=channel,
    )
    lot = draw("again", name) / _AGAIN_SHARE
    again: Again = "no" if lot >= 1 else "at_once" if lot < 0.5 else "later"
    return Sale(at, name, store.edge_id, device, question, payment, again)


def contact_name(invoice: str) -> str:
    """A contact that nobody is; the report looks for it where it must not be."""
    return f"Recipient of invoice {invoice}"


def _kind(invoice: Invoice) -> FulfilmentKind:
    weight = sum(x.quantity * weight_g(x.sku) for x in invoice.items)
    if len(invoice.items) > _BASKET_LINES_MAX or weight > _BASKET_G_MAX:
        return "delivery"
    return choose(list(_KINDS), list(_KINDS.values()), "kind", invoice.invoice)


def local_time(simulated_ms: int) -> datetime:
    """Simulated time as the shops' clocks show it."""
    return datetime.fromtimestamp(simulated_ms / 1000, _ZONE)
