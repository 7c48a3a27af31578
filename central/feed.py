"""The feed: what goes down to which edge, and how far it has come. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from central.relief import Grants
from central.stream import Stream
from central.territory import Territory
from shared.events import (
    CapacityAnnounced,
    Data,
    OrderCancelled,
    PickKept,
    PickRejected,
    PickRequested,
    PickShort,
    PickWithdrawn,
    StockExpected,
    StockMoved,
    StockReceived,
)
from shared.frames import FeedKind, Grant, Lots, Recall, encode_bulk
from shared.limits import GRANT_CELLS_MAX, LOTS_MAX, QUANTITY_MAX
from shared.lots import Lot, scope_of
from shared.network import Network
from shared.parts import CellUnits
from shared.prices import Prices
from shared.sourcing import Sourcing

WINDOW_ITEMS_MAX: Final = 32
"""Items under way to an edge beyond what it has applied."""

PATIENCE_MS: Final = 2_000
PATIENCE_MS_MAX: Final = 60_000

AWAY_MS: Final = 30_000
"""An edge that was silent for longer was away; of others it is expected that they do what they
are asked."""


class Item(NamedTuple):
    """An item of an edge's feed."""

    edge_id: str
    number: int
    kind: FeedKind
    body: bytes


class Document(NamedTuple):
    """What every edge has to have: which version, and the body of its feed item."""

    version: int | str
    body: bytes


def document_of(value: Network | Sourcing | Prices) -> Document:
    """What is published, as the feed carries it."""
    return Document(value.version, encode_bulk(value))


def destinations(
    edge_id: str, data: Data, territory: Territory, edges: Iterable[str]
) -> tuple[str, ...]:
    """Which edges must hear of an event that `edge_id` has reported.

    Args:
        edge_id: who has reported it.
        data: the event's.
        territory: of the latest network.
        edges: all edges that central knows of.
    """
    match data:
        case PickRequested(node_id=node_id):
            home = territory.home.get(node_id)
            return () if home is None or home == edge_id else (home,)
        case PickShort() | PickRejected() | PickWithdrawn() | PickKept():
            home = data.home_edge_id
            return () if home is None or home == edge_id else (home,)
        case OrderCancelled(asked=asked):
            homes = {territory.home.get(task.node_id) for task in asked} - {None, edge_id}
            return tuple(sorted(home for home in homes if home is not None))
        case CapacityAnnounced() | StockExpected() | StockMoved():
            return tuple(sorted(other for other in edges if other != edge_id))
        case StockReceived() if scope_of("", data) is not None:
            return tuple(sorted(other for other in edges if other != edge_id))
        case _:
            return ()


def cell_bodies(
    units_of: Grants, frame: type[Grant] | type[Recall]
) -> Iterable[tuple[str, list[CellUnits], bytes]]:
    """Edge ids with the cells of each frame and its bytes, in a fixed order."""
    for edge_id in sorted(units_of):
        cells = [
            CellUnits(node_id=cell[0], sku=cell[1], quantity=part)
            for cell, units in sorted(units_of[edge_id].items())
            for part in _parts(units)
        ]
        for start in range(0, len(cells), GRANT_CELLS_MAX):
            part = cells[start : start + GRANT_CELLS_MAX]
            yield edge_id, part, encode_bulk(frame(cells=part))


def lot_bodies(lots: list[Lot]) -> Iterable[bytes]:
    """Lots as frames of a feed."""
    for start in range(0, len(lots), LOTS_MAX):
        yield encode_bulk(Lots(lots=lots[start : start + LOTS_MAX]))


def _parts(units: int) -> Iterable[int]:
    whole, rest = divmod(units, QUANTITY_MAX)
    return [QUANTITY_MAX] * whole + [rest] * (rest > 0)


class Window:
    """How far an edge's feed was sent. Times are of any clock that only moves forward, in ms.

    Args:
        acked: the edge has applied the feed through here.
    """

    def __init__(self, acked: int) -> None:
        """See the class."""
        self.acked = acked
        self.sent = acked
        self._progress_ms = 0
        self._patience_ms = PATIENCE_MS

    def due(self, last: int) -> int:
        """The number through which items may be sent now, of a feed that ends at `last`."""
        return min(last, self.acked + WINDOW_ITEMS_MAX)

    def mark_sent(self, number: int, elapsed_ms: int) -> None:
        """Items through `number` are on their way."""
        if self.sent == self.acked:
            self._progress_ms = elapsed_ms  # nothing was under way: patience starts now
        self.sent = max(self.sent, number)

    def acknowledge(self, number: int, elapsed_ms: int) -> None:
        """The edge says that it has applied items through `number`."""
        self._patience_ms = PATIENCE_MS
        if number > self.acked:
            self.acked, self._progress_ms = number, elapsed_ms
            self.sent = max(self.sent, number)

    def go_back_if_stuck(self, elapsed_ms: int) -> bool:
        """Forget what was sent if the edge has made no progress for too long.

        Patience doubles each time, and is back where it was when the edge is heard.
        """
        if self.sent == self.acked or elapsed_ms - self._progress_ms < self._patience_ms:
            return False
        self.sent, self._progress_ms = self.acked, elapsed_ms
        self._patience_ms = min(self._patience_ms * 2, PATIENCE_MS_MAX)
        return True

    def go_back(self) -> None:
        """Forget what was sent: the connection to the broker was lost."""
        self.sent = self.acked


@dataclass(slots=True)
class Line:
    """The line to one edge.

    Attributes:
        stream: the edge's, as it was stored.
        window: of its feed.
        heard_ms: when it was heard, of a clock that only moves forward.
        back_ms: wall time since which it is there without a break.
    """

    stream: Stream
    window: Window
    heard_ms: int | None = None
    back_ms: int = 0

    @property
    def last(self) -> int:
        """The number of the feed's last item."""
        return self.stream.feed_next - 1

    @property
    def met(self) -> bool:
        """Whether anybody listens whom the feed is for."""
        return self.stream.epoch > 0 and not self.stream.fenced and not self.stream.closed

    def present(self, elapsed_ms: int) -> bool:
        """Whether the edge was heard lately."""
        return self.heard_ms is not None and elapsed_ms - self.heard_ms <= AWAY_MS

    def hear(self, elapsed_ms: int, now_ms: int) -> None:
        """The edge says something."""
        if not self.present(elapsed_ms):
            self.back_ms = now_ms
        self.heard_ms = elapsed_ms
