"""What the engine can be told."""

from dataclasses import dataclass

from shared.devices import DeviceReported
from shared.envelope import Event
from shared.errors import PointsmanError
from shared.events import Data
from shared.frames import Grant, Lots, Recall, Rejoin
from shared.network import Network
from shared.parts import Shortage
from shared.prices import Prices
from shared.sourcing import Sourcing

Document = Network | Sourcing | Prices
Past = list[tuple[Event, Data]]
FeedItem = Document | Grant | Recall | Lots | Rejoin | Past | tuple[Event, Data]
"""`Past` is a part of what a restored edge has lost: its own past."""


@dataclass(frozen=True, slots=True)
class FromDevice:
    """An event that a device published: its source and type fit its topic."""

    device: str
    event: Event
    data: Data
    patient: bool = False
    """A payment may wait for units: raise `LackError` instead of parking for want of a share."""


class LackError(Exception):
    """Shares lack units that central may have. Ask, and decide again; nothing has changed."""

    def __init__(self, lines: list[Shortage]) -> None:
        """See the class."""
        super().__init__(lines)
        self.lines = lines


@dataclass(frozen=True, slots=True)
class FromFeed:
    """The next item of central's feed to this edge; an error if it could not be read."""

    number: int
    item: FeedItem | PointsmanError


@dataclass(frozen=True, slots=True)
class FromPeer:
    """A task that another edge sent by the fast way."""

    event: Event
    data: Data


@dataclass(frozen=True, slots=True)
class RetryParked:
    """Try the parked lines of an order again."""

    order_id: str


@dataclass(frozen=True, slots=True)
class StopSelling:
    """Central, or the edge's own memory outside the store, knows more than the store."""

    reason: str


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What one of this edge's orders has to hear of a task, of which the log knows already."""

    event: Event
    told: Data


@dataclass(frozen=True, slots=True)
class TellHealth:
    """What the log is to say of devices, each with the id of its cause; and rows of the store.

    A row is a device and what is kept of it; None: nothing any more.
    """

    reports: list[tuple[str, DeviceReported]]
    rows: list[tuple[str, str | None]]


Command = FromDevice | FromFeed | FromPeer | RetryParked | FollowUp | StopSelling | TellHealth
