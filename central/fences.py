"""Fence and rejoin: an edge that is lost gives its shares back, and may come back with none.

A fence is an operator's decision: the edge's shares go to the pools at once, whatever it sells
meanwhile. The next that is heard of it begins a new epoch. What it says of the one before is
late: it is kept and applied, and its units come out of the pools.
"""

from typing import ClassVar

from central import holdings, past, streams, views
from central.desk import Misfit
from central.greeting import is_behind
from central.stream import Stream
from central.turn import Turn
from shared.envelope import encode_batch
from shared.errors import PointsmanError
from shared.frames import Hello, Rejoin, encode_frame
from shared.limits import BATCH_EVENTS_MAX

PAST_BYTES_MAX = 64 * 1024
"""Of one feed item with past events; a larger event travels alone."""


class UnknownEdgeError(PointsmanError):
    """No edge of that name was ever heard of."""

    code: ClassVar[str] = "unknown_edge"


def fence(turn: Turn, edge_id: str) -> int:
    """Take all shares of an edge back and share them out among the others.

    Returns:
        The epoch that the edge will begin when it is heard again.

    Raises:
        UnknownEdgeError: neither a network nor a hello has named it.
    """
    stream = turn.find(edge_id)
    if stream is None:
        raise UnknownEdgeError(
            f"no edge {edge_id!r} was ever heard of",
            place="edge_id",
            expected=f"one of: {', '.join(sorted(turn.memory.streams)[:20]) or 'no edge is known'}",
        )
    if stream.fenced:
        return stream.share_epoch
    stream.fence()
    book = holdings.load_whole_book(turn.connection, turn.book())
    for cell, shares in book.shares.items():
        if shares.get(edge_id):
            book.post("return", cell, shares[edge_id], edge_id)
    for cell, coming in book.coming.items():
        if coming.get(edge_id):
            book.recall(cell, -coming[edge_id], edge_id)
    holdings.drop_recalls(turn.connection, edge_id)
    detail = f"an operator has fenced {edge_id}; it begins epoch {stream.share_epoch} if it is back"
    turn.note(Misfit("fenced", detail, edge_id=edge_id))
    turn.share_out(book, views.load_all_lacking(turn.connection), list(book.balances))
    return stream.share_epoch


def rejoin(turn: Turn, stream: Stream, hello: Hello) -> None:
    """Write the way back into the feed of a fenced edge that was heard with this hello."""
    forgotten = hello.feed >= stream.feed_next  # central's own database was restored
    heard = stream.feed_acked if forgotten else max(stream.feed_acked, hello.feed)
    untold = stream.restored and (not stream.retold or heard < stream.retold)
    restored = hello.unfit or forgotten or untold or is_behind(stream, hello)
    stream.fenced, stream.closed, stream.restored = False, False, restored
    stream.boot = hello.boots[-1]
    streams.forget_noted(turn.connection, stream.edge_id, "edge_behind")
    if restored:
        stream.retold = 0
        stream.feed_next = max(stream.feed_next, hello.feed + 1)
        turn.drop_feed(stream)
    frame = Rejoin(epoch=stream.share_epoch, restored=restored)
    stream.rejoin = turn.feed(stream.edge_id, "rejoin", encode_frame(frame))
    if restored:
        turn.feed_documents(stream.edge_id)


def retell(turn: Turn, stream: Stream, past_orders: int) -> None:
    """Tell an edge that has lost its store what was announced, and its orders and tasks, as events.

    To be called once its new epoch has begun in the ledger: whatever it still had to say of the
    old one is there too by then.

    Args:
        turn: the transaction.
        stream: the edge's.
        past_orders: how many of its newest orders are told though they are settled: so many
            payments it can recognise when they are repeated.
    """
    turn.feed_announced(stream.edge_id)
    nodes = {node for node, home in turn.territory.home.items() if home == stream.edge_id}
    batch: list[bytes] = []
    for raw in past.past_of(turn.connection, stream.edge_id, nodes, past_orders):
        size = sum(len(x) + 1 for x in batch) + len(raw) + 1
        if batch and (size > PAST_BYTES_MAX or len(batch) == BATCH_EVENTS_MAX):
            turn.feed(stream.edge_id, "past", encode_batch(batch))
            batch = []
        batch.append(raw)
    if batch:
        turn.feed(stream.edge_id, "past", encode_batch(batch))
    # The empty part is the last.
    stream.retold = turn.feed(stream.edge_id, "past", encode_batch([]))
