"""What a burst says, what central remembers, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from central.answers import Reply, Report
from central.desk import Misfit
from central.feed import Document, Item
from central.hub_stream import Head
from central.stream import Entry, Stream
from central.systems import Systems
from central.territory import Territory
from shared.errors import InternalError, PointsmanError
from shared.frames import Ask, ContactFor, FeedKind, Hello, Refusal

Key = tuple[str, int, int]
"""Edge id, epoch, sequence."""


@dataclass(slots=True)
class Burst:
    """What a burst says, sorted by kind, in the order of arrival."""

    hellos: list[tuple[str, Hello]] = field(default_factory=list)
    logs: list[tuple[str, list[bytes]]] = field(default_factory=list)
    asks: list[tuple[str, Ask]] = field(default_factory=list)
    contacts: list[tuple[str, list[ContactFor]]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

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
