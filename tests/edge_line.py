"""An edge's conversation with central, and a clock that is moved by hand."""

import msgspec

from edge.sync import (
    Sync,
    Words,
)
from shared.envelope import decode_event, split_batch
from shared.frames import (
    Hello,
    decode_frame,
)
from shared.topics import down, up
from tests.shop import Shop, payment

OWN = "b" * 16


class Line:
    """A conversation, and a clock that is moved by hand."""

    def __init__(self, shop: Shop, boots: list[str] | None = None) -> None:
        self.shop = shop
        self.applied = 0
        self.now_ms = 100_000
        self.sync = Sync("edge-1", shop.store, boots or [OWN], lambda: self.applied)
        self.sync.connected()

    def once(self) -> list[Words]:
        """What is said at once."""
        words = self.sync.next_words(self.now_ms)
        self.sync.said(words, self.now_ms)
        return words

    def words(self) -> list[Words]:
        """Everything that is to be said now."""
        found: list[Words] = []
        while words := self.once():
            found += words
        return found

    def sent(self) -> list[int]:
        """Sequences of the log entries that are said now."""
        return [
            decode_event(raw).number()
            for topic, payload in self.words()
            if topic == up("edge-1", "log")
            for raw in split_batch(payload)
        ]

    def hellos(self) -> list[Hello]:
        return [decode_frame(p, Hello) for t, p in self.words() if t.endswith("/hello")]

    def hear(self, kind: str, payload: bytes) -> None:
        self.sync.take(down("edge-1", kind), payload, self.now_ms)

    def ack(self, sequence: int, epoch: int = 1, boot: str = OWN, refusal: str = "") -> None:
        values = {"epoch": epoch, "sequence": sequence, "boot": boot, "refusal": refusal}
        self.hear("ack", msgspec.json.encode(values))


def pay(shop: Shop, count: int, **changes: object) -> None:
    """Payments without stock: two log entries each."""
    for _ in range(count):
        shop.tell("till-1", payment("sku-1", **changes))
