"""What a burst says, and what became of it."""

from dataclasses import dataclass, field

from central.desk import Misfit
from central.stream import Entry, Stream
from central.territory import Territory
from shared.errors import InternalError, PointsmanError
from shared.frames import ContactFor, Hello

Key = tuple[str, int, int]
"""Edge id, epoch, sequence."""


@dataclass(slots=True)
class Burst:
    """What a burst says, sorted by kind, in the order of arrival."""

    hellos: list[tuple[str, Hello]] = field(default_factory=list)
    logs: list[tuple[str, list[bytes]]] = field(default_factory=list)
    contacts: list[tuple[str, list[ContactFor]]] = field(default_factory=list)

    def edges(self) -> set[str]:
        """Who speaks, apart from those who only send contacts."""
        return {edge_id for edge_id, _ in (*self.hellos, *self.logs)}


@dataclass(frozen=True, slots=True)
class Known:
    """What central keeps in memory of the latest network.

    Attributes:
        body: the network as the feed carries it; None before the first one.
    """

    territory: Territory = field(default_factory=Territory)
    body: bytes | None = None


@dataclass(slots=True)
class Outcome:
    """What was made durable.

    Attributes:
        streams: the streams and feeds that have moved, or whose edge has spoken.
        refusals: by edge, why not all of what it sent was taken.
        misfits: exceptions that were noted, with their entries.
        poisoned: entries without effect.
        entries: how many events entered the ledger.
    """

    streams: dict[str, Stream] = field(default_factory=dict)
    refusals: list[tuple[str, PointsmanError]] = field(default_factory=list)
    misfits: list[tuple[Entry | None, Misfit]] = field(default_factory=list)
    poisoned: list[Entry] = field(default_factory=list)
    entries: int = 0


class UnfitError(Exception):
    """A fault of ours met at one event. The burst is done again without its effect."""

    def __init__(self, key: Key, fault: InternalError) -> None:
        """See the class."""
        super().__init__(key, fault)
        self.key = key
        self.fault = fault
