"""Central's conversation with the edges, without a wire: messages in, messages out.

Driven by `central.link` over MQTT, and by tests and the simulator directly. What goes out was
made durable before.
"""

import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec
import structlog

from central import admin, answers, console, correspondence, ingest, news, streams
from central.admin import ADMIN, Message
from central.burst import Burst, Memory, Outcome, UnfitError
from central.database import Database, transaction, wipe_log
from central.escrow import Policy
from central.feed import Document, Item, Line, Window
from central.ingest import Unfit
from central.post import Post
from central.redaction import without_contacts
from central.sealing import Keyring
from central.signing import Signing
from central.stream import Stream, WrongEpochError
from central.systems import Systems
from central.territory import Territory, territory_of
from central.turn import Turn
from central.vigil import Vigil
from shared import topics
from shared.envelope import encode_batch, split_batch
from shared.errors import (
    PayloadTooLargeError,
    PointsmanError,
    StorageError,
    TopicMismatchError,
    UnknownTypeError,
)
from shared.frames import (
    NO_BOOT,
    Ack,
    Ask,
    Asked,
    ContactFor,
    ContactsAck,
    FeedKind,
    Hello,
    Refusal,
    decode_bulk,
    decode_frame,
    encode_frame,
    feed_kind,
)
from shared.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from shared.network import Network

REVIEW_MS: Final = 5_000
"""How often lines that wait and debts are looked at again."""

PAST_ORDERS: Final = 20_000
"""How many of its newest orders an edge that has lost its store is told, settled or not."""

T = TypeVar("T")

_log = structlog.get_logger("central")


