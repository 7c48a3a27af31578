"""What an edge and central say to each other: messages in, messages out; no wire, no clock.

Sends the log from where central says it has it, in batches, a window ahead of what central
has acknowledged; takes the feed. A PUBACK only says that the broker saw it: what counts is
central's ack, and after a silence the edge goes back to it (go-back-N). Driven by
`edge.uplink` over MQTT, and by the simulator.

Times are of a clock that only moves forward, in milliseconds.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from edge.commands import FeedItem, FromFeed, FromPeer
from edge.records import Peer
from edge.store import Store
from shared.envelope import decode_data, decode_event, encode_batch, split_batch
from shared.errors import PointsmanError, TopicMismatchError
from shared.frames import (
    NO_BOOT,
    Ack,
    Ask,
    Asked,
    ContactsAck,
    FeedKind,
    Grant,
    Hello,
    Lots,
    Recall,
    Rejoin,
    decode_bulk,
    decode_frame,
    encode_frame,
    parse_feed_kind,
)
from shared.limits import BATCH_EVENTS_MAX
from shared.network import Network
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.topics import (
    ACK,
    ASK,
    ASKED,
    CONTACTS,
    FEED,
    HELLO,
    LOG,
    ROOT,
    TASKS,
    down,
    edge_source,
    parse_down,
    parse_up,
    up,
)

WINDOW_EVENTS: Final = 4 * BATCH_EVENTS_MAX
"""Events sent ahead of central's ack."""

HELLO_MS: Final = 5_000
"""A sign of life, and the question what central has."""

SILENCE_MS: Final = 3_000
"""Without an ack for so long, what is on its way counts as lost."""

SEND_BYTES_MAX: Final = 64 * 1024
"""Of one batch: a third of a second at 1.5 Mbit/s. A single larger event goes alone."""

PEERS_MAX: Final = 1_000
PEERS_AT_ONCE: Final = 50
"""Of the fast way, so that the certain one gets its turn."""

INBOX_ITEMS_MAX: Final = 1_000

log = structlog.get_logger()

Item = FromFeed | FromPeer | PointsmanError


class Words(NamedTuple):
    """A message to central or a peer: a topic and what is on it."""

    topic: str
    payload: bytes


