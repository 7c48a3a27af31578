"""The way to central: aiomqtt, an asyncio task beside the gateway on the same loop.

Sends the log from where central says it has it, in batches, a window ahead of what central
has acknowledged; takes the feed. A PUBACK only says that the broker saw it: what counts is
central's ack, and after a silence the uplink goes back to it (go-back-N). Sends when it can;
nothing on the local network ever waits for it.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import aiomqtt
import structlog

from edge.commands import FeedItem, FromFeed, FromPeer
from edge.records import Peer
from edge.store import Store
from shared.ending import end
from shared.envelope import decode_data, decode_event, encode_batch
from shared.errors import ConfigError, PointsmanError, StaleStoreError, TopicMismatchError
from shared.frames import (
    Ack,
    ContactsAck,
    FeedKind,
    Grant,
    Hello,
    decode_bulk,
    decode_frame,
    encode_frame,
    parse_feed_kind,
)
from shared.limits import BATCH_EVENTS_MAX
from shared.mqtt import BACKOFF_S_MAX, BACKOFF_S_MIN, KEEPALIVE_S, NO_DELAY, QOS, SUBACK_REFUSED
from shared.network import Network
from shared.settings import Broker
from shared.topics import (
    ACK,
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

HELLO_S: Final = 5.0
"""A sign of life, and the question what central has."""

SILENCE_S: Final = 3.0
"""Without an ack for so long, what is on its way counts as lost."""

SEND_BYTES_MAX: Final = 64 * 1024
"""Of one batch: a third of a second at 1.5 Mbit/s. A single larger event goes alone."""

PEERS_MAX: Final = 1_000
PEERS_AT_ONCE: Final = 50
"""Of the fast way, so that the certain one gets its turn."""

INBOX_ITEMS_MAX: Final = 1_000

log = structlog.get_logger()


class Uplink:
    """The edge's link to central.

    Args:
        edge_id: this edge.
        broker: central's broker.
        store: the log to send from.
        epoch: the edge's incarnation.
        applied: asks for the number of the last feed item that is durable here.
        idle: to be awaited before the store is read: no commit is under way then.
        on_inbox: called when something waits in `inbox` or `kept_contacts`.

    Attributes:
        inbox: what came down and waits for its turn, oldest first.
        kept_contacts: orders whose contacts central has.
    """

    def __init__(
        self,
        edge_id: str,
        broker: Broker,
        store: Store,
        epoch: int,
        applied: Callable[[], int],
        idle: Callable[[], Awaitable[None]],
        on_inbox: Callable[[], None],
    ) -> None:
        """See the class."""
        self.inbox: deque[tuple[str, bytes, FromFeed | FromPeer | PointsmanError]] = deque()
        self.kept_contacts: list[str] = []
        self._edge_id = edge_id
        self._broker = broker
        self._store = store
        self._epoch = epoch
        self._applied = applied
        self._idle = idle
        self._on_inbox = on_inbox
        self._peers: deque[Peer] = deque(maxlen=PEERS_MAX)
        self._wake = asyncio.Event()
        self._acked: int | None = None
        self._sent = 0
        self._greet = False
        self._progress_s = 0.0
        self._contacts_s = 0.0
        self._greeted_s = 0.0

    def wake(self) -> None:
        """There is something new in the log, or the feed was applied."""
        self._wake.set()

    def greet(self) -> None:
        """Say hello soon: the feed moved on, or has a gap."""
        self._greet = True
        self._wake.set()

    def forward(self, peer: Peer) -> None:
        """Send a task to another edge by the fast way; if it is lost, the log has it."""
        self._peers.append(peer)
        self._wake.set()

    async def run(self) -> None:
        """Keep connected until cancelled.

        Raises:
            StaleStoreError: central has more of this edge's log than this edge.
        """
        backoff_s = BACKOFF_S_MIN
        while True:
            try:
                async with self._client() as client:
                    backoff_s = BACKOFF_S_MIN
                    await self._converse(client)
            except (aiomqtt.MqttError, ConfigError) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    return  # Leaving failed as well; it must not hide that we were told to stop.
                log.warning("wan_lost", broker=self._broker.host, error=str(error))
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    def _client(self) -> aiomqtt.Client:
        version = self._broker.mqtt_version
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            identifier=f"pointsman-{self._edge_id}-uplink",
            username=self._broker.username,
            password=self._broker.password(),
            protocol=aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311,
            # Nothing is owed to a session: both ends say what they have when they meet.
            clean_session=None if version == "5" else True,
            keepalive=KEEPALIVE_S,
            timeout=SILENCE_S,
            socket_options=[NO_DELAY],
        )

    async def _converse(self, client: aiomqtt.Client) -> None:
        mine = [down(self._edge_id, ACK), down(self._edge_id, CONTACTS)]
        mine.append(down(self._edge_id, f"{FEED}/#"))
        tasks = f"{ROOT}/+/up/{TASKS}/{self._edge_id}"
        granted = await client.subscribe([(topic, QOS) for topic in (*mine, tasks)])
        if any(
            (code if isinstance(code, int) else code.value) >= SUBACK_REFUSED for code in granted
        ):
            raise ConfigError(
                "central's broker does not let this edge read its topics",
                place="wan",
                expected=f"an access list like deploy/mosquitto/central.acl for {self._edge_id}",
            )
        log.info("wan_connected", broker=self._broker.host)
        self._acked = None  # Nothing is sent before central has said what it has.
        self._greet = True
        # Side by side: a publish that waits on a dead line must not hide that it is dead.
        listener = asyncio.create_task(self._listen(client))
        speaker = asyncio.create_task(self._keep_speaking(client))
        try:
            done, _ = await asyncio.wait({listener, speaker}, return_when="FIRST_COMPLETED")
        finally:
            await end(listener, speaker)
        for task in done:
            task.result()

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self._take(str(message.topic), bytes(message.payload))

    async def _keep_speaking(self, client: aiomqtt.Client) -> None:
        while True:
            self._wake.clear()
            await self._speak(client)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._wake.wait()

    def _take(self, topic: str, payload: bytes) -> None:
        """One message from central or a peer; a malformed one is named and skipped."""
        try:
            if "/up/" in topic:
                peer, _ = parse_up(topic)
                event = decode_event(payload)
                if event.source != edge_source(peer):
                    raise TopicMismatchError(
                        f"source {event.source!r} on the topic of edge {peer!r}", place="$.source"
                    )
                self._deliver(topic, payload, FromPeer(event, decode_data(event)))
                return
            _, kind = parse_down(topic)
            if kind == ACK:
                self._acknowledged(decode_frame(payload, Ack))
            elif kind == CONTACTS:
                self.kept_contacts += decode_frame(payload, ContactsAck).order_ids
                self._on_inbox()
            else:
                self._take_feed(topic, kind, payload)
        except StaleStoreError:
            raise
        except PointsmanError as error:
            self._deliver(topic, payload, error)

    def _take_feed(self, topic: str, kind: str, payload: bytes) -> None:
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

    def _deliver(
        self, topic: str, payload: bytes, item: FromFeed | FromPeer | PointsmanError
    ) -> None:
        if len(self.inbox) >= INBOX_ITEMS_MAX:
            log.warning("inbox_full", topic=topic)  # Central sends it again.
            return
        self.inbox.append((topic, payload, item))
        self._on_inbox()

    def _acknowledged(self, ack: Ack) -> None:
        if ack.epoch != self._epoch:
            log.error("ack_of_other_epoch", epoch=ack.epoch, own=self._epoch)
            return
        last = self._store.durable
        if ack.sequence > last:
            raise StaleStoreError(
                f"central has this edge's log through {ack.sequence}, the store ends at {last}",
                place="store",
                expected="the newest data folder of this edge",
            )
        if self._acked is None:
            self._sent = ack.sequence
        if ack.sequence > (self._acked or 0):
            self._progress_s = time.monotonic()
        self._acked = max(ack.sequence, self._acked or 0)
        self._wake.set()

    async def _speak(self, client: aiomqtt.Client) -> None:
        """Say whatever is to be said now."""
        now_s = time.monotonic()
        if self._greet or now_s - self._greeted_s > HELLO_S:
            self._greet, self._greeted_s = False, now_s
            hello = Hello(epoch=self._epoch, sequence=self._store.durable, feed=self._applied())
            await client.publish(up(self._edge_id, HELLO), encode_frame(hello), QOS)
        peers = [self._peers.popleft() for _ in range(min(len(self._peers), PEERS_AT_ONCE))]
        await asyncio.gather(
            *(
                client.publish(up(self._edge_id, f"{TASKS}/{x.edge_id}"), x.payload, QOS)
                for x in peers
            )
        )
        if self._acked is None:
            return
        await self._send_log(client)
        if now_s - self._contacts_s > SILENCE_S:
            await self._idle()
            contacts = self._store.contacts(BATCH_EVENTS_MAX)
            if contacts:
                self._contacts_s = now_s
                await client.publish(up(self._edge_id, CONTACTS), encode_frame(contacts), QOS)

    async def _send_log(self, client: aiomqtt.Client) -> None:
        assert self._acked is not None
        self._sent = max(self._sent, self._acked)
        if self._sent > self._acked and time.monotonic() - self._progress_s > SILENCE_S:
            log.info("going_back", sent=self._sent, acked=self._acked)
            self._sent = self._acked
        while self._sent - self._acked < WINDOW_EVENTS:
            await self._idle()
            rows = self._store.log_after(self._sent, BATCH_EVENTS_MAX)
            batch: list[bytes] = []
            size = 1
            for _, event in rows:
                size += len(event) + 1
                if batch and size > SEND_BYTES_MAX:
                    break
                batch.append(event)
            if not batch:
                return
            # However slow the line is: if it breaks, the listener ends this.
            await client.publish(up(self._edge_id, LOG), encode_batch(batch), QOS, timeout=math.inf)
            self._progress_s = time.monotonic()  # The broker has it: now central may answer.
            self._sent = rows[len(batch) - 1][0]


def read_item(kind: FeedKind, payload: bytes) -> FeedItem:
    """Decode a feed item.

    Raises:
        PointsmanError: a subclass that says what is wrong with it.
    """
    if kind == "network":
        return decode_bulk(payload, Network)
    if kind == "grant":
        return decode_bulk(payload, Grant)
    event = decode_event(payload)
    return event, decode_data(event)
