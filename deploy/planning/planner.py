"""Plans orders by the product's own decision, and takes what they use."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from deploy.planning.formats import PlannedOrder, Shelves
from deploy.planning.orders import Asked
from edge.capacity import Slots
from edge.failures import ONE, Failure, Failures
from edge.incoming import Incoming
from edge.network import Snapshot
from edge.orders import cells_of
from edge.prices import Rates
from edge.records import claims
from edge.routing.known import Known
from edge.routing.question import question_of
from edge.routing.router import route
from edge.sourcing import Rules
from edge.stock import Stock
from shared.clock import to_ms
from shared.errors import (
    InvalidDataError,
    NotJsonError,
    UnknownNodeError,
    UnknownSkuError,
    split_error,
)
from shared.events import RouteRequested
from shared.limits import QUANTITY_MAX
from shared.network import Network, parse_network
from shared.parts import CellUnits, Plan, is_slot, slot_sku
from shared.prices import Prices
from shared.sourcing import Profile, Sourcing

T = TypeVar("T")


class _Looks(msgspec.Struct):
    """What tells a sourcing document from a profile."""

    profiles: msgspec.Raw = msgspec.Raw()


class Planner:
    """One network with one stock, and the profile that is tried.

    Args:
        network: the snapshot.
        shelves: what may be promised; without it every node has a million of everything.
        consume: whether a plan takes its units and slots from the orders after it.
        judged_by: a profile, or a sourcing document; without it the network's own profile.
        prices: bid prices, backlogs, saturation; none without.

    Attributes:
        name: version of what it judges by.
    """

    def __init__(
        self,
        network: Network,
        shelves: Shelves | None,
        consume: bool,
        judged_by: Profile | Sourcing | None = None,
        prices: Prices | None = None,
    ) -> None:
        """Lay the stock out.

        Raises:
            UnknownNodeError, UnknownSkuError: a cell that the network does not know.
        """
        if isinstance(judged_by, Profile):
            network = msgspec.structs.replace(network, profile=judged_by)
        self.name = network.profile.version if judged_by is None else judged_by.version
        self.snapshot = Snapshot(network)
        self._consume = consume
        rules = Rules(judged_by) if isinstance(judged_by, Sourcing) else None
        rates = Rates(self.snapshot, prices)
        if shelves is None:
            self._stock = Stock(self.snapshot, ())
            self._stock.share[:] = QUANTITY_MAX
            self._slots, self._incoming = Slots(), Incoming()
            self._known = Known(self.snapshot, self._stock, rules=rules, rates=rates)
            return
        for number, cell in enumerate(shelves.cells):
            self._know(cell.node_id, f"stock: $.cells[{number}].node_id")
            if not is_slot(cell.sku):
                self._sell(cell.sku, f"stock: $.cells[{number}].sku")
        units: dict[tuple[str, str], int] = {}
        for cell in (*shelves.cells, *_slot_cells(shelves)):
            key = cell.node_id, cell.sku
            units[key] = units.get(key, 0) + cell.quantity
        cells = [(node_id, sku, count) for (node_id, sku), count in units.items()]
        self._stock = Stock(self.snapshot, cells)
        announced = [
            (node.node_id, to_ms(slot.starts_at), to_ms(slot.ends_at))
            for node in shelves.slots
            for slot in node.slots
        ]
        self._slots = Slots(announced, cells)
        self._incoming = self._expect(shelves)
        self._known = Known(
            self.snapshot, self._stock, self._slots, self._learned(shelves), self._incoming,
            rules, rates,
        )  # fmt: skip

    def plan(self, asked: Asked) -> PlannedOrder:
        """Decide one order.

        Raises:
            UnknownNodeError, UnknownSkuError: the network does not know a name in it.
        """
        order = asked.order
        place = f"{asked.place}: $"
        self._know(order.store_id, f"{place}.store_id")
        if order.fulfilment.node_id is not None:
            self._know(order.fulfilment.node_id, f"{place}.fulfilment.node_id")
        for number, line in enumerate(order.lines):
            self._sell(line.sku, f"{place}.lines[{number}].sku")
        wanted = isinstance(order, RouteRequested) and order.alternatives
        answer = route(self._known, question_of(order), to_ms(asked.at), alternatives=wanted)
        if self._consume:
            self._incoming.claim(asked.id, claims(answer.shortages))
            cells = [] if answer.plan is None else list(_taken(answer.plan))
            self._stock.move(cells, -1)
            self._slots.move(cells, -1)
        return PlannedOrder(
            id=asked.id,
            at=asked.at,
            plan=answer.plan,
            parked=answer.shortages,
            alternatives=answer.alternatives,
        )

    def _expect(self, shelves: Shelves) -> Incoming:
        incoming = Incoming()
        for number, said in enumerate(shelves.expected):
            place = f"stock: $.expected[{number}]"
            self._know(said.node_id, f"{place}.node_id")
            for at, line in enumerate(said.lines):
                self._sell(line.sku, f"{place}.lines[{at}].sku")
            # Overdue or not is for the time of each order: here nothing is.
            for lot in incoming.after("", said, 0):
                incoming.put(lot)
        return incoming

    def _learned(self, shelves: Shelves) -> Failures:
        for number, known in enumerate(shelves.failed_picks):
            place = f"stock: $.failed_picks[{number}]"
            self._know(known.node_id, f"{place}.node_id")
            self._sell(known.sku, f"{place}.sku")
        return Failures(
            Failure(x.node_id, x.sku, x.failed * ONE, to_ms(x.at), x.good * ONE)
            for x in shelves.failed_picks
        )

    def _know(self, node_id: str, place: str) -> None:
        if node_id not in self.snapshot.node_ix:
            raise UnknownNodeError(
                f"{node_id!r} is not in the network", place=place, expected="a node_id of it"
            )

    def _sell(self, sku: str, place: str) -> None:
        if sku not in self.snapshot.sku_ix:
            raise UnknownSkuError(
                f"{sku!r} is not in the network", place=place, expected="a SKU of its products"
            )


def _taken(plan: Plan) -> Iterable[CellUnits]:
    """Units and slots that a plan takes."""
    for package in plan.packages:
        yield from cells_of(package.node_id, package.lines)
        if package.slot is not None:
            yield CellUnits(node_id=package.node_id, sku=package.slot, quantity=1)


def _slot_cells(shelves: Shelves) -> Iterable[CellUnits]:
    """The packages that the slots take, as cells."""
    for node in shelves.slots:
        for slot in node.slots:
            if slot.packages:
                sku = slot_sku(slot.starts_at)
                yield CellUnits(node_id=node.node_id, sku=sku, quantity=slot.packages)


def read_network(path: Path) -> Network:
    """A network document.

    Raises:
        InvalidDataError, NotJsonError: what is wrong, and where.
    """
    try:
        return parse_network(_bytes(path))
    except (InvalidDataError, NotJsonError) as error:
        error.place = f"{path}: {error.place}"
        raise


def read_profile(path: Path) -> Profile | Sourcing:
    """A sourcing document, or a profile alone as a network document has it."""
    looks = _document(path, _Looks, "a profile or a sourcing document")
    if not bytes(looks.profiles):
        return _document(path, Profile, "a profile (profile.schema.json)")
    return _document(path, Sourcing, "a sourcing document (sourcing.schema.json)")


def read_prices(path: Path) -> Prices:
    """A prices document."""
    return _document(path, Prices, "a prices document (prices.schema.json)")


def read_shelves(path: Path) -> Shelves:
    """A stock document."""
    return _document(path, Shelves, "a stock document (stock.schema.json)")


def _document(path: Path, kind: type[T], expected: str) -> T:
    try:
        return msgspec.json.decode(_bytes(path), type=kind)
    except msgspec.ValidationError as error:
        detail, place = split_error(error)
        raise InvalidDataError(detail, place=f"{path}: {place}", expected=expected) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError(str(error), place=str(path), expected=expected) from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidDataError(
            error.strerror or str(error), place=str(path), expected="a file that can be read"
        ) from None
