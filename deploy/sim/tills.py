"""Virtual tills: they pay, ask, cancel, and send again what got no answer."""

from random import Random
from typing import Any, Final

from msgspec import Struct

from deploy.sim.agenda import Agenda
from deploy.sim.scenario import START_MS, World
from deploy.sim.site import Site
from shared.clock import to_datetime
from shared.envelope import decode_data, decode_event, encode_event, make_event
from shared.events import (
    Data,
    InputRejected,
    OrderAccepted,
    OrderCancelled,
    Payment,
    RouteRequested,
)
from shared.ids import order_id as order_id_of
from shared.parts import Contact, Customer, Fulfilment, Line, Money, PlannedLine
from shared.topics import device_source, up

PATIENCE_MS: Final = (3_000, 7_000)
OPEN_MAX: Final = 40
"""Orders that a till keeps an eye on."""

HOPELESS: Final = frozenset({"id_reused", "invalid_data", "unknown_order", "answer_pruned"})
"""Refusals after which sending again cannot help."""


class Sale(Struct):
    """A payment as its till knows it."""

    event_id: str
    order_id: str
    payment: Payment
    payload: bytes
    answered: bool = False
    edges: set[str] = {}  # type: ignore[assignment]  # replaced at once


class Till:
    """One till.

    Args:
        device: its name.
        sites: all sites, by edge; its own first.
        roams: whether it may send a payment again at another site.
    """

    def __init__(
        self, agenda: Agenda, random: Random, world: World, device: str, edge_id: str,
        sites: dict[str, Site], roams: bool,
    ) -> None:  # fmt: skip
        """See the class."""
        self.device = device
        self.edge_id = edge_id
        self.sales: list[Sale] = []
        self.heard: list[tuple[str, bytes]] = []
        self._agenda, self._random, self._world = agenda, random, world
        self._sites, self._roams = sites, roams
        self._count = 0
        self._waiting: dict[str, Sale] = {}
        self._cancelling: dict[str, bytes] = {}

    @property
    def waits(self) -> bool:
        """Whether something is unanswered."""
        return bool(self._waiting or self._cancelling)

    def act(self) -> None:
        """Do one thing."""
        draw = self._random.random()
        if len(self.sales) > OPEN_MAX:
            # Who has waited for so long wants it no more; a long run would drown in orders else.
            self._cancel(self.sales.pop(0), whole=True)
        elif draw < 0.1:
            self._ask()
        elif draw < 0.25 and self.sales:
            self._cancel(self._random.choice(self.sales[-12:]), whole=self._random.random() < 0.5)
        elif draw < 0.3 and self.sales:
            self._send(self._random.choice(self.sales))
        else:
            self.pay()

    def pay(self) -> Sale:
        """A customer pays."""
        payment = self._payment()
        event_id, payload = self._event(payment)
        order_id = order_id_of(device_source(self.device), event_id, self._time_ms)
        sale = Sale(event_id, order_id, payment, payload, edges=set())
        self.sales.append(sale)
        self._waiting[event_id] = sale
        self._send(sale)
        if self._roams and self._random.random() < 0.04 and len(self._sites) > 1:
            self._send(sale, self._random.choice(sorted(self._sites)))
        return sale

    def hear(self, kind: str, payload: bytes) -> None:
        """An answer, or news."""
        event = decode_event(payload)
        cause = event.causationid or ""
        if kind == OrderAccepted.kind:
            accepted = decode_data(event)
            assert isinstance(accepted, OrderAccepted)
            sale = self._waiting.pop(accepted.payment_event_id, None)
            if sale is not None:
                sale.answered = True
        elif kind == OrderCancelled.kind:
            self._cancelling.pop(cause, None)
        elif kind == InputRejected.kind:
            rejected = decode_data(event)
            assert isinstance(rejected, InputRejected)
            if rejected.code in HOPELESS:
                self._waiting.pop(cause, None)
                self._cancelling.pop(cause, None)

    def _send(self, sale: Sale, edge_id: str | None = None) -> None:
        edge_id = edge_id or self.edge_id
        sale.edges.add(edge_id)
        self._sites[edge_id].publish(up(self.device, Payment.kind), sale.payload)
        if sale.event_id in self._waiting:
            self._agenda.after(
                self._random.randint(*PATIENCE_MS),
                f"{self.device} waits",
                lambda: self._again(sale),
            )

    def _again(self, sale: Sale) -> None:
        if sale.event_id in self._waiting:
            elsewhere = self._roams and self._random.random() < 0.15
            self._send(sale, self._random.choice(sorted(self._sites)) if elsewhere else None)

    def _cancel(self, sale: Sale, *, whole: bool) -> None:
        if not sale.answered:
            return
        lines = []
        if not whole:
            number = self._random.randrange(len(sale.payment.lines))
            asked = sale.payment.lines[number]
            units = self._random.randint(1, asked.quantity)
            lines = [PlannedLine(line=number, sku=asked.sku, quantity=units)]
        event_id, payload = self._event(OrderCancelled(order_id=sale.order_id, lines=lines))
        self._cancelling[event_id] = payload
        self._cancel_again(event_id)

    def _cancel_again(self, event_id: str) -> None:
        payload = self._cancelling.get(event_id)
        if payload is not None:
            self._sites[self.edge_id].publish(up(self.device, OrderCancelled.kind), payload)
            self._agenda.after(
                self._random.randint(*PATIENCE_MS), f"{self.device} waits",
                lambda: self._cancel_again(event_id),
            )  # fmt: skip

    def _ask(self) -> None:
        paid = self._payment()
        asked = RouteRequested(
            store_id=paid.store_id, fulfilment=paid.fulfilment, lines=paid.lines,
            customer=paid.customer, destination=paid.destination,
        )  # fmt: skip
        self._sites[self.edge_id].publish(up(self.device, asked.kind), self._event(asked)[1])

    def _event(self, data: Data) -> tuple[str, bytes]:
        self._count += 1
        event_id = f"{self.device}-{self._count}"
        self._time_ms = START_MS + self._agenda.now_ms
        event = make_event(
            data, id=event_id, source=device_source(self.device), time=to_datetime(self._time_ms)
        )
        return event_id, encode_event(event)

    def _payment(self) -> Payment:
        random, world = self._random, self._world
        kind: Any = random.choice(("delivery", "delivery", "delivery", "carry_out", "pick_up"))
        store = world.stores[self.edge_id]
        node_id = None
        if kind == "pick_up":
            node_id = (
                store if random.random() < 0.8 else random.choice(sorted(world.stores.values()))
            )
        chosen = [random.choice(world.skus) for _ in range(random.choice((1, 1, 1, 2, 2, 3)))]
        gift = "gift" if len(chosen) > 1 and random.random() < 0.3 else None
        lines = [
            Line(
                sku=sku, quantity=random.choice((1, 1, 1, 2, 3)), unit_price_minor=1_000, group=gift
            )
            for sku in chosen
        ]
        amount = 1_000 * sum(line.quantity for line in lines)
        return Payment(
            payment_id=f"pay-{self.device}-{self._count + 1}",
            terminal_id=self.device,
            store_id=store,
            paid_at=to_datetime(START_MS + self._agenda.now_ms),
            amount=Money(minor=amount, currency="CNY"),
            channel="pos",
            fulfilment=Fulfilment(kind=kind, node_id=node_id),
            lines=lines,
            customer=Customer(
                split_allowed=random.random() < 0.8, packages_max=random.choice((None, None, 1, 2))
            ),
            destination=random.choice(world.places) if kind == "delivery" else None,
            contact=Contact(name="A. Customer") if random.random() < 0.2 else None,
        )
