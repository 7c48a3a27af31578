"""The disk that loses its power: what it keeps, what it tears, and whom it fails."""

import _sqlite3
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest

from deploy.sim import vfs
from deploy.sim.disk import SECTOR_BYTES, Disk
from deploy.sim.vfs import VFS_NAME, NoLibraryError
from shared.errors import StorageError
from tests.shop import kinds, open_shop, payment

_opened: list[sqlite3.Connection] = []


@pytest.fixture(autouse=True)
def connections_are_closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as found:
        yield found


def open_file(
    disk: Disk, name: str = "a.db", *, synchronous: str = "full", journal: str = "wal"
) -> sqlite3.Connection:
    connection = sqlite3.connect(disk.uri(name), uri=True, isolation_level=None)
    _opened.append(connection)
    connection.execute(f"pragma journal_mode = {journal}")
    connection.execute(f"pragma synchronous = {synchronous}")
    connection.execute("create table if not exists t (number integer primary key, pad blob)")
    return connection


def insert(connection: sqlite3.Connection, *numbers: int) -> None:
    connection.executemany(
        "insert into t values (?, zeroblob(600))", [(number,) for number in numbers]
    )


def fill(connection: sqlite3.Connection) -> None:
    for number in range(100):
        insert(connection, number)


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("select number from t order by number")]


def left_of(disk: Disk) -> list[int]:
    """What a new connection finds, in a file that must be sound."""
    with closing(open_file(disk)) as connection:
        assert connection.execute("pragma integrity_check").fetchone()[0] == "ok"
        return numbers(connection)