class Sync:
    """The edge's side of the conversation.

    Args:
        edge_id: this edge.
        store: the log to send from. It is read only by `next_words`.
        boots: this process's name for itself is the last; see `shared.frames.Hello`.
        applied: asks for the number of the last feed item that is durable here.

    Attributes:
        inbox: what came down and waits for its turn, oldest first.
        kept_contacts: orders whose contacts central has.
        answered: asks that central has answered, with the feed item that completes each.
        boots: as above; shorter once central has confirmed this process.
        acked: central has the log through this position; as the store last knew it before
            central has said so.
        refused: why central takes nothing from this edge, or the edge knows itself that its
            store must not sell; empty while all is well.
    """

    def __init__(
        self, edge_id: str, store: Store, boots: list[str], applied: Callable[[], int]
    ) -> None:
        """See the class."""
        self.inbox: deque[tuple[str, bytes, Item]] = deque()
        self.kept_contacts: list[str] = []
        self.answered: dict[str, int] = {}
        self.boots = boots
        self.acked = int(store.meta("acked", "0"))
        self.refused = ""
        self.subscriptions: Final = (
            down(edge_id, ACK),
            down(edge_id, CONTACTS),
            down(edge_id, ASKED),
            down(edge_id, f"{FEED}/#"),
            f"{ROOT}/+/up/{TASKS}/{edge_id}",
        )
        self._edge_id = edge_id
        self._store = store
        self._epochs = store.epochs()
        self._applied = applied
        self._peers: deque[Peer] = deque(maxlen=PEERS_MAX)
        self._asks: deque[Ask] = deque()
        self._met = False
        self._sent = 0
        self._said = 0
        self._greet = False
        self._progress_ms = 0
        self._contacts_ms: int | None = None
        self._greeted_ms: int | None = None
        self._heard_ms = 0

    # What happens at the edge.

    def connected(self) -> None:
        """The line is there, again. Nothing is sent before central has said what it has."""
        self._met = False
        self._greet = True

    def disconnected(self) -> None:
        """The line is gone. Payments do not wait so long for it to come back."""
        self._met = False
        self._asks.clear()

    def greet(self) -> None:
        """Say hello soon: the feed moved on, or has a gap."""
        self._greet = True

    def forward(self, peer: Peer) -> None:
        """Send a task to another edge by the fast way; if it is lost, the log has it."""
        self._peers.append(peer)

    def ask(self, ask: Ask) -> None:
        """A payment waits for units."""
        self._asks.append(ask)

    def near(self, elapsed_ms: int) -> bool:
        """Whether central answers at present, so that it is worth asking."""
        return self._met and not self.refused and elapsed_ms - self._heard_ms < 2 * HELLO_MS

    def rejoined(self) -> None:
        """A new epoch has begun, and is durable."""
        self._epochs = self._store.epochs()
        self.refused = ""
        self._greet = True

    # What comes down.

    def take(self, topic: str, payload: bytes, elapsed_ms: int) -> None:
        """One message from central or a peer; a malformed one is named and skipped."""
        try:
            if "/up/" in topic:
                self._take_task(topic, payload)
                return
            self._heard_ms = elapsed_ms
            _, kind = parse_down(topic)
            if kind == ACK:
                self._acknowledged(decode_frame(payload, Ack), elapsed_ms)
            elif kind == CONTACTS:
                self.kept_contacts += decode_frame(payload, ContactsAck).order_ids
            elif kind == ASKED:
                asked = decode_frame(payload, Asked)
                self.answered[asked.id] = asked.feed
            else:
                self._take_feed(topic, kind, payload)
        except PointsmanError as error:
            self._deliver(topic, payload, error)

    def _take_task(self, topic: str, payload: bytes) -> None:
        peer, _ = parse_up(topic)
        event = decode_event(payload)
        if event.source != edge_source(peer):
            raise TopicMismatchError(
                f"source {event.source!r} on the topic of edge {peer!r}", place="$.source"
            )
        self._deliver(topic, payload, FromPeer(event, decode_data(event)))

    def _take_feed(self, topic: str, kind: str, payload: bytes) -> None:
        if not self._met:
            return  # It may be another's who speaks as this edge; central sends ours again.
        number, name = parse_feed_kind(kind)
        if number <= self._applied():
            self.greet()  # Central does not know yet that this was applied.
            return
        item: FeedItem | PointsmanError
        try:
            item = read_item(name, payload)
        except PointsmanError as error:
            item = error  # Skipped in its turn, so that it does not hold up those behind it.
        self._deliver(topic, payload, FromFeed(number, item))

    def _deliver(self, topic: str, payload: bytes, item: Item) -> None:
        if len(self.inbox) >= INBOX_ITEMS_MAX:
            log.warning("inbox_full", topic=topic)  # Central sends it again.
            return
        self.inbox.append((topic, payload, item))

    def _acknowledged(self, ack: Ack, elapsed_ms: int) -> None:
        if ack.boot != self.boots[-1]:
            # The zero boot: central has spoken with nobody since it fenced this edge.
            if not ack.refusal and ack.boot not in (*self.boots, NO_BOOT):
                self._stop("central speaks with another process as this edge: a copy of its disk?")
            return
        if ack.refusal:
            self._stop(f"central refuses this store: {_REFUSALS[ack.refusal]}")
            return
        self.boots = self.boots[-1:]
        position = self._position(ack)
        if position is None:
            # It waits for its rejoin, and listens for it; nothing is sent before.
            self._met = bool(self.refused)
            return
        if not self._met:
            self._met, self._sent, self._said = True, position, position
        if position > self.acked:
            self._progress_ms = elapsed_ms
        self.acked = max(position, self.acked)

    def _position(self, ack: Ack) -> int | None:
        """The log position that an ack means; None where the store cannot have said that."""
        ends = [first for _, first in self._epochs[1:]] + [self._store.durable]
        for (epoch, before), end in zip(self._epochs, ends, strict=True):
            if epoch == ack.epoch:
                present = epoch == self._epochs[-1][0]
                # Once refused, it waits for a new epoch, whatever central has of this one.
                if before + ack.sequence > end and present and not self.refused:
                    self._stop(
                        f"central has this edge's log of epoch {epoch} through {ack.sequence}, "
                        f"the store ends at {end - before}: is it a backup?"
                    )
                    return None
                return min(before + ack.sequence, end)
        self._stop(
            f"central has this edge in epoch {ack.epoch}, the store is in {self._epochs[-1][0]}: "
            "is it a backup, or a new disk?"
        )
        return None

    def _stop(self, reason: str) -> None:
        self._met = False
        self.refused = self.refused or reason

    # What goes up.

    def next_words(self, elapsed_ms: int) -> list[Words]:
        """What is to be said now, to be published together; empty when there is nothing.

        Call `said` when the broker has it, and then ask again. Reads the store.
        """
        words: list[Words] = []
        due_ms = None if self._greeted_ms is None else self._greeted_ms + HELLO_MS
        if self._greet or due_ms is None or elapsed_ms > due_ms:
            self._greet, self._greeted_ms = False, elapsed_ms
            words.append(Words(up(self._edge_id, HELLO), encode_frame(self._hello())))
        while self._asks:
            words.append(Words(up(self._edge_id, ASK), encode_frame(self._asks.popleft())))
        for _ in range(min(len(self._peers), PEERS_AT_ONCE)):
            peer = self._peers.popleft()
            words.append(Words(up(self._edge_id, f"{TASKS}/{peer.edge_id}"), peer.payload))
        if self._met and not self.refused:
            words += self._next_batch(elapsed_ms)
            words += self._next_contacts(elapsed_ms)
        return words

    def said(self, words: list[Words], elapsed_ms: int) -> None:
        """The broker has what `next_words` gave: from now on central may answer."""
        if any(topic == up(self._edge_id, LOG) for topic, _ in words):
            if self._said <= self.acked:
                # Patience begins with the first batch under way: later ones do not lengthen it.
                self._progress_ms = elapsed_ms
            self._said = self._sent

    def _hello(self) -> Hello:
        epoch, before = self._epochs[-1]
        return Hello(
            epoch=epoch,
            sequence=self._store.durable - before,
            feed=self._applied(),
            boots=self.boots,
            unfit=bool(self.refused),
        )

    def _next_batch(self, elapsed_ms: int) -> list[Words]:
        self._sent = max(self._sent, self.acked)
        if self._sent > self.acked and elapsed_ms - self._progress_ms > SILENCE_MS:
            log.info("going_back", sent=self._sent, acked=self.acked)
            self._sent = self._said = self.acked
        room = WINDOW_EVENTS - (self._sent - self.acked)
        if room <= 0:
            return []
        batch: list[bytes] = []
        size, sent = 1, self._sent
        for position, event in self._store.log_after(self._sent, min(room, BATCH_EVENTS_MAX)):
            size += len(event) + 1
            if batch and size > SEND_BYTES_MAX:
                break
            batch.append(event)
            sent = position
        self._sent = sent
        return [Words(up(self._edge_id, LOG), encode_batch(batch))] if batch else []

    def _next_contacts(self, elapsed_ms: int) -> list[Words]:
        if self._contacts_ms is not None and elapsed_ms - self._contacts_ms <= SILENCE_MS:
            return []
        contacts = self._store.contacts(BATCH_EVENTS_MAX)
        if not contacts:
            return []
        self._contacts_ms = elapsed_ms
        return [Words(up(self._edge_id, CONTACTS), encode_frame(contacts))]


_REFUSALS: Final = {
    "behind": "it is behind the ledger: a backup, or another disk",
    "twin": "another process speaks as this edge: it is a copy",
}


def read_item(kind: FeedKind, payload: bytes) -> FeedItem:
    """Decode a feed item.

    Raises:
        PointsmanError: a subclass that says what is wrong with it.
    """
    match kind:
        case "network":
            return decode_bulk(payload, Network)
        case "sourcing":
            return decode_bulk(payload, Sourcing)
        case "prices":
            return decode_bulk(payload, Prices)
        case "grant":
            return decode_bulk(payload, Grant)
        case "recall":
            return decode_bulk(payload, Recall)
        case "lots":
            return decode_bulk(payload, Lots)
        case "rejoin":
            return decode_frame(payload, Rejoin)
        case "past":
            events = [decode_event(raw) for raw in split_batch(payload)]
            return [(event, decode_data(event)) for event in events]
        case _:
            event = decode_event(payload)
            return event, decode_data(event)
