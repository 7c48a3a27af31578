"""Edges and a central over their real files, and a wire that loses nothing between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import msgspec

from central.admin import Message
from central.core import Central
from central.database import Database, close_database, open_database
from central.escrow import DemandPolicy
from central.sealing import KEY_BYTES, Keyring
from edge.commands import FromFeed
from edge.sync import read_item
from shared import topics
from shared.envelope import encode_batch, encode_event
from shared.events import StockReceived
from shared.frames import Hello, encode_frame, parse_feed_kind
from shared.parts import StockLine
from tests.shop import NOON_MS, Shop, network


class Company:
    """edge-1 is home to dc-south and store-1, edge-2 to dc-north; see `tests.shop.network`.

    Attributes:
        folder: central's.
        now_ms: everybody's clock.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.now_ms = NOON_MS
        keyring = Keyring([bytes(KEY_BYTES)], Random(1).randbytes)
        self.central = Central(database, DemandPolicy(0.0), keyring)
        self.shops = {x: Shop(folder / f"{x}.db", x) for x in ("edge-1", "edge-2")}
        self._sent = dict.fromkeys(self.shops, 0)
        self._say([Message(topics.up("admin", "network"), msgspec.json.encode(network()))])
        self.carry()

    def receive(self, node_id: str, **units: int) -> None:
        """Stock comes in at a node; SKU names with _ for -."""
        stock = [StockLine(sku=x.replace("_", "-"), quantity=n) for x, n in units.items()]
        shop = self.shops["edge-2" if node_id == "dc-north" else "edge-1"]
        shop.tell(node_id, StockReceived(node_id=node_id, lines=stock), f"in-{node_id}")
        self.carry()

    def later(self, seconds: int) -> None:
        """Time goes by for all."""
        self.now_ms += seconds * 1_000
        for shop in self.shops.values():
            shop.now_ms = self.now_ms

    def carry(self) -> None:
        """Until nobody has anything to say any more."""
        for _ in range(30):
            moved = [self._talk(shop) for shop in self.shops.values()]
            if not any(moved):
                return
        raise AssertionError("it never comes to rest")

    def _talk(self, shop: Shop) -> bool:
        events = [encode_event(x) for x in shop.log()]
        fresh = events[self._sent[shop.edge_id] :]
        self._sent[shop.edge_id] = len(events)
        hello = Hello(
            epoch=1, sequence=len(events), feed=shop.engine.state.feed, boots=[f"{1:016x}"]
        )
        said = [Message(topics.up(shop.edge_id, topics.HELLO), encode_frame(hello))]
        if fresh:
            said.append(Message(topics.up(shop.edge_id, topics.LOG), encode_batch(fresh)))
        applied = shop.engine.state.feed
        self._say(said)
        return bool(fresh) or shop.engine.state.feed > applied

    def _say(self, said: list[Message]) -> None:
        for message in self.central.receive(said, now_ms=self.now_ms, elapsed_ms=self.now_ms):
            device, kind = topics.parse_down(message.topic)
            if not kind.startswith(topics.FEED) or device not in self.shops:
                continue
            shop, (number, name) = self.shops[device], parse_feed_kind(kind)
            if number == shop.engine.state.feed + 1:
                decision = shop.do(FromFeed(number, read_item(name, message.payload)))
                assert decision.fault is None, decision.fault
                shop.retry()


@contextmanager
def company(folder: Path) -> Iterator[Company]:
    """A company that has its network and no stock yet."""
    database = open_database(folder)
    try:
        found = Company(folder, database)
        yield found
        for shop in found.shops.values():
            shop.store.close()
    finally:
        close_database(database)
