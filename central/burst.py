"""What a burst says, what central remembers, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from central.desk import Misfit
from central.feed import Document, Item
from central.stream import Entry, Stream
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

    def anything(self) -> bool:
        """Whether anything was said."""
        return bool(self.hellos or self.logs or self.asks or self.contacts)


@dataclass(frozen=True, slots=True)
class Memory:
    """What central remembers from one transaction to the next.

    Attributes:
        streams: of all edges; not to be changed.
        fenced: edges that have been fenced and not been heard since.
        present: edges that were heard lately.
        territory: of the latest network.
        documents: that network, and what else every edge has to have, by kind.
    """

    streams: Mapping[str, Stream] = field(default_factory=dict)
    fenced: frozenset[str] = frozenset()
    present: frozenset[str] = frozenset()
    territory: Territory = field(default_factory=Territory)
    documents: Mapping[FeedKind, Document] = field(default_factory=dict)


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
        entries: how many events entered the ledger.
    """

    streams: dict[str, Stream] = field(default_factory=dict)
    greetings: list[tuple[str, str, Refusal]] = field(default_factory=list)
    refusals: list[tuple[str, PointsmanError]] = field(default_factory=list)
    misfits: list[tuple[Entry | None, Misfit]] = field(default_factory=list)
    poisoned: list[Entry] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    documents: dict[FeedKind, Document] = field(default_factory=dict)
    entries: int = 0


class UnfitError(Exception):
    """A fault of ours met at one event. The burst is done again without its effect."""

    def __init__(self, key: Key, fault: InternalError) -> None:
        """See the class."""
        super().__init__(key, fault)
        self.key = key
        self.fault = fault