class Central:
    """The core: ingest, escrow and feed over one database connection.

    Args:
        connection: of `central.database.open_database`; used by nobody else.
        policy: the escrow's.
        keyring: the vault's; see `central.vault.prepare`.
        past_orders: see `central.fences.retell`.
        signing: makes checkpoints of the ledger; without it there are none.
        systems: whom central drives.
    """

    def __init__(
        self,
        connection: Database,
        policy: Policy,
        keyring: Keyring,
        *,
        past_orders: int = PAST_ORDERS,
        signing: Signing | None = None,
        systems: Systems | None = None,
    ) -> None:
        """See the class."""
        self._connection = connection
        self._policy = policy
        self._keyring = keyring
        self._past_orders = past_orders
        self._signing = signing
        self._lines: dict[str, Line] = {}
        self._streams: dict[str, Stream] = {}
        self._fenced: frozenset[str] = frozenset()
        self._territory = Territory()
        self._documents: dict[FeedKind, Document] = {}
        self._now_ms = 0
        self._reviewed_ms = 0
        self._reviewed_sku = ""
        self._unwiped = False
        self._systems = systems or Systems()
        with transaction(connection):
            self._post = Post(connection, keyring, self._systems)
            self._vigil = Vigil(self._systems)
            self._remember(0)

    @property
    def edges(self) -> frozenset[str]:
        """All edges that have spoken or stand in a network."""
        return frozenset(self._lines)

    @property
    def systems(self) -> Systems:
        """Whom central drives, besides."""
        return self._systems

    def receive(self, burst: Iterable[Message], *, now_ms: int, elapsed_ms: int) -> list[Message]:
        """Take a burst of messages in, in one transaction; return what is to be sent.

        Args:
            burst: what the edges and the operator have published.
            now_ms: wall time, for stamps.
            elapsed_ms: time of a clock that only moves forward, for patience.
        """
        self._now_ms = self._post.now_ms = now_ms
        said, out = Burst(), list[Message]()
        for message in burst:
            try:
                self._sort(message, said, out, elapsed_ms)
            except PointsmanError as error:
                # A contact's payload is never logged, and neither is anybody else's.
                _log.warning(
                    "message_refused", topic=message.topic[:200], code=error.code,
                    place=error.place, bytes=len(message.payload),
                )  # fmt: skip
                out += self._post.reject(message, error)
        if said.anything():
            out += self._record(said, elapsed_ms)
        return out

    def ingest(self, edge_id: str, batch: list[bytes], *, now_ms: int) -> Ack | None:
        """Take one batch in, apart from any wire. None: nothing was made durable."""
        message = Message(topics.up(edge_id, topics.LOG), encode_batch(batch))
        for answer in self.receive([message], now_ms=now_ms, elapsed_ms=0):
            if answer.topic == topics.down(edge_id, topics.ACK):
                return decode_frame(answer.payload, Ack)
        return None

    def connected(self, elapsed_ms: int) -> list[Message]:
        """The wire is there, again: what was under way is sent anew."""
        for line in self._lines.values():
            line.window.go_back()
        self._post.start_over()
        self._vigil.start_over()
        return self._pump(self._lines, elapsed_ms) + self._post.send(elapsed_ms)

    def tick(self, elapsed_ms: int, now_ms: int | None = None) -> list[Message]:
        """To be called about every half second.

        Feeds that are stuck go back; now and then what waits for stock is looked at again, what
        is new in the ledger is signed, and answers that stay out are noted.

        Args:
            elapsed_ms: see `receive`.
            now_ms: see `receive`; None: what was said last.
        """
        self._now_ms = self._post.now_ms = self._now_ms if now_ms is None else now_ms
        if self._signing is not None:
            self._signing.tick(elapsed_ms, self._now_ms)
        stuck = [x for x, line in self._lines.items() if line.window.go_back_if_stuck(elapsed_ms)]
        out = []
        self._wipe()
        if elapsed_ms - self._reviewed_ms >= REVIEW_MS:
            self._reviewed_ms = elapsed_ms
            out = self._review(elapsed_ms)
        self._watch(elapsed_ms)
        return out + self._pump(stuck, elapsed_ms) + self._post.send(elapsed_ms)

    def _sort(self, message: Message, said: Burst, out: list[Message], elapsed_ms: int) -> None:
        device, kind = topics.parse_up(message.topic)
        if len(message.payload) > BATCH_BYTES_MAX and kind not in admin.DOCUMENTS:
            raise PayloadTooLargeError(f"{len(message.payload)} bytes", place=kind)
        if device in self._systems.by_name:
            said.reports.append(answers.read(device, kind, message.payload))
        elif device == ADMIN and kind in admin.REQUESTS:
            out += self._administer(kind, message.payload, elapsed_ms)
        elif device in topics.RESERVED:
            raise TopicMismatchError(f"{device!r} is central's own name", place="topic")
        elif kind == topics.HELLO:
            said.hellos.append((device, decode_frame(message.payload, Hello)))
        elif kind == topics.LOG:
            raws = split_batch(message.payload)
            said.logs.append((device, [without_contacts(raw) for raw in raws]))
        elif kind == topics.ASK:
            said.asks.append((device, decode_frame(message.payload, Ask)))
        elif kind == topics.CONTACTS:
            said.contacts.append((device, decode_frame(message.payload, list[ContactFor])))
        else:
            raise UnknownTypeError(f"{kind[:100]!r} is nothing that an edge says", place="topic")

    # What edges say.

    def _record(self, said: Burst, elapsed_ms: int) -> list[Message]:
        for edge_id, _ in (*said.logs, *said.asks):
            if edge_id in self._lines:
                self._lines[edge_id].hear(elapsed_ms, self._now_ms)
        try:
            outcome = self._turn(
                elapsed_ms, lambda turn, unfit: ingest.record(turn, said, unfit, self._past_orders)
            )
        except StorageError as error:
            _log.error("burst_not_stored", detail=str(error))
            return []  # nothing is acknowledged; the edges send it again
        self._take_over(outcome, elapsed_ms)
        for edge_id, _, refused in outcome.greetings:
            if not refused:
                line = self._lines[edge_id]
                line.hear(elapsed_ms, self._now_ms)
                line.window.acknowledge(line.stream.feed_acked, elapsed_ms)
                line.window.go_back_if_stuck(elapsed_ms)
        out = self._answers(said, outcome) + self._post.after(said, outcome, elapsed_ms)
        return out + self._pump(outcome.streams, elapsed_ms, outcome.items)

    def _answers(self, said: Burst, outcome: Outcome) -> list[Message]:
        out = []
        acked: dict[str, tuple[str, Refusal]] = {}
        unheard = {x for x, why in outcome.refusals if isinstance(why, WrongEpochError)}
        for edge_id, _ in said.logs:
            stream = self._lines[edge_id].stream
            if edge_id not in unheard and not stream.closed:
                acked[edge_id] = (stream.boot or NO_BOOT, "")
        for edge_id, boot, refused in outcome.greetings:
            if refused:
                out.append(self._ack(edge_id, boot, refused))
            else:
                acked[edge_id] = (boot, "")
        out += [self._ack(edge_id, *acked[edge_id]) for edge_id in sorted(acked)]
        for edge_id, ask in said.asks:
            known = self._lines.get(edge_id)
            asked = Asked(id=ask.id, feed=0 if known is None else known.last)
            out.append(Message(topics.down(edge_id, topics.ASKED), encode_frame(asked)))
        for edge_id, received in said.contacts:
            ids = [x.order_id for x in received]
            for start in range(0, len(ids), BATCH_EVENTS_MAX):
                kept = ContactsAck(order_ids=ids[start : start + BATCH_EVENTS_MAX])
                out.append(Message(topics.down(edge_id, topics.CONTACTS), encode_frame(kept)))
        return out

    def _ack(self, edge_id: str, boot: str, refused: Refusal) -> Message:
        stream = self._lines[edge_id].stream
        ack = Ack(epoch=stream.epoch, sequence=stream.sequence, boot=boot, refusal=refused)
        return Message(topics.down(edge_id, topics.ACK), encode_frame(ack))

    # What an operator says.

    def _administer(self, kind: str, payload: bytes, elapsed_ms: int) -> list[Message]:
        outcome = Outcome()
        try:
            outcome, answer = self._turn(
                elapsed_ms, lambda turn, unfit: console.answer(turn, kind, payload, unfit)
            )
            if isinstance(answer, admin.Forgotten):
                self._unwiped = True
                answer = msgspec.structs.replace(answer, pending=not self._wipe())
        except PointsmanError as error:
            answer = admin.refusal(error)
        self._take_over(outcome, elapsed_ms)
        reply = Message(topics.down(ADMIN, kind), msgspec.json.encode(answer))
        return [reply, *self._pump(outcome.streams, elapsed_ms)]

    def _wipe(self) -> bool:
        """Nothing of a key that was destroyed may be left in the database's log."""
        if self._unwiped:
            self._unwiped = not wipe_log(self._connection)
        return not self._unwiped

    # What nobody says.

    def _review(self, elapsed_ms: int) -> list[Message]:
        try:
            outcome, self._reviewed_sku = self._turn(
                elapsed_ms, lambda turn, _: ingest.review(turn, self._reviewed_sku)
            )
        except StorageError as error:
            _log.error("review_not_stored", detail=str(error))
            return []
        if outcome is None:
            return []
        self._take_over(outcome, elapsed_ms)
        return self._pump(outcome.streams, elapsed_ms, outcome.items)

    def _watch(self, elapsed_ms: int) -> None:
        if not self._vigil.due(self._now_ms):
            return
        try:
            outcome = self._turn(elapsed_ms, lambda turn, x: self._vigil.look(turn, self._lines, x))
        except StorageError as error:
            _log.error("watch_not_stored", detail=str(error))
            return
        self._take_over(outcome, elapsed_ms)

    def _remember(self, elapsed_ms: int) -> None:
        """Read what is kept in memory of the database. Inside a transaction."""
        found = {stream.edge_id: stream for stream in streams.load_streams(self._connection)}
        self._hub = correspondence.load_head(self._connection, found.pop(topics.HUB, None))
        for stream in found.values():
            self._keep(stream, elapsed_ms)
        self._learn(console.documents_of(self._connection))
        self._post.remember()
        self._unsure = False

    def _turn(self, elapsed_ms: int, job: Callable[[Turn, Unfit], T]) -> T:
        """Do a job in one transaction.

        Raises:
            StorageError: the database could not do it; nothing of it is kept.
        """
        unfit: Unfit = {}
        while True:
            try:
                with transaction(self._connection) as connection:
                    if self._unsure:
                        self._remember(elapsed_ms)
                    memory = Memory(
                        self._streams, self._fenced, self._present(elapsed_ms), self._territory,
                        self._documents, self._hub, self._systems,
                    )  # fmt: skip
                    turn = Turn(connection, memory, self._policy, self._keyring, self._now_ms)
                    return job(turn, unfit)
            except StorageError:
                # A server that went while it committed may have done so or not.
                self._unsure = True
                raise
            except UnfitError as error:
                # Each round takes one event's effect out, so this ends.
                # As text: a traceback with its variables would show what was in the event.
                trace = "".join(traceback.format_exception(error.__cause__))
                _log.error("fault_at_event", entry=error.key, traceback=trace)
                unfit[error.key] = error.fault

    def _present(self, elapsed_ms: int) -> frozenset[str]:
        return frozenset(x for x, line in self._lines.items() if line.present(elapsed_ms))

    def _take_over(self, outcome: Outcome, elapsed_ms: int) -> None:
        """Remember what was made durable, and tell what is news."""
        news.tell(outcome)
        self._learn(outcome.documents)
        self._hub = outcome.hub or self._hub
        self._post.note(outcome)
        for stream in outcome.streams.values():
            self._keep(stream, elapsed_ms)

    def _learn(self, documents: Mapping[FeedKind, Document]) -> None:
        self._documents |= documents
        if "network" in documents:
            self._territory = territory_of(decode_bulk(documents["network"].body, Network))

    def _keep(self, stream: Stream, elapsed_ms: int) -> None:
        line = self._lines.get(stream.edge_id)
        if line is None:
            line = self._lines[stream.edge_id] = Line(stream, Window(stream.feed_acked))
        line.stream = self._streams[stream.edge_id] = stream
        if stream.feed_acked > line.window.acked:
            line.window.acknowledge(stream.feed_acked, elapsed_ms)
        if stream.fenced != (stream.edge_id in self._fenced):
            self._fenced = self._fenced ^ {stream.edge_id}

    def _pump(
        self, edge_ids: Iterable[str], elapsed_ms: int, fresh: Iterable[Item] = ()
    ) -> list[Message]:
        """What the feeds' windows let out; `fresh` items need not be read again."""
        out: list[Message] = []
        at_hand = {(x.edge_id, x.number): x for x in fresh}
        for edge_id in edge_ids:
            line = self._lines[edge_id]
            sent, through = line.window.sent, line.window.due(line.last)
            if not line.met or through <= sent:
                continue
            numbers = range(sent + 1, through + 1)
            items = [at_hand[edge_id, x] for x in numbers if (edge_id, x) in at_hand]
            if len(items) < len(numbers):
                try:
                    with transaction(self._connection) as connection:
                        items = streams.load_feed(connection, edge_id, sent, through)
                except StorageError as error:
                    _log.error("feed_not_read", edge_id=edge_id, detail=str(error))
                    continue
            assert [x.number for x in items] == list(numbers), (edge_id, numbers)
            line.window.mark_sent(through, elapsed_ms)
            out += [
                Message(topics.down(edge_id, feed_kind(x.number, x.kind)), x.body) for x in items
            ]
        return out
