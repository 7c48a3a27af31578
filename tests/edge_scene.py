"""An edge's core over a real file, with devices and central by hand: no loop, no wire.

Its clocks stand still until a test moves them.
"""

from pathlib import Path
from typing import Any

from edge.burst import Burst
from edge.config import LogLimits
from edge.core import Core
from edge.intake import Message
from edge.store import Store
from edge.sync import Words
from shared.clock import to_datetime
from shared.envelope import (
    Event,
    decode_data,
    decode_event,
    encode_batch,
    encode_event,
    make_event,
)
from shared.errors import StorageError
from shared.events import Data, InputRejected
from shared.frames import (
    Ack,
    Ask,
    Asked,
    Grant,
    Hello,
    Recall,
    Rejoin,
    decode_frame,
    encode_bulk,
    encode_frame,
    feed_kind,
)
from shared.network import Network
from shared.parts import CellUnits
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.topics import down, edge_source, up
from tests.shop import NOON_MS, device_event, network

BOOT = "00000000000000b1"


def item_bytes(item: Any) -> tuple[Any, bytes]:
    """Kind and body of a feed item; a list is a part of the past."""
    match item:
        case Network():
            return "network", encode_bulk(item)
        case Sourcing():
            return "sourcing", encode_bulk(item)
        case Prices():
            return "prices", encode_bulk(item)
        case Grant():
            return "grant", encode_bulk(item)
        case Recall():
            return "recall", encode_bulk(item)
        case Rejoin():
            return "rejoin", encode_frame(item)
        case list():
            return "past", encode_batch([encode_event(event) for event in item])
        case Event():
            return "event", encode_event(item)
        case _:
            raise AssertionError(item)


def cells(node_id: str, **units: int) -> list[CellUnits]:
    """Cells of a node; SKU names with _ for -."""
    return [
        CellUnits(node_id=node_id, sku=sku.replace("_", "-"), quantity=n)
        for sku, n in units.items()
    ]


def event_of(edge_id: str, data: Data, order_id: str, sequence: int = 7) -> Event:
    """An event as another edge has logged it."""
    return make_event(
        data, id=f"{edge_id}-1-{sequence}", source=edge_source(edge_id), time=to_datetime(NOON_MS),
        sequence=sequence, epoch=1, hlc="e" + "0" * 15, causationid="x", correlationid=order_id,
    )  # fmt: skip


