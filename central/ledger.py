"""The ledger: every event of every edge, in the bytes that the edge has sent, chained.

The hash of an entry covers the one before in the same stream and its own bytes; the columns
beside are read from those bytes, and are held against them when the ledger is verified.
"""

from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from central.database import close_database, insert_all, open_reader
from central.stream import Entry, genesis, link
from central.tables import ledger, streams
from shared.envelope import Event, decode_event
from shared.errors import PointsmanError


class Verdict(NamedTuple):
    """What `verify` found. `position` is the first broken one; None: the ledger is whole.

    A row that is missing has no position: then it is that of the row where the gap shows, or
    one after the last row if the end of a stream is missing.
    """

    entries: int
    position: int | None = None
    edge_id: str = ""
    epoch: int = 0
    sequence: int = 0
    reason: str = ""

    def __str__(self) -> str:
        """One line for a person."""
        if self.position is None:
            return f"{self.entries} entries, every chain is whole"
        where = f"{self.edge_id}, epoch {self.epoch}, sequence {self.sequence}"
        return f"broken at position {self.position} ({where}): {self.reason}"


def append(connection: Connection, entries: list[Entry]) -> None:
    """Write entries to the ledger. `central.stream` has put them in order and chained them."""
    insert_all(
        connection,
        ledger,
        [
            {
                "edge_id": entry.edge_id,
                "epoch": entry.epoch,
                "sequence": entry.sequence,
                "raw": entry.raw,
                "hash": entry.hash,
            }
            | _columns(entry.event)
            for entry in entries
        ],
    )


def _columns(event: Event | None) -> dict[str, Any]:
    return {
        "event_id": None if event is None else event.id,
        "source": None if event is None else event.source,
        "type": None if event is None else event.type,
        "correlation_id": None if event is None else event.correlationid,
        "causation_id": None if event is None else event.causationid,
        "hlc": None if event is None else event.hlc,
    }


def verify(connection: Connection) -> Verdict:
    """Walk all chains in the order of positions; find the first entry that is not as written."""
    heads: dict[tuple[str, int], tuple[int, bytes]] = {}
    entries = position = 0
    rows = connection.execution_options(yield_per=1_000).execute(
        select(ledger).order_by(ledger.c.position)
    )
    for row in rows.mappings():
        entries, position = entries + 1, row["position"]
        stream = (row["edge_id"], row["epoch"])
        sequence, head = heads.get(stream) or (0, genesis(*stream))
        reason = ""
        if row["sequence"] != sequence + 1:
            reason = f"expected sequence {sequence + 1} of this stream: a row is missing or moved"
        elif link(head, row["raw"]) != row["hash"]:
            reason = "the hash does not follow from the entry before and the bytes"
        elif any(row[name] != value for name, value in _columns(_read(row["raw"])).items()):
            reason = "a column differs from the bytes"
        if reason:
            rows.close()
            return Verdict(entries, position, *stream, row["sequence"], reason)
        heads[stream] = (row["sequence"], row["hash"])
    for row in connection.execute(select(streams).order_by(streams.c.edge_id)).mappings():
        stream = (row["edge_id"], row["epoch"])
        sequence, head = heads.get(stream) or (0, genesis(*stream))
        if row["epoch"] and (sequence, head) != (row["sequence"], row["head"]):
            reason = (
                f"the stream ends at {sequence}, and was acknowledged through {row['sequence']}"
            )
            return Verdict(entries, position + 1, *stream, sequence + 1, reason)
    return Verdict(entries)


def verify_file(data_dir: Path) -> Verdict:
    """Verify the ledger of a central that may be running: the file is only read.

    Raises:
        ConfigError: there is no database.
    """
    connection = open_reader(data_dir)
    try:
        with connection.begin():
            return verify(connection)
    finally:
        close_database(connection)


def _read(raw: bytes) -> Event | None:
    try:
        event = decode_event(raw)
        event.number()
    except PointsmanError:
        return None
    return event
