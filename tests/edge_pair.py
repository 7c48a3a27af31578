"""Two edges, and a ledger between them that tells each what it must hear of the other."""

from pathlib import Path
from typing import Any

from edge.commands import FromFeed
from shared.envelope import Event, decode_data
from shared.events import (
    Data,
    OrderCancelled,
    PickKept,
    PickRejected,
    PickRequested,
    PickShort,
    PickWithdrawn,
)
from shared.frames import Rejoin
from tests.shop import Shop, network, open_shop


class Pair:
    """edge-1 is home to dc-south and store-1, edge-2 to dc-north.

    Attributes:
        ledger: every event, in the order in which central has them.
        due: what the feed has for each.
    """

    def __init__(self, folder: Path) -> None:
        self.one = open_shop(folder / "edge-1.db")
        self.two = open_shop(folder / "edge-2.db", "edge-2")
        self.ledger: list[Event] = []
        self.due: dict[str, list[tuple[Event, Data]]] = {"edge-1": [], "edge-2": []}
        self._taken = {"edge-1": 0, "edge-2": 0}

    def upload(self, shop: Shop) -> None:
        """An edge's log reaches the ledger."""
        log = shop.log()
        fresh = log[self._taken[shop.edge_id] :]
        self._taken[shop.edge_id] = len(log)
        self.ledger += fresh
        other = self.two if shop is self.one else self.one
        for event in fresh:
            data = decode_data(event)
            if _concerns(other, data):
                self.due[other.edge_id].append((event, data))

    def deliver(self, shop: Shop) -> None:
        """An edge takes what the feed has for it."""
        for item in self.due.pop(shop.edge_id, []):
            decision = shop.feed(item)
            assert decision.fault is None, decision.fault
        self.due[shop.edge_id] = []
        shop.retry()

    def carry(self) -> None:
        """Until neither has anything to say any more."""
        for _ in range(30):
            self.upload(self.one)
            self.upload(self.two)
            if not any(self.due.values()):
                return
            self.deliver(self.one)
            self.deliver(self.two)
        raise AssertionError("it never comes to rest")

    def warehouse(self) -> PickRequested:
        """The newest task that dc-north was given."""
        found: PickRequested = self.two.last("pick.requested")
        return found


def _concerns(other: Shop, data: Any) -> bool:
    match data:
        case PickRequested(node_id=node_id):
            return other.engine.state.home_of(node_id) == other.edge_id
        case PickShort() | PickRejected() | PickWithdrawn() | PickKept():
            return bool(data.home_edge_id == other.edge_id)
        case OrderCancelled(asked=asked):
            return any(other.engine.state.home_of(x.node_id) == other.edge_id for x in asked)
        case _:
            return False


def past_of(pair: Pair) -> list[Event]:
    """What the ledger has of edge-1's orders, and of tasks at its nodes."""
    orders = {
        e.correlationid
        for e in pair.ledger
        if e.source == "/edges/edge-1" or "/edges/" not in e.source
    }
    tasks = {
        e.correlationid
        for e in pair.ledger
        if isinstance(data := decode_data(e), PickRequested) and data.node_id != "dc-north"
    }
    return [e for e in pair.ledger if e.correlationid in orders | tasks]


def rebuilt(path: Path, past: list[Event], sizes: list[int], feed: int = 40) -> Shop:
    """An empty edge-1 that was fenced and gets its past in parts."""
    shop = Shop(path)
    shop.engine.state.feed = feed  # The feed goes on from wherever it is.
    shop.do(FromFeed(feed + 7, Rejoin(epoch=2, restored=True)))
    shop.feed(network())
    rest = list(past)
    while rest:
        size = sizes.pop() if sizes else len(rest)
        part, rest = rest[:size], rest[size:]
        decision = shop.feed([(event, decode_data(event)) for event in part])
        assert decision.fault is None, decision.fault
    assert shop.feed([]).fault is None
    return shop
