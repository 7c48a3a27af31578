"""Central's conversation with the edges, without a wire: messages in, messages out.

Driven by `central.link` over MQTT, and by tests and the simulator directly. What goes out was
made durable before.
"""

import contextlib
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec
import structlog

from central import admin, answers, console, correspondence, ingest, news, published, streams
from central.admin import ADMIN, Message
from central.burst import Burst, Memory, Outcome, UnfitError
from central.database import Database, transaction, wipe_log
from central.escrow import Policy
from central.feed import Document, Item
from central.hub_stream import Head
from central.ingest import Unfit
from central.ownership import Ownership, Sole
from central.post import Post
from central.sealing import Keyring
from central.signing import Signing
from central.switchboard import Switchboard
from central.systems import Systems
from central.territory import Territory, territory_of
from central.turn import Turn
from central.vigil import Vigil
from shared import topics
from shared.envelope import encode_batch
from shared.errors import PayloadTooLargeError, PointsmanError, StorageError, TopicMismatchError
from shared.frames import Ack, FeedKind, decode_bulk, decode_frame
from shared.limits import BATCH_BYTES_MAX
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
        ownership: which part of all this is this central's; by default everything.
        wiped: False: what was destroyed may still be in the database's log.
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
        ownership: Ownership | None = None,
        wiped: bool = True,
    ) -> None:
        """See the class."""
        self._connection = connection
        self._policy = policy
        self._keyring = keyring
        self._past_orders = past_orders
        self._signing = signing
        self._ownership: Ownership = ownership or Sole()
        self._switchboard = Switchboard(connection)
        self._lines = self._switchboard.lines
        self._territory = Territory()
        self._documents: dict[FeedKind, Document] = {}
        self._hub = Head()
        self._editions: published.Editions | None = None
        self._now_ms = 0
        self._reviewed_ms = 0
        self._reviewed_sku = ""
        self._unwiped = not wiped
        self._unsure = True
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
        out = self._divide(elapsed_ms)
        return out + self._pump(self._lines, elapsed_ms) + self._send(elapsed_ms)

    def tick(self, elapsed_ms: int, now_ms: int | None = None) -> list[Message]:
        """To be called about every half second.

        Feeds that are stuck go back; now and then what waits for stock is looked at again, what
        is new in the ledger is signed, and answers that stay out are noted.

        Args:
            elapsed_ms: see `receive`.
            now_ms: see `receive`; None: what was said last.
        """
        self._now_ms = self._post.now_ms = self._now_ms if now_ms is None else now_ms
        out = self._divide(elapsed_ms)
        stuck = [
            x for x, line in self._lines.items()
            if self._ownership.owns(x) and line.window.go_back_if_stuck(elapsed_ms)
        ]  # fmt: skip
        if self._ownership.leads:
            if self._signing is not None:
                self._signing.tick(elapsed_ms, self._now_ms)
            self._wipe()
            if elapsed_ms - self._reviewed_ms >= REVIEW_MS:
                self._reviewed_ms = elapsed_ms
                out += self._review(elapsed_ms)
            self._watch(elapsed_ms)
        return out + self._pump(stuck, elapsed_ms) + self._send(elapsed_ms)

    def catch_up(self, elapsed_ms: int) -> list[Message]:
        """What others who write to the database have left for this one to send.

        To be called some fifty times a second: a payment may wait for units that a report to
        another worker has set free. Without others there is nothing to ask for.
        """
        if not self._ownership.crowded:
            return []
        try:
            with transaction(self._connection) as connection:
                ends = streams.load_feed_ends(connection)
                behind = any(
                    self._ownership.owns(x) and line.stream.feed_next != ends.get(x)
                    for x, line in self._lines.items()
                )
                if behind or streams.load_end(connection, topics.HUB) != self._hub.sequence:
                    self._remember(elapsed_ms)
        except StorageError as error:
            _log.error("feeds_not_read", detail=str(error))
            return []
        # All: what another has written may have been read in a turn that was about other edges.
        return self._pump(self._lines, elapsed_ms) + self._send(elapsed_ms)

    def disconnected(self) -> None:
        """The wire is gone: others are to serve what this one served."""
        with contextlib.suppress(StorageError), transaction(self._connection) as connection:
            self._ownership.resign(connection)

    def _divide(self, elapsed_ms: int) -> list[Message]:
        """See who is there to share the edges; returns what is due to those taken."""
        if not self._ownership.due(elapsed_ms):
            return []
        led = self._ownership.leads
        try:
            with transaction(self._connection) as connection:
                self._remember(elapsed_ms)
                taken = self._ownership.divide(connection, self._lines)
        except StorageError as error:
            _log.error("edges_not_divided", detail=str(error))
            return []
        for edge_id in taken:
            self._lines[edge_id].window.go_back()
        if self._ownership.leads and not led:
            self._unwiped = True  # Who led before may have left it to us.
            self._post.start_over()
            self._vigil.start_over()
        if taken or self._ownership.leads != led:
            _log.info("edges_taken", edges=taken, leads=self._ownership.leads)
        return self._pump(taken, elapsed_ms)

    def _serves(self, device: str, kind: str, elapsed_ms: int) -> bool:
        """Whether a message is for this one of the centrals that hear it."""
        ours = device in topics.RESERVED or device in self._systems.by_name
        if ours or kind == topics.CONTACTS:
            return self._ownership.leads
        if self._ownership.owns(device) or (device not in self._lines and self._claim(device)):
            return True
        self._switchboard.hear(device, elapsed_ms, self._now_ms)
        return False

    def _claim(self, edge_id: str) -> bool:
        try:
            with transaction(self._connection) as connection:
                return self._ownership.claim(connection, edge_id)
        except StorageError as error:
            _log.error("edge_not_taken", edge_id=edge_id, detail=str(error))
            return False

    def _pump(
        self, edge_ids: Iterable[str], elapsed_ms: int, fresh: Iterable[Item] = ()
    ) -> list[Message]:
        mine = [x for x in edge_ids if self._ownership.owns(x)]
        return self._switchboard.pump(mine, elapsed_ms, fresh)

    def _send(self, elapsed_ms: int) -> list[Message]:
        return self._post.send(elapsed_ms) if self._ownership.leads else []

    def _sort(self, message: Message, said: Burst, out: list[Message], elapsed_ms: int) -> None:
        device, kind = topics.parse_up(message.topic)
        if not self._serves(device, kind, elapsed_ms):
            return
        if len(message.payload) > BATCH_BYTES_MAX and kind not in admin.DOCUMENTS:
            raise PayloadTooLargeError(f"{len(message.payload)} bytes", place=kind)
        if device in self._systems.by_name:
            said.reports.append(answers.read(device, kind, message.payload))
        elif device == ADMIN and kind in admin.REQUESTS:
            out += self._administer(kind, message.payload, elapsed_ms)
        elif device in topics.RESERVED:
            raise TopicMismatchError(f"{device!r} is central's own name", place="topic")
        else:
            said.add(device, kind, message.payload)

    # What edges say.

    def _record(self, said: Burst, elapsed_ms: int) -> list[Message]:
        for edge_id, _ in (*said.logs, *said.asks):
            self._switchboard.hear(edge_id, elapsed_ms, self._now_ms)
        if self._ownership.crowded:
            said.read_ahead(self._switchboard.streams)
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
        out = self._switchboard.answers(said, outcome) + self._post.after(said, outcome)
        return out + self._send(elapsed_ms) + self._pump(outcome.streams, elapsed_ms, outcome.items)

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
            if not self._ownership.leads:
                return []  # Another leads since the connection was lost, and answers.
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
        hub = correspondence.load_head(self._connection, found.pop(topics.HUB, None))
        for stream in found.values():
            self._switchboard.keep(stream, elapsed_ms)
        editions = published.load_editions(self._connection)
        if editions != self._editions:
            self._learn(console.documents_of(self._connection))
            self._editions = editions
        if hub != self._hub or self._unsure:
            self._post.remember()
        self._hub, self._unsure = hub, False

    def _turn(self, elapsed_ms: int, job: Callable[[Turn, Unfit], T]) -> T:
        """Do a job in one transaction.

        Raises:
            StorageError: the database could not do it; nothing of it is kept.
        """
        unfit: Unfit = {}
        while True:
            try:
                with transaction(self._connection) as connection:
                    if self._ownership.begin(connection) or self._unsure:
                        self._remember(elapsed_ms)
                    memory = Memory(
                        self._switchboard.streams, self._switchboard.fenced,
                        self._switchboard.present(elapsed_ms), self._territory, self._documents,
                        self._hub, self._systems,
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

    def _take_over(self, outcome: Outcome, elapsed_ms: int) -> None:
        """Remember what was made durable, and tell what is news."""
        news.tell(outcome)
        self._learn(outcome.documents)
        self._hub = outcome.hub or self._hub
        self._post.note(outcome)
        for stream in outcome.streams.values():
            self._switchboard.keep(stream, elapsed_ms)

    def _learn(self, documents: Mapping[FeedKind, Document]) -> None:
        self._documents |= documents
        if "network" in documents:
            self._territory = territory_of(decode_bulk(documents["network"].body, Network))
