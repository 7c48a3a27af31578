"""Central's conversation with the edges, without a wire: messages in, messages out.

Driven by `central.link` over MQTT, and by tests and the simulator directly. What goes out was
made durable before.
"""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import structlog

from central import streams
from central.burst import Burst, Key, Known, Outcome, UnfitError
from central.database import Database, transaction
from central.escrow import Policy
from central.feed import Window
from central.ingest import Ingest
from central.stream import Stream, WrongEpochError
from central.territory import territory_of
from shared import topics
from shared.envelope import encode_batch, split_batch
from shared.errors import (
    GapError,
    InternalError,
    PayloadTooLargeError,
    PointsmanError,
    StorageError,
    UnknownTypeError,
)
from shared.frames import (
    Ack,
    ContactFor,
    ContactsAck,
    Hello,
    decode_frame,
    encode_bulk,
    encode_frame,
    feed_kind,
)
from shared.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from shared.network import parse_network

ADMIN: Final = "admin"
"""The device name under which an operator speaks to central."""

NETWORK: Final = "network"

_log = structlog.get_logger("central")


class Message(NamedTuple):
    """A topic and what is on it."""

    topic: str
    payload: bytes


class Published(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer to a network document: its version, or the error."""

    version: int | None = None
    code: str = ""
    detail: str = ""
    place: str = ""
    expected: str = ""


@dataclass(slots=True)
class _Line:
    """The feed to one edge: its window, where it ends, and whether anybody listens."""

    window: Window
    last: int
    met: bool


class Central:
    """The core: ingest, escrow and feed over one database connection.

    Args:
        connection: of `central.tables.open_database`; used by nobody else.
        policy: the escrow's.
    """

    def __init__(self, connection: Database, policy: Policy) -> None:
        """See the class."""
        self._connection = connection
        self._policy = policy
        self._lines: dict[str, _Line] = {}
        self._known = Known()
        self._boots: dict[str, str] = {}
        with transaction(connection):
            document = streams.latest_network(connection)
            for stream in streams.load_streams(connection):
                self._keep(stream, 0)
        self._learn(document)

    @property
    def edges(self) -> frozenset[str]:
        """All edges that have spoken or stand in a network."""
        return frozenset(self._lines)

    def receive(self, burst: Iterable[Message], *, now_ms: int, elapsed_ms: int) -> list[Message]:
        """Take a burst of messages in, in one transaction; return what is to be sent.

        Args:
            burst: what the edges and the operator have published.
            now_ms: wall time, for stamps.
            elapsed_ms: time of a clock that only moves forward, for patience.
        """
        said = Burst()
        out: list[Message] = []
        for message in burst:
            try:
                self._sort(message, said, out, now_ms, elapsed_ms)
            except PointsmanError as error:
                # A contact's payload is never logged, and neither is anybody else's.
                _log.warning(
                    "message_refused", topic=message.topic[:200], code=error.code,
                    place=error.place, bytes=len(message.payload),
                )  # fmt: skip
        if said.hellos or said.logs or said.contacts:
            out += self._record(said, now_ms, elapsed_ms)
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
        return self._pump(self._lines, elapsed_ms)

    def tick(self, elapsed_ms: int) -> list[Message]:
        """To be called about every half second: feeds that are stuck go back."""
        stuck = [x for x, line in self._lines.items() if line.window.go_back_if_stuck(elapsed_ms)]
        return self._pump(stuck, elapsed_ms)

    def _sort(
        self, message: Message, said: Burst, out: list[Message], now_ms: int, elapsed_ms: int
    ) -> None:
        device, kind = topics.parse_up(message.topic)
        if len(message.payload) > BATCH_BYTES_MAX and kind != NETWORK:
            raise PayloadTooLargeError(f"{len(message.payload)} bytes", place=kind)
        if (device, kind) == (ADMIN, NETWORK):
            out += self._publish(message.payload, now_ms, elapsed_ms)
        elif kind == topics.HELLO:
            said.hellos.append((device, decode_frame(message.payload, Hello)))
        elif kind == topics.LOG:
            said.logs.append((device, split_batch(message.payload)))
        elif kind == topics.CONTACTS:
            said.contacts.append((device, decode_frame(message.payload, list[ContactFor])))
        else:
            raise UnknownTypeError(f"{kind[:100]!r} is nothing that an edge says", place="topic")

    def _record(self, said: Burst, now_ms: int, elapsed_ms: int) -> list[Message]:
        outcome = self._store(said, now_ms)
        if outcome is None:
            return []  # nothing is acknowledged; the edges send it again
        self._tell(outcome)
        for stream in outcome.streams.values():
            self._keep(stream, elapsed_ms)
        for edge_id, hello in said.hellos:
            self._boots[edge_id] = hello.boots[-1]
            window = self._lines[edge_id].window
            window.acknowledge(outcome.streams[edge_id].feed_acked, elapsed_ms)
            window.go_back_if_stuck(elapsed_ms)
        out = self._acks(said, outcome)
        return out + self._pump(outcome.streams, elapsed_ms)

    def _store(self, said: Burst, now_ms: int) -> Outcome | None:
        unfit: dict[Key, InternalError] = {}
        while True:
            try:
                with transaction(self._connection) as connection:
                    return self._ingest(connection, now_ms).record(said, unfit)
            except UnfitError as error:
                # Each round takes one event's effect out, so this ends.
                # As text: a traceback with its variables would show what was in the event.
                trace = "".join(traceback.format_exception(error.__cause__))
                _log.error("fault_at_event", entry=error.key, traceback=trace)
                unfit[error.key] = error.fault
            except StorageError as error:
                _log.error("burst_not_stored", detail=str(error))
                return None

    def _ingest(self, connection: Database, now_ms: int) -> Ingest:
        return Ingest(connection, self._known, self._lines, self._policy, now_ms)

    def _acks(self, said: Burst, outcome: Outcome) -> list[Message]:
        unheard = {x for x, why in outcome.refusals if isinstance(why, WrongEpochError)}
        out = []
        for edge_id in sorted(said.edges() - unheard):
            stream = outcome.streams[edge_id]
            if stream.epoch:
                boot = self._boots.get(edge_id, "0" * 16)
                ack = Ack(epoch=stream.epoch, sequence=stream.sequence, boot=boot)
                out.append(Message(topics.down(edge_id, topics.ACK), encode_frame(ack)))
        for edge_id, received in said.contacts:
            ids = [x.order_id for x in received]
            for start in range(0, len(ids), BATCH_EVENTS_MAX):
                kept = ContactsAck(order_ids=ids[start : start + BATCH_EVENTS_MAX])
                out.append(Message(topics.down(edge_id, topics.CONTACTS), encode_frame(kept)))
        return out

    def _publish(self, document: bytes, now_ms: int, elapsed_ms: int) -> list[Message]:
        outcome = Outcome()
        try:
            network = parse_network(document)
            with transaction(self._connection) as connection:
                outcome = self._ingest(connection, now_ms).publish(network, document)
            answer = Published(version=network.version)
        except PointsmanError as error:
            answer = _refusal(error)
        if outcome.streams:
            self._tell(outcome)
            for stream in outcome.streams.values():
                self._keep(stream, elapsed_ms)
            self._learn(document)
            _log.info("network_published", version=answer.version, edges=len(self._lines))
        reply = Message(topics.down(ADMIN, NETWORK), msgspec.json.encode(answer))
        return [reply, *self._pump(outcome.streams, elapsed_ms)]

    def _learn(self, document: bytes | None) -> None:
        if document is not None:
            network = parse_network(document)
            self._known = Known(territory_of(network), encode_bulk(network))

    def _keep(self, stream: Stream, elapsed_ms: int) -> None:
        line = self._lines.get(stream.edge_id)
        if line is None:
            line = self._lines[stream.edge_id] = _Line(Window(stream.feed_acked), 0, met=False)
        if stream.feed_acked > line.window.acked:
            line.window.acknowledge(stream.feed_acked, elapsed_ms)
        line.last, line.met = stream.feed_next - 1, stream.epoch > 0

    def _pump(self, edge_ids: Iterable[str], elapsed_ms: int) -> list[Message]:
        out: list[Message] = []
        for edge_id in edge_ids:
            line = self._lines[edge_id]
            through = line.window.due(line.last)
            if not line.met or through <= line.window.sent:
                continue
            try:
                with transaction(self._connection) as connection:
                    items = streams.load_feed(connection, edge_id, line.window.sent, through)
            except StorageError as error:
                _log.error("feed_not_read", edge_id=edge_id, detail=str(error))
                continue
            assert [x.number for x in items] == list(range(line.window.sent + 1, through + 1))
            line.window.mark_sent(through, elapsed_ms)
            out += [
                Message(topics.down(edge_id, feed_kind(x.number, x.kind)), x.body) for x in items
            ]
        return out

    def _tell(self, outcome: Outcome) -> None:
        for edge_id, refusal in outcome.refusals:
            # A gap is how go-back-N works on a lossy line; everything else is news.
            tell = _log.info if isinstance(refusal, GapError) else _log.error
            tell("log_refused", edge_id=edge_id, code=refusal.code, detail=str(refusal))
        for entry in outcome.poisoned:
            _log.error("event_poisoned", entry=entry.key, detail=str(entry.fault))
        for noted, misfit in outcome.misfits:
            _log.warning(
                "exception", code=misfit.code, detail=misfit.detail, order_id=misfit.order_id,
                entry=None if noted is None else noted.key,
            )  # fmt: skip


def _refusal(error: PointsmanError) -> Published:
    return Published(
        code=error.code, detail=error.detail, place=error.place, expected=error.expected
    )
