"""Lots: units that will be at a node, and what events make of them. Pure.

Edges decide by them and central tells them to edges that join, so both must read the events
alike. A lot is known by node and id. A `stock.moved` with an expected arrival is a lot too, of
the node that it goes to; its id is made of the node and the event that it comes from.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta, Struct
from msgspec.structs import replace

from shared.clock import to_ms
from shared.events import Data, StockExpected, StockMoved, StockReceived
from shared.parts import Name, StockLine

OVERDUE_MS: Final = 7 * 86_400_000
"""So long past its time a lot may still be received; then nobody counts on it any more."""


Reason = Literal["purchase", "transfer", "inspection"]


class Lot(Struct, frozen=True):
    """Units of one SKU of a lot that have not been received yet.

    Attributes:
        units: 0: nothing more comes of it.
        expected_ms: when they may be sold, milliseconds since 1970 UTC.
        release_per_mille: how likely each may be sold then at all.
        reason: what keeps them.
    """

    node_id: Name
    lot_id: Annotated[str, Meta(max_length=256)]
    sku: Name
    units: Annotated[int, Meta(ge=0)]
    expected_ms: int
    release_per_mille: Annotated[int, Meta(ge=0, le=1_000)] = 1_000
    reason: Reason = "purchase"


class Scope(NamedTuple):
    """Which lots an event may change: those of the node that have this id or one of these SKUs."""

    node_id: str
    lot_id: str | None
    skus: frozenset[str]


def scope_of(event_id: str, data: Data) -> Scope | None:
    """Which lots an event may change; None: it has nothing to do with any.

    Args:
        event_id: as its device has named it.
        data: the event's.
    """
    match data:
        case StockExpected(node_id=node_id, lot_id=lot_id, lines=lines):
            return Scope(node_id, lot_id, _skus(lines))
        case StockMoved(to_node_id=node_id, lines=lines) if data.expected_at is not None:
            return Scope(node_id, f"{data.node_id}/{event_id}", _skus(lines))
        case StockReceived(node_id=node_id, lot_id=lot_id, lines=lines) if (
            lot_id is not None or data.reason == "transfer"
        ):
            return Scope(node_id, lot_id, _skus(lines))
        case _:
            return None


def changes(scope: Scope, data: Data, known: Iterable[Lot], now_ms: int) -> list[Lot]:
    """What an event makes of the lots that it may change.

    What is announced replaces what was said of the same lot. What is received is taken off its
    lot; of a transfer that names none, off the earliest transfers to the node.

    Args:
        scope: of the event, by `scope_of`.
        data: the event's.
        known: the lots in its scope.
        now_ms: lots that are overdue by then are given up on this occasion.

    Returns:
        The lots that are new or other than before; without units if nothing more comes of them.
    """
    before = {(lot.lot_id, lot.sku): lot for lot in known}
    after = {
        key: lot if lot.expected_ms > now_ms - OVERDUE_MS else replace(lot, units=0)
        for key, lot in before.items()
    }
    match data:
        case StockReceived(lines=lines):
            _take_off(after, scope.lot_id, lines)
        case StockExpected() | StockMoved() if data.expected_at is not None:
            assert scope.lot_id is not None
            for key, lot in after.items():
                if lot.lot_id == scope.lot_id:
                    after[key] = replace(lot, units=0)
            per_mille, reason = _promised(data)
            for sku, units in _units(data.lines).items():
                after[scope.lot_id, sku] = Lot(
                    scope.node_id, scope.lot_id, sku, units, to_ms(data.expected_at),
                    per_mille, reason,
                )  # fmt: skip
        case _:
            raise AssertionError(data)
    return [lot for key, lot in sorted(after.items()) if lot != before.get(key)]


def by_time(lot: Lot) -> tuple[int, str, str]:
    """The earliest lot comes first."""
    return lot.expected_ms, lot.node_id, lot.lot_id


def _promised(data: StockExpected | StockMoved) -> tuple[int, Reason]:
    if isinstance(data, StockMoved):
        return 1_000, "transfer"
    return data.release_per_mille, data.reason


def _take_off(
    lots: dict[tuple[str, str], Lot], lot_id: str | None, lines: Sequence[StockLine]
) -> None:
    for sku, units in _units(lines).items():
        for lot in sorted(lots.values(), key=by_time):
            meant = lot.reason == "transfer" if lot_id is None else lot.lot_id == lot_id
            if meant and lot.sku == sku:
                taken = min(units, lot.units)
                units -= taken
                lots[lot.lot_id, sku] = replace(lot, units=lot.units - taken)


def _units(lines: Iterable[StockLine]) -> dict[str, int]:
    units: dict[str, int] = {}
    for line in lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    return units


def _skus(lines: Iterable[StockLine]) -> frozenset[str]:
    return frozenset(line.sku for line in lines)
