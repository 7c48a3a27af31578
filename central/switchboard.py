"""The lines to all edges: where their streams and feeds stand, and what may go down now."""

from collections.abc import Iterable

import structlog

from central import streams
from central.admin import Message
from central.burst import Burst, Outcome
from central.database import Database, transaction
from central.feed import Item, Line, Window
from central.stream import Stream, WrongEpochError
from shared import topics
from shared.errors import StorageError
from shared.frames import NO_BOOT, Ack, Asked, ContactsAck, Refusal, encode_frame, feed_kind
from shared.limits import BATCH_EVENTS_MAX

_log = structlog.get_logger("central")


class Switchboard:
    """Memory of what the database says of edges, and of what was sent to them.

    Attributes:
        lines: by edge id, of all edges that have spoken or stand in a network.
        streams: of the same, as they were stored; not to be changed.
        fenced: edges that have been fenced and not been heard since.

    Args:
        connection: central's.
    """

    def __init__(self, connection: Database) -> None:
        """See the class."""
        self._connection = connection
        self.lines: dict[str, Line] = {}
        self.streams: dict[str, Stream] = {}
        self.fenced: frozenset[str] = frozenset()

    def present(self, elapsed_ms: int) -> frozenset[str]:
        """Edges that were heard lately."""
        return frozenset(x for x, line in self.lines.items() if line.present(elapsed_ms))

    def hear(self, edge_id: str, elapsed_ms: int, now_ms: int) -> None:
        """An edge says something; of one that is unknown nothing is kept."""
        if edge_id in self.lines:
            self.lines[edge_id].hear(elapsed_ms, now_ms)

    def keep(self, stream: Stream, elapsed_ms: int) -> None:
        """Remember a stream as it was stored."""
        line = self.lines.get(stream.edge_id)
        if line is None:
            line = self.lines[stream.edge_id] = Line(stream, Window(stream.feed_acked))
        line.stream = self.streams[stream.edge_id] = stream
        if stream.feed_acked > line.window.acked:
            line.window.acknowledge(stream.feed_acked, elapsed_ms)
        if stream.fenced != (stream.edge_id in self.fenced):
            self.fenced = self.fenced ^ {stream.edge_id}

    def pump(
        self, edge_ids: Iterable[str], elapsed_ms: int, fresh: Iterable[Item] = ()
    ) -> list[Message]:
        """What the feeds' windows let out; `fresh` items need not be read again."""
        out: list[Message] = []
        at_hand = {(x.edge_id, x.number): x for x in fresh}
        for edge_id in edge_ids:
            line = self.lines[edge_id]
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
            if [x.number for x in items] != list(numbers):
                # Another worker has dropped some; where the feed stands is read within a second.
                _log.warning("feed_moved", edge_id=edge_id, after=sent, through=through)
                continue
            line.window.mark_sent(through, elapsed_ms)
            out += [
                Message(topics.down(edge_id, feed_kind(x.number, x.kind)), x.body) for x in items
            ]
        return out

    def answers(self, said: Burst, outcome: Outcome) -> list[Message]:
        """What edges are told of what they have said, now that it is durable."""
        out = []
        acked: dict[str, tuple[str, Refusal]] = {}
        unheard = {x for x, why in outcome.refusals if isinstance(why, WrongEpochError)}
        for edge_id, _ in said.logs:
            stream = self.lines[edge_id].stream
            if edge_id not in unheard and not stream.closed:
                acked[edge_id] = (stream.boot or NO_BOOT, "")
        for edge_id, boot, refused in outcome.greetings:
            if refused:
                out.append(self._ack(edge_id, boot, refused))
            else:
                acked[edge_id] = (boot, "")
        out += [self._ack(edge_id, *acked[edge_id]) for edge_id in sorted(acked)]
        for edge_id, ask in said.asks:
            known = self.lines.get(edge_id)
            asked = Asked(id=ask.id, feed=0 if known is None else known.last)
            out.append(Message(topics.down(edge_id, topics.ASKED), encode_frame(asked)))
        for edge_id, received in said.contacts:
            ids = [x.order_id for x in received]
            for start in range(0, len(ids), BATCH_EVENTS_MAX):
                kept = ContactsAck(order_ids=ids[start : start + BATCH_EVENTS_MAX])
                out.append(Message(topics.down(edge_id, topics.CONTACTS), encode_frame(kept)))
        return out

    def _ack(self, edge_id: str, boot: str, refused: Refusal) -> Message:
        stream = self.lines[edge_id].stream
        ack = Ack(epoch=stream.epoch, sequence=stream.sequence, boot=boot, refusal=refused)
        return Message(topics.down(edge_id, topics.ACK), encode_frame(ack))