@pytest.mark.parametrize("journal", ["wal", "delete", "truncate", "persist"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_what_a_commit_has_synced_survives_whatever_happens_to_the_rest(disk, journal, keep):
    # `extra`: only that syncs the folder too after a journal was deleted.
    connection = open_file(disk, journal=journal, synchronous="extra")
    insert(connection, 1, 2, 3)
    connection.execute("begin")
    insert(connection, 4)
    disk.cut(Random(1), keep)
    assert left_of(disk) == [1, 2, 3]


def test_what_was_not_synced_is_lost_or_survives_as_the_odds_say(disk):
    connection = open_file(disk)
    insert(connection, 1)
    connection.execute("pragma synchronous = off")
    insert(connection, 2)
    before = disk.snapshot()
    disk.cut(Random(1), keep=0)
    assert left_of(disk) == [1]
    disk.restore(before)
    assert left_of(disk) == [1, 2]  # The snapshot is what programs saw.
    connection = open_file(disk, synchronous="off")
    insert(connection, 3)
    disk.cut(Random(1), keep=1)
    assert left_of(disk) == [1, 2, 3]


def test_a_write_is_torn_between_sectors_and_never_within_one(disk):
    connection = open_file(disk)
    connection.execute("pragma synchronous = off")
    synced = len(disk.snapshot()["a.db-wal"])
    insert(connection, *range(20))
    written = disk.snapshot()["a.db-wal"]
    disk.cut(Random(1))
    found = disk.snapshot()["a.db-wal"].ljust(len(written), b"\0")
    assert found[:synced] == written[:synced]
    kept = lost = 0
    # The frames' pages: each one is one write, which starts behind a header of 24 bytes.
    for frame in range(synced, len(written), 24 + 4096):
        start, end = frame + 24, frame + 24 + 4096
        while start < end:
            stop = min(end, start + SECTOR_BYTES - start % SECTOR_BYTES)
            part, whole = found[start:stop], written[start:stop]
            assert part in (whole, bytes(len(whole)))
            if any(whole):
                kept, lost = kept + (part == whole), lost + (part != whole)
            start = stop
    assert min(kept, lost) > 20


def test_a_connection_from_before_the_cut_is_dead_and_touches_nothing(disk):
    dead = open_file(disk)
    insert(dead, 1)
    dead.execute("begin")
    insert(dead, 2)
    disk.cut(Random(1))
    connection = open_file(disk)
    insert(connection, 3)
    after = disk.snapshot()
    for statement in (
        "commit",
        "rollback",
        "select count(*) from t",
        "insert into t values (4, 0)",
    ):
        with pytest.raises(sqlite3.OperationalError, match=r"disk I/O error|no transaction"):
            dead.execute(statement)
    dead.close()
    assert disk.snapshot() == after
    insert(connection, 5)
    assert numbers(connection) == [1, 3, 5]
    connection.close()


def test_the_power_goes_in_the_midst_of_the_operation_that_was_asked_for(disk):
    connection = open_file(disk)
    count = disk.operations
    insert(connection, 1)
    operations = disk.operations - count
    assert operations > 2
    for after in range(1, operations + 1):
        connection.execute("delete from t")
        before = disk.cuts, disk.operations
        disk.cut_after(after, Random(after), keep=0)
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            insert(connection, 1)
        assert (disk.cuts, disk.operations) == (before[0] + 1, before[1] + after)
        assert disk.cut_in.split()[1] == "a.db-wal"
        connection.close()
        assert left_of(disk) == []
        connection = open_file(disk)
    insert(connection, 1)
    disk.cut_after(2, Random(1), of="sync")
    insert(connection, 2)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        insert(connection, 3)
    assert disk.cut_in == "sync a.db-wal"
    disk.cut(Random(1))
    assert disk.cut_in == ""  # In none.


def test_a_file_that_came_or_went_without_a_sync_may_be_back_as_it_was(disk):
    open_file(disk).close()  # Closing tidies the log away; that is not synced.
    assert set(disk.snapshot()) == {"a.db"}
    disk.cut(Random(1), keep=0)
    assert set(disk.snapshot()) == {"a.db", "a.db-wal"}
    assert left_of(disk) == []
    assert not (disk.folder / "a.db-shm").exists()
    connection = sqlite3.connect(disk.uri("b.db"), uri=True, isolation_level=None)
    connection.execute("pragma synchronous = off")
    connection.execute("create table t (number)")
    connection.close()
    disk.cut(Random(1), keep=0)
    assert "b.db" not in disk.snapshot()


def test_a_full_disk_refuses_and_goes_on_when_there_is_space(disk):
    connection = open_file(disk)
    disk.fail_writes_after(20_000)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        fill(connection)
    stored = numbers(connection)
    assert stored == list(range(len(stored)))
    disk.free()
    insert(connection, 1_000)
    connection.close()
    assert left_of(disk) == [*stored, 1_000]


def test_the_same_operations_and_random_numbers_leave_the_same_sectors():
    found = []
    for _ in range(2):
        with Disk() as disk:
            connection = open_file(disk, synchronous="off")
            insert(connection, *range(50))
            disk.cut(Random(7))
            found.append([bytes(len(x)) == x for x in _sectors(disk.snapshot()["a.db-wal"])])
    assert found[0] == found[1]
    assert 0 < sum(found[0]) < len(found[0])


def _sectors(content: bytes) -> list[bytes]:
    return [content[x : x + SECTOR_BYTES] for x in range(0, len(content), SECTOR_BYTES)]


def test_disks_lose_their_power_each_for_itself():
    with Disk() as one, Disk() as other:
        connections = [open_file(disk, synchronous="off") for disk in (one, other)]
        one.cut(Random(1), keep=0)
        insert(connections[1], 1)
        assert numbers(connections[1]) == [1]
        with pytest.raises(sqlite3.OperationalError):
            insert(connections[0], 1)


def test_a_folder_of_ones_own_is_kept_with_what_is_on_it(tmp_path):
    with Disk(tmp_path / "disk") as disk:
        connection = open_file(disk)
        insert(connection, 1)
        connection.close()
        name = disk.uri("a.db")
    with (
        closing(sqlite3.connect(":memory:", uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError, match="unable to open"),
    ):
        connection.execute("attach ? as a", (name,))
    with Disk(tmp_path / "disk") as disk:
        assert left_of(disk) == [1]


def test_an_edge_runs_on_it_and_can_be_set_back_to_yesterday(disk):
    shop = open_shop(disk.path("edge.db"), vfs=VFS_NAME)
    shop.grant("dc-south", sku_1=5)
    yesterday = disk.snapshot()
    shop.tell("till-1", payment("sku-1"), "p1")
    disk.cut(Random(1), keep=0)
    with pytest.raises(StorageError):
        shop.tell("till-1", payment("sku-1"), "p2")
    shop.restart()
    assert kinds(shop) == ["order.accepted", "pick.requested"]
    disk.restore(yesterday)
    shop.restart()
    assert kinds(shop) == []
    assert shop.share("dc-south", "sku-1") == 5


def test_connections_that_are_open_when_python_ends_do_no_harm():
    script = """
import random, sqlite3
from deploy.sim.disk import Disk
disk = Disk()
kept = []
for cut in (False, True):
    kept.append(sqlite3.connect(disk.uri("a.db"), uri=True, isolation_level=None))
    kept[-1].execute("pragma journal_mode = wal")
    kept[-1].execute("create table if not exists t (number)")
    if not cut:
        disk.cut(random.Random(1))
kept.append(kept)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done


def test_a_python_whose_sqlite_cannot_be_reached_is_told_so(monkeypatch):
    monkeypatch.delattr(_sqlite3, "__file__")
    with pytest.raises(NoLibraryError) as caught:
        vfs.Shim()
    assert "libsqlite3" in caught.value.expected
