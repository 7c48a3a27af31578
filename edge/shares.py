"""Shares: what central grants, calls back, and ends with an epoch."""

import msgspec

from edge.journal import Cause
from edge.records import Decision, Order
from edge.state import State
from shared.events import EpochBegan, ShareReturned
from shared.frames import Rejoin
from shared.parts import CellUnits


def give_back(
    state: State, decision: Decision, number: int, cells: list[CellUnits], now_ms: int
) -> None:
    """Give back what the shares still hold of what central wants; answer, even with nothing.

    Args:
        state: the engine's.
        decision: filled.
        number: of the feed item that asks.
        cells: what is wanted, each cell once.
        now_ms: milliseconds since 1970 UTC.
    """
    if state.ready:
        decision.taken += state.held(cells)
    returned = ShareReturned(cells=decision.taken, recall=number)
    cause = f"recall.{number}"
    state.journal.decide(decision, returned, now_ms, cause=Cause(cause), order_id=cause)


def rejoin(state: State, decision: Decision, item: Rejoin, now_ms: int) -> None:
    """Begin a new epoch: no share of the old one counts, and no other is sold from."""
    journal = state.journal
    ended = journal.epoch, journal.sequence
    journal.enter(item.epoch)
    decision.epochs = journal.epochs
    decision.restored = item.restored
    decision.unfit = ""
    began = EpochBegan(epoch=item.epoch, previous_epoch=ended[0], previous_sequence=ended[1])
    cause = f"rejoin.{item.epoch}"
    journal.decide(decision, began, now_ms, cause=Cause(cause), order_id=cause)


def forgiven(state: State, cells: list[CellUnits]) -> list[Order]:
    """Waiting orders for which a node that failed them counts again: it has new units."""
    nodes: dict[str, set[str]] = {}
    for cell in cells:
        for order_id in state.waiting(cell.sku):
            nodes.setdefault(order_id, set()).add(cell.node_id)
    found = []
    for order_id, granted in nodes.items():
        order = state.records.order(order_id)
        if order is not None and not granted.isdisjoint(order.failed):
            failed = [node_id for node_id in order.failed if node_id not in granted]
            found.append(msgspec.structs.replace(order, failed=failed))
    return found
