"""Streams, feeds, networks and contacts in SQL."""

from collections.abc import Iterable

from msgspec.structs import asdict
from sqlalchemy import Connection, delete, select

from central.database import chunks, insert_all, upsert
from central.feed import Item
from central.stream import Stream
from central.tables import contacts, feed, networks, streams
from shared.frames import ContactFor, encode_frame


def load_streams(connection: Connection, edge_ids: Iterable[str] | None = None) -> list[Stream]:
    """The streams of these edges that are known, or of all."""
    if edge_ids is None:
        rows = list(connection.execute(select(streams)).mappings())
    else:
        rows = [
            row
            for part in chunks(sorted(edge_ids))
            for row in connection.execute(
                select(streams).where(streams.c.edge_id.in_(part))
            ).mappings()
        ]
    return [Stream(**row) for row in rows]


def save_streams(connection: Connection, changed: Iterable[Stream]) -> None:
    """Write where streams and feeds stand."""
    upsert(connection, streams, [asdict(stream) for stream in changed])


def append_feed(connection: Connection, items: Iterable[Item]) -> None:
    """Write feed items; they are kept until the edge has applied them."""
    insert_all(connection, feed, [item._asdict() for item in items])


def prune_feed(connection: Connection, edge_id: str, number: int) -> None:
    """Forget what an edge has applied, through `number`."""
    connection.execute(delete(feed).where(feed.c.edge_id == edge_id, feed.c.number <= number))


def load_feed(connection: Connection, edge_id: str, after: int, through: int) -> list[Item]:
    """Feed items of an edge, in order."""
    query = (
        select(feed.c.edge_id, feed.c.number, feed.c.kind, feed.c.body)
        .where(feed.c.edge_id == edge_id, feed.c.number > after, feed.c.number <= through)
        .order_by(feed.c.number)
    )
    return [Item(*row) for row in connection.execute(query)]


def latest_network(connection: Connection) -> bytes | None:
    """The document of the latest network, as it was published."""
    query = select(networks.c.document).order_by(networks.c.version.desc()).limit(1)
    return connection.scalar(query)


def save_network(connection: Connection, version: int, document: bytes) -> None:
    """Keep a network document."""
    insert_all(connection, networks, [{"version": version, "document": document}])


def save_contacts(connection: Connection, received: Iterable[ContactFor]) -> None:
    """Keep contact details, apart from ledger and views. The same order again overwrites."""
    latest = {x.order_id: x.contact for x in received}
    upsert(
        connection,
        contacts,
        [
            {"order_id": order_id, "body": encode_frame(ContactFor(order_id=order_id, contact=x))}
            for order_id, x in latest.items()
        ],
    )