class Scene:
    """One core, driven turn by turn.

    Attributes:
        said: what devices were told, in order: (device, kind, event).
        done: ids of the messages that were acknowledged, in order.
    """

    def __init__(self, path: Path, limits: LogLimits | None = None) -> None:
        self.path = path
        self.limits = limits or LogLimits()
        self.now_ms = NOON_MS
        self.elapsed_ms = 1_000_000
        self.said: list[tuple[str, str, Event]] = []
        self.done: list[str] = []
        self.feed_sent = 0
        self._mids = 0
        self._ids: dict[int, str] = {}
        self.store = Store(path)
        self.core = self._start([BOOT])

    def _start(self, boots: list[str]) -> Core:
        self.core = Core("edge-1", self.store, boots, self.limits, self.now_ms)
        self.core.sync.connected()
        return self.core

    def restart(self, *boots: str) -> None:
        """Kill the process and start it again on the same file."""
        self.store.close()
        self.store = Store(self.path)
        self._start(list(boots) or [BOOT])

    # What devices do.

    def message(self, device: str, data: Data, event_id: str, at_ms: int = NOON_MS) -> Message:
        event = device_event(device, event_id, data, at_ms)
        payload = encode_event(event)
        self._mids += 1
        self._ids[self._mids] = event_id
        return Message(up(device, data.kind), payload, len(payload), self._mids)

    def turn(self, *messages: Message, broken_disk: bool = False) -> Burst:
        """One turn; with `broken_disk` its commit fails."""
        core = self.core
        burst = core.decide(list(messages), self.now_ms, self.elapsed_ms)
        if self.store.dirty:
            if broken_disk:
                full = StorageError("database or disk is full", place="store", expected="space")
                core.undo(burst, full, self.now_ms, self.elapsed_ms)
            else:
                self.store.commit()
        outcome = core.settle(burst, self.now_ms)
        for send in outcome.sends:
            self.said.append((send.device, send.kind, decode_event(send.payload)))
        self.done += [self._ids[message.mid] for message in outcome.done]
        return burst

    def tell(self, device: str, data: Data, event_id: str) -> None:
        """A device publishes, and the turn is taken."""
        self.turn(self.message(device, data, event_id))

    def rest(self) -> None:
        """Turns until there is nothing to do."""
        for _ in range(10_000):
            if not self.core.has_work(self.elapsed_ms):
                return
            self.turn()
        raise AssertionError("it never comes to rest")

    def answers(self, event_id: str) -> list[tuple[str, Any]]:
        """Kind and data of what was said because of a device's event."""
        return [
            (kind, decode_data(event))
            for _, kind, event in self.said
            if event.causationid == event_id
        ]

    def kinds(self, event_id: str) -> list[str]:
        """Kinds of what was said because of a device's event."""
        return [kind for kind, _ in self.answers(event_id)]

    def codes(self, event_id: str) -> list[str]:
        """Of the refusals of a device's event."""
        return [data.code for _, data in self.answers(event_id) if isinstance(data, InputRejected)]

    # What central does.

    def hear(self, kind: str, payload: bytes) -> None:
        self.core.sync.take(down("edge-1", kind), payload, self.elapsed_ms)

    def ack(
        self, sequence: int = 0, *, epoch: int = 1, boot: str | None = None, refusal: Any = ""
    ) -> None:
        boot = boot or self.core.sync.boots[-1]
        frame = Ack(epoch=epoch, sequence=sequence, boot=boot, refusal=refusal)
        self.hear("ack", encode_frame(frame))

    def ack_all(self) -> None:
        """Everything of the present epoch is in the ledger."""
        epoch, before = self.store.epochs()[-1]
        self.ack(self.store.durable - before, epoch=epoch)

    def send(self, item: Any, number: int | None = None) -> int:
        """The next feed item, on its way down; no turn is taken."""
        self.feed_sent = number or self.feed_sent + 1
        kind, body = item_bytes(item)
        self.hear(feed_kind(self.feed_sent, kind), body)
        return self.feed_sent

    def feed(self, *items: Any) -> None:
        """Feed items, and the turns that they need."""
        for item in items:
            self.send(item)
        self.rest()

    def grant(self, node_id: str, **units: int) -> None:
        self.feed(Grant(cells=cells(node_id, **units)))

    def asked(self, ask: Ask, feed: int | None = None) -> None:
        """Central has granted what there was, through this feed item."""
        answer = Asked(id=ask.id, feed=self.feed_sent if feed is None else feed)
        self.hear("asked", encode_frame(answer))

    # What the edge says to central.

    def words(self) -> list[Words]:
        """What is said now, until there is nothing more to say."""
        found: list[Words] = []
        while words := self.core.sync.next_words(self.elapsed_ms):
            found += words
            self.core.sync.said(words, self.elapsed_ms)
        return found

    def asks(self) -> list[Ask]:
        return [decode_frame(x.payload, Ask) for x in self.words() if x.topic.endswith("/ask")]

    def hello(self) -> Hello:
        """The newest hello of what is said now; one is due."""
        self.elapsed_ms += 10_000
        found = [x for x in self.words() if x.topic.endswith("/hello")]
        return decode_frame(found[-1].payload, Hello)

    # What it holds.

    def share(self, node_id: str, sku: str) -> int:
        """Units in memory; the store must agree."""
        state = self.core.engine.state
        ix = state.snapshot.sku_ix[sku], state.snapshot.node_ix[node_id]
        units = int(state.stock.share[ix])
        stored = {(node, name): n for node, name, n in self.store.cells()}
        assert stored.get((node_id, sku), 0) == units
        return units

    def log(self) -> list[Event]:
        return [decode_event(raw) for _, raw in self.store.log_after(0, 1_000_000)]


def open_scene(path: Path, limits: LogLimits | None = None) -> Scene:
    """A core that has met central and has the network, and no stock."""
    scene = Scene(path, limits)
    scene.words()
    scene.ack()
    scene.feed(network())
    scene.words()
    return scene
