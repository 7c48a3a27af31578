"""What the engine can be told."""

from dataclasses import dataclass

from shared.envelope import Event
from shared.errors import PointsmanError
from shared.events import Data
from shared.frames import Grant
from shared.network import Network

FeedItem = Network | Grant | tuple[Event, Data]


@dataclass(frozen=True, slots=True)
class FromDevice:
    """An event that a device published: its source and type fit its topic."""

    device: str
    event: Event
    data: Data


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


Command = FromDevice | FromFeed | FromPeer | RetryParked
