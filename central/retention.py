"""Moving the oldest part of the ledger into an archive file.

A part ends at a signed checkpoint, and holds no entry of an order that is not settled, and none
that a follower has still to read. The file is written, synced and read again completely before its
rows leave the database, in one transaction with the row that names it: whenever the power goes, the
ledger is whole.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, bindparam, delete, func, select

from central import ledger, views
from central.chains import BrokenError, BrokenLedgerError, Walk, require_whole
from central.checkpoint import Checkpoint, Head, Signatures, Signed
from central.database import (
    Location,
    chunks,
    close_database,
    insert_all,
    open_database,
    require_database,
    sole_writer,
    transaction,
)
from central.desk import SETTLED
from central.digest import ledger_digest
from central.export_lines import (
    AnyLine,
    ArchiveError,
    CheckpointLine,
    EntryLine,
    First,
    Last,
    PackedLine,
    Start,
    checkpoint_line,
    encode,
    lines_of,
    opened,
    read_lines,
)
from central.guards import refusals
from central.history import Archived, beside, load_archives, sha256_of
from central.tables import archives, awaited, orders, tasks, waiting
from central.tables import ledger as ledger_table
from shared.errors import ConfigError, PointsmanError
from shared.tasks import UNSHIPPED

_TRIGGER: Final = "ledger_refuses_delete"
_OLDEST: Final = (
    select(ledger_table.c.correlation_id, func.min(ledger_table.c.position))
    .where(ledger_table.c.correlation_id.in_(bindparam("values", expanding=True)))
    .group_by(ledger_table.c.correlation_id)
)
# Delivered may be told yet, or never: who decides is time.
_SHIPPED_LATELY: Final = (
    select(ledger_table.c.correlation_id)
    .join_from(ledger_table, orders, orders.c.order_id == ledger_table.c.correlation_id)
    .where(orders.c.state == "shipped", ledger_table.c.position > bindparam("after"))
    .distinct()
)


class Keep(NamedTuple):
    """What has to stay in the ledger.

    Attributes:
        first: position from which on.
        until: what has to be so before it may be moved.
    """

    first: int
    until: str


class NothingToArchiveError(PointsmanError):
    """No part of the ledger may be moved yet."""

    code: ClassVar[str] = "nothing_to_archive"


class Part(NamedTuple):
    """What may be moved: everything up to `cut`, at which this checkpoint was made.

    Attributes:
        checkpoints: those of the part.
        heads: of all streams at its end, as they were signed.
        after: where it begins; None: at the ledger's first entry.
    """

    cut: int
    checkpoints: list[Signed]
    heads: list[Head]
    after: Start | None


def archive_part(
    location: Location,
    folder: Path | None,
    *,
    before_ms: int,
    now_ms: int,
    trusted: Iterable[Ed25519PublicKey] = (),
    needed: Keep | None = None,
) -> Archived:
    """Move what is old and settled out of the ledger of a central that is stopped.

    Args:
        location: of central's database.
        folder: of the archive files; made if it does not exist. By default the one beside a
            database in a folder.
        before_ms: only what a checkpoint from before this moment covers; ms since 1970 UTC.
        now_ms: the time.
        trusted: see `central.checkpoint.Signatures`.
        needed: what others have still to read.

    Raises:
        NothingToArchiveError: it says what is in the way.
        BrokenLedgerError: the ledger is not whole; nothing was changed.
        ArchiveError: the file cannot be written, or is not what was written; nothing was changed.
        ConfigError: there is no database, or central runs.
        StorageError: the database could not do it; nothing was changed.
    """
    require_database(location)
    folder = beside(location, folder)
    if folder is None:
        raise ConfigError(
            "there is no folder for archive files",
            place="archive_dir",
            expected="a folder that this user may write to",
        )
    with sole_writer(location):
        connection = open_database(location)
        try:
            with transaction(connection):
                require_whole(ledger.verify(connection, trusted, archived=False))
                part = find_part(connection, before_ms, needed)
                written = write_part(connection, folder, part, now_ms)
            with transaction(connection):
                drop_part(connection, written)
        finally:
            close_database(connection)
    return written


def find_part(connection: Connection, before_ms: int, needed: Keep | None = None) -> Part:
    """The longest part that may be moved; see `archive_part`.

    Raises:
        NothingToArchiveError: there is none.
    """
    known = load_archives(connection)
    begin = known[-1].last if known else 0
    # The newest entry stays: positions go on from it.
    last, blocker = ledger.last_position(connection) - 1, ""
    young = _end_of_old(connection, begin, before_ms)
    for keep in filter(None, (_oldest_unsettled(connection, young), needed)):
        if keep.first <= last:
            last, blocker = keep.first - 1, keep.until
    heads: dict[tuple[str, int], Head] = {}
    start: tuple[dict[tuple[str, int], Head], Signed] | None = None
    found: list[Signed] = []
    for signed in ledger.load_checkpoints(connection):
        checkpoint = msgspec.json.decode(signed.body, type=Checkpoint)
        if signed.position > begin and checkpoint.at_ms >= before_ms:
            blocker = ""
            break
        if signed.position > max(begin, last):
            break
        heads.update({(x.edge_id, x.epoch): x for x in checkpoint.heads})
        if signed.position <= begin:
            start = dict(heads), signed
        else:
            found.append(signed)
    else:
        blocker = ""
    if not found:
        raise NothingToArchiveError(
            "no checkpoint is old enough with only settled orders, and nothing unread, before it",
            place=f"position {begin + 1}",
            expected=blocker or "older entries that a checkpoint covers",
        )
    after = None
    if start is not None and begin:
        before = start[1]
        after = Start(
            position=begin, heads=_sorted(start[0]), checkpoint=before.number, before=before.hash
        )
    return Part(found[-1].position, found, _sorted(heads), after)


def _sorted(heads: dict[tuple[str, int], Head]) -> list[Head]:
    return [heads[key] for key in sorted(heads)]


def _end_of_old(connection: Connection, begin: int, before_ms: int) -> int:
    """Through which position checkpoints cover the ledger that are old enough."""
    end = 0
    with closing(ledger.load_checkpoints(connection)) as found:
        for signed in found:
            at_ms = msgspec.json.decode(signed.body, type=Checkpoint).at_ms
            if signed.position > begin and at_ms >= before_ms:
                break
            end = signed.position
    return end


def _oldest_unsettled(connection: Connection, young: int) -> Keep | None:
    """The order that is not settled and has the oldest entry of all those.

    Args:
        connection: inside a transaction.
        young: what is after this position is not old enough.
    """
    ids = set(connection.scalars(select(orders.c.order_id).where(orders.c.state.not_in(SETTLED))))
    ids |= set(connection.scalars(select(waiting.c.order_id).distinct()))
    opened_tasks = select(tasks.c.order_id).where(
        tasks.c.state.in_(UNSHIPPED), tasks.c.order_id.is_not(None)
    )
    ids |= set(connection.scalars(opened_tasks.distinct()))
    lately = set(connection.scalars(_SHIPPED_LATELY, {"after": young}))
    # An open command is sent again from the ledger, and missed by its entry there.
    unanswered = select(awaited.c.order_id, func.min(awaited.c.system)).where(
        awaited.c.answered_ms.is_(None)
    )
    unanswered = unanswered.group_by(awaited.c.order_id)
    asked = {order_id: system for order_id, system in connection.execute(unanswered)}  # noqa: C416
    ids |= lately | asked.keys()
    found = [
        (position, order_id)
        for part in chunks(sorted(ids))
        for order_id, position in connection.execute(_OLDEST, {"values": part})
    ]
    if not found:
        return None
    position, order_id = min(found)
    what = "settled"
    if order_id in asked:
        what += f", and what {asked[order_id]} was asked about it answered"
    elif order_id in lately:
        what = "delivered, or nothing heard of it for as long"
    return Keep(position, f"order {order_id} {what}: it has entries from position {position} on")


def write_part(connection: Connection, folder: Path, part: Part, now_ms: int) -> Archived:
    """Write a part to its file, sync it, and read it again; the database is not changed.

    Raises:
        ArchiveError: see `archive_part`.
    """
    first = part.after.position + 1 if part.after is not None else 1
    path = folder / f"ledger-{first:015d}-{part.cut:015d}.jsonl.gz"
    partial = path.with_name(path.name + ".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with opened(partial, "wb", packed=True) as file:
            for line in _lines_of(connection, part):
                file.write(encode(line))
        _sync(partial)
        entries = _read_again(partial, part)
        partial.replace(path)
        _sync(folder)
    except OSError as error:
        raise ArchiveError(
            f"cannot be written: {error}", place=str(path), expected="a folder with room"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    rows, digest = ledger_digest(connection, part.cut)
    assert rows == entries, (rows, entries)
    return Archived(
        number=len(load_archives(connection)) + 1,
        first=first,
        last=part.cut,
        entries=entries,
        file=path.name,
        sha256=sha256_of(path),
        heads=msgspec.json.encode(part.heads),
        digest=digest,
        at_ms=now_ms,
    )


def drop_part(connection: Connection, archived: Archived) -> None:
    """Take the rows that a file holds out of the ledger, and note the file.

    The one place where the ledger's rows may be deleted: the trigger that refuses it is lifted
    within the transaction, and stands again when it ends, whichever way.

    Args:
        connection: inside a transaction.
        archived: what `write_part` has written.
    """
    insert_all(connection, archives, [archived._asdict()])
    dialect = connection.dialect.name
    of = f" ON {ledger_table.name}" if dialect == "postgresql" else ""
    connection.exec_driver_sql(f"DROP TRIGGER {_TRIGGER}{of}")
    gone = connection.execute(
        delete(ledger_table).where(ledger_table.c.position <= archived.last)
    ).rowcount
    for statement in refusals(ledger_table.name, dialect):
        connection.exec_driver_sql(statement)
    assert gone == archived.entries, (gone, archived)


def _lines_of(connection: Connection, part: Part) -> Iterator[AnyLine]:
    faults = views.load_faults(connection)
    replays = views.load_replays(connection)
    yield First(version=1, after=part.after)
    signed = iter(part.checkpoints)
    due = next(signed)
    with closing(ledger.rows_of(connection)) as rows:
        for row in rows:
            if row.position > part.cut:
                break
            if row.position > due.position:
                yield checkpoint_line(due)
                due = next(signed)
            yield from lines_of(row, faults, replays)
    yield checkpoint_line(due)
    yield Last(streams=part.heads)


def _read_again(path: Path, part: Part) -> int:
    """Walk a written file from where it begins to the heads that were signed; counts entries."""
    walk = Walk(Signatures())
    if part.after is not None:
        x = part.after
        walk.resume(x.position, x.heads, x.checkpoint, x.before)
    try:
        for line in read_lines(path, packed=True):
            if isinstance(line, EntryLine | PackedLine):
                raw, digest = bytes(line.event), bytes.fromhex(line.hash)
                walk.take(line.position, line.edge_id, line.epoch, line.sequence, raw, digest)
            elif isinstance(line, CheckpointLine):
                walk.checkpoint(line.signed())
    except BrokenError as error:
        raise BrokenLedgerError(
            str(error), place=str(path), expected="a disk that keeps what is written"
        ) from None
    if walk.heads() != part.heads:
        raise ArchiveError(
            "does not end where the checkpoint was made",
            place=str(path),
            expected="a disk that keeps what is written",
        )
    return walk.entries


def _sync(path: Path) -> None:
    """Let a file, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
