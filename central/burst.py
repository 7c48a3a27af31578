"""What a burst says, what central remembers, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from central.answers import Reply, Report
from central.desk import Misfit
from central.feed import Document, Item
from central.hub_stream import Head
from central.redaction import without_contacts
from central.stream import Ahead, Entry, Stream, read_ahead
from central.systems import Systems
from central.territory import Territory
from shared import topics
from shared.envelope import split_batch
from shared.errors import InternalError, PointsmanError, UnknownTypeError
from shared.frames import Ask, ContactFor, FeedKind, Hello, Refusal, decode_frame

Key = tuple[str, int, int]
"""Edge id, epoch, sequence."""


@dataclass(slots=True)
class Burst:
    """What a burst says, sorted by kind, in the order of arrival.

    Attributes:
        ahead: by index into `logs`, what was read before the turn began.
    """

    hellos: list[tuple[str, Hello]] = field(default_factory=list)
    logs: list[tuple[str, list[bytes]]] = field(default_factory=list)
    asks: list[tuple[str, Ask]] = field(default_factory=list)
    contacts: list[tuple[str, list[ContactFor]]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    ahead: dict[int, Ahead] = field(default_factory=dict)

    def read_ahead(self, streams: Mapping[str, Stream]) -> None:
        """Do what needs no database, while others may have the turn.

        Args:
            streams: as they stood last; nothing of this is used if they have moved since.
        """
        reached: dict[str, Stream] = {}
        for number, (edge_id, raws) in enumerate(self.logs):
            stream = reached.get(edge_id) or streams.get(edge_id)
            if stream is not None:
                self.ahead[number] = read_ahead(stream, raws)
                reached[edge_id] = self.ahead[number].after

    def add(self, edge_id: str, kind: str, payload: bytes) -> None:
        """Take in what an edge says.

        Raises:
            PointsmanError: it is nothing that an edge says, or not as it should be.
        """
        match kind:
            case topics.HELLO:
                self.hellos.append((edge_id, decode_frame(payload, Hello)))
            case topics.LOG:
                raws = split_batch(payload)
                self.logs.append((edge_id, [without_contacts(raw) for raw in raws]))
            case topics.ASK:
                self.asks.append((edge_id, decode_frame(payload, Ask)))
            case topics.CONTACTS:
                self.contacts.append((edge_id, decode_frame(payload, list[ContactFor])))
            case _:
                raise UnknownTypeError(
                    f"{kind[:100]!r} is nothing that an edge says", place="topic"
                )

    def anything(self) -> bool:
        """Whether anything was said."""
        return bool(self.hellos or self.logs or self.asks or self.contacts or self.reports)


@dataclass(frozen=True, slots=True)
class Memory:
    """What central remembers from one transaction to the next.

    Attributes:
        streams: of all edges; not to be changed.
        fenced: edges that have been fenced and not been heard since.
        present: edges that were heard lately.
        territory: of the latest network.
        documents: that network, and what else every edge has to have, by kind.
        hub: where central's own stream stands.
        systems: whom central drives.
    """

    streams: Mapping[str, Stream] = field(default_factory=dict)
    fenced: frozenset[str] = frozenset()
    present: frozenset[str] = frozenset()
    territory: Territory = field(default_factory=Territory)
    documents: Mapping[FeedKind, Document] = field(default_factory=dict)
    hub: Head = field(default_factory=Head)
    systems: Systems = field(default_factory=Systems)


@dataclass(slots=True)
class Outcome:
    """What was made durable.

    Attributes:
        streams: the streams and feeds that have moved, or whose edge has spoken.
        greetings: to each hello, in order: edge id, start, and why it was refused, if it was.
        refusals: by edge, why not all of what it sent was taken.
        misfits: exceptions that were noted, with their entries.
        poisoned: entries without effect.
        items: what was added to feeds, in order.
        documents: what every edge has to have from now on, by kind.
        entries: how many events of edges entered the ledger.
        hub: where central's own stream stands now, if it has moved.
        replies: what systems are told of what they have said.
        commanded: systems to the position of their newest command, for those that got one.
        closed: systems and ids of the commands that were answered.
    """

    streams: dict[str, Stream] = field(default_factory=dict)
    greetings: list[tuple[str, str, Refusal]] = field(default_factory=list)
    refusals: list[tuple[str, PointsmanError]] = field(default_factory=list)
    misfits: list[tuple[Entry | None, Misfit]] = field(default_factory=list)
    poisoned: list[Entry] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    documents: dict[FeedKind, Document] = field(default_factory=dict)
    entries: int = 0
    hub: Head | None = None
    replies: list[Reply] = field(default_factory=list)
    commanded: dict[str, int] = field(default_factory=dict)
    closed: list[tuple[str, str]] = field(default_factory=list)


class UnfitError(Exception):
    """A fault of ours met at one event. The burst is done again without its effect."""

    def __init__(self, key: Key, fault: InternalError) -> None:
        """See the class."""
        super().__init__(key, fault)
        self.key = key
        self.fault = fault
