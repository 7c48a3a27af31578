"""What the devices write down themselves: the truth that the report holds the daemons to."""

from msgspec import Struct, field

from shared.parts import PlannedLine, StockLine


class Packed(Struct, kw_only=True):
    """A package that a plan promised.

    Attributes:
        arrives_ms: the promise, simulated milliseconds since 1970.
    """

    node_id: str
    ready_ms: int
    arrives_ms: int
    lines: list[PlannedLine]


class Receipt(Struct, kw_only=True):
    """What a till knows about one sale.

    Attributes:
        source, event_id: identity of the payment.
        asked_at_ms, paid_at_ms: real milliseconds since 1970, when it was sent.
        quote_ms, accept_ms: real time from sending to the answer; None: no answer.
        parked: lines that had to wait when the payment was accepted.
        planned_later: later plans for lines that had waited or failed.
        again: the payment was sent twice.
        same_answer: both answers were the same; None if there was one answer.
        released, too_late: units of cancellations, given back or already with a warehouse.
    """

    invoice: str
    edge_id: str
    device: str
    source: str
    event_id: str
    fulfilment: str
    deadline_ms: int | None = None
    order_id: str | None = None
    asked_at_ms: float = 0
    paid_at_ms: float = 0
    quote_ms: float | None = None
    accept_ms: float | None = None
    sends: int = 0
    parked: int = 0
    optimal: bool | None = None
    planned_later: int = 0
    again: bool = False
    same_answer: bool | None = None
    packages: list[Packed] = field(default_factory=list)
    cancellations: int = 0
    released: int = 0
    unparked: int = 0
    too_late: int = 0


class Refusal(Struct, kw_only=True):
    """An `input.rejected` that a device got."""

    device: str
    cause: str
    code: str
    detail: str


class TillRecord(Struct, kw_only=True):
    """All tills together.

    Attributes:
        stalls_ms: the worst times that the process of the tills was itself kept from running:
            so much of the worst answers may be the measurer's own.
    """

    receipts: list[Receipt]
    stalls_ms: list[float] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class Job(Struct, kw_only=True):
    """A pick task at a warehouse.

    Attributes:
        seen: how many times the task came in; all but the first were recognised.
        state: how far it got: pick.accepted, …, package.delivered, pick.rejected, withdrawn.
        missing: units that were asked for and could not be shipped.
        thrown: of these, the units that were found broken, by SKU.
        shipped_ms: simulated milliseconds since 1970.
    """

    task_id: str
    node_id: str
    lines: list[PlannedLine]
    ready_ms: int
    arrives_ms: int
    seen: int = 1
    state: str = "issued"
    missing: list[PlannedLine] = field(default_factory=list)
    thrown: dict[str, int] = field(default_factory=dict)
    shipped: list[PlannedLine] = field(default_factory=list)
    shipped_ms: int | None = None


class Shelves(Struct, kw_only=True):
    """The shelves of a node, as its people count them.

    Attributes:
        loaded: units that came in, by SKU.
        left: units that stand there.
        broken: units found broken, which were thrown away.
        sent: units that left for another node.
    """

    loaded: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)

    def load(self, lines: list[StockLine]) -> None:
        """Put units on the shelves."""
        for line in lines:
            self.loaded[line.sku] = self.loaded.get(line.sku, 0) + line.quantity
            self.left[line.sku] = self.left.get(line.sku, 0) + line.quantity

    def send(self, lines: list[StockLine]) -> None:
        """Take units away to another node."""
        for line in lines:
            self.sent[line.sku] = self.sent.get(line.sku, 0) + line.quantity
            self.left[line.sku] = self.left.get(line.sku, 0) - line.quantity

    def throw_away(self, sku: str, units: int) -> None:
        """Take broken units off the shelf."""
        self.broken[sku] = self.broken.get(sku, 0) + units
        self.left[sku] -= units

    def take_back(self, job: Job) -> None:
        """Undo what was picked for a task that nobody wants any more, broken units included."""
        for line in job.shipped:
            self.left[line.sku] += line.quantity
        for sku, units in job.thrown.items():
            self.throw_away(sku, -units)
        job.shipped, job.missing, job.thrown = [], [], {}


class WarehouseRecord(Struct, kw_only=True):
    """All warehouses together."""

    shelves: dict[str, Shelves]
    jobs: list[Job]
    refusals: list[Refusal] = field(default_factory=list)
