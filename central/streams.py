"""Streams, feeds and networks in SQL."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import asdict
from sqlalchemy import Connection, bindparam, delete, select

from central.database import insert_all, upsert
from central.feed import Item
from central.stream import Stream
from central.tables import capacities, feed, networks, noted, streams
from shared.topics import HUB

_OF_EDGE = feed.c.edge_id == bindparam("of")
_FEED: Final = (
    select(feed)
    .where(_OF_EDGE, feed.c.number > bindparam("after"), feed.c.number <= bindparam("through"))
    .order_by(feed.c.number)
)
_END: Final = select(streams.c.sequence).where(streams.c.edge_id == bindparam("of"))
_FEED_ENDS: Final = select(streams.c.edge_id, streams.c.feed_next).where(streams.c.edge_id != HUB)
_PRUNE: Final = delete(feed).where(_OF_EDGE, feed.c.number <= bindparam("through"))


def load_streams(connection: Connection) -> list[Stream]:
    """All streams."""
    return [Stream(*row) for row in connection.execute(select(streams))]


def load_feed_ends(connection: Connection) -> dict[str, int]:
    """Edge id to the number of its next feed item."""
    return {row.edge_id: row.feed_next for row in connection.execute(_FEED_ENDS)}


def load_end(connection: Connection, edge_id: str) -> int:
    """Where a stream ends; 0 if there is none."""
    return connection.scalar(_END, {"of": edge_id}) or 0


def save_streams(connection: Connection, changed: Iterable[Stream]) -> None:
    """Write where streams and feeds stand."""
    upsert(connection, streams, [asdict(stream) for stream in changed])


def append_feed(connection: Connection, items: Iterable[Item]) -> None:
    """Write feed items; they are kept until the edge has applied them."""
    insert_all(connection, feed, [item._asdict() for item in items])


def prune_feed(connection: Connection, edge_id: str, number: int) -> None:
    """Forget what an edge has applied, through `number`."""
    connection.execute(_PRUNE, {"of": edge_id, "through": number})


def load_feed(connection: Connection, edge_id: str, after: int, through: int) -> list[Item]:
    """Feed items of an edge, in order."""
    between = {"of": edge_id, "after": after, "through": through}
    return [Item(*row) for row in connection.execute(_FEED, between)]


def is_noted(connection: Connection, edge_id: str, boots: Iterable[str], code: str) -> bool:
    """Whether something was noted about one of these starts of an edge."""
    query = select(noted.c.boot).where(
        noted.c.edge_id == edge_id, noted.c.code == code, noted.c.boot.in_(list(boots))
    )
    return connection.execute(query).first() is not None


def save_noted(connection: Connection, edge_id: str, boot: str, code: str) -> None:
    """Remember that it was noted."""
    insert_all(connection, noted, [{"edge_id": edge_id, "boot": boot, "code": code}])


def forget_noted(connection: Connection, edge_id: str, code: str) -> None:
    """Forget it, for all starts of an edge."""
    connection.execute(delete(noted).where(noted.c.edge_id == edge_id, noted.c.code == code))


def latest_network(connection: Connection) -> bytes | None:
    """The document of the latest network, as it was published."""
    query = select(networks.c.document).order_by(networks.c.version.desc()).limit(1)
    return connection.scalar(query)


def save_capacity(connection: Connection, event_id: str, ends_ms: int, raw: bytes) -> None:
    """Keep an announcement of pick capacity until its last slot is over."""
    upsert(connection, capacities, [{"event_id": event_id, "ends_ms": ends_ms, "raw": raw}])


def load_capacities(connection: Connection, now_ms: int) -> list[bytes]:
    """Announcements that are not over, in the order of their events; the others are forgotten."""
    connection.execute(delete(capacities).where(capacities.c.ends_ms <= now_ms))
    query = select(capacities.c.raw).order_by(capacities.c.ends_ms, capacities.c.event_id)
    return list(connection.scalars(query))


def save_network(connection: Connection, version: int, document: bytes) -> None:
    """Keep a network document."""
    insert_all(connection, networks, [{"version": version, "document": document}])
