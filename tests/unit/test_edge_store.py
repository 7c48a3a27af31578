"""The edge's file: durable, bounded, and loud when the disk is not."""

import sqlite3
from pathlib import Path

import pytest

from edge.commands import FromDevice
from edge.incoming import Lot
from edge.quarantine import read_quarantine
from edge.records import Decision
from edge.store import QUARANTINE_ROWS_MAX, Store
from shared.errors import NotJsonError, StorageError
from shared.events import (
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRejected,
)
from shared.frames import Rejoin
from shared.lots import OVERDUE_MS
from shared.parts import Contact
from tests.shop import NOON_MS, Shop, device_event, open_shop, payment, task_of


def test_what_was_committed_survives_and_what_was_not_does_not(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "edge.db")
    shop.grant("dc-south", sku_1=5)
    shop.tell("till-1", payment("sku-1"), "p1")
    lost = shop.engine.handle(
        FromDevice("till-1", device_event("till-1", "p2", payment("sku-1")), payment("sku-1")),
        shop.now_ms,
    )
    shop.store.write(lost)
    shop.restart()  # Without a commit.
    assert len(shop.log()) == 2
    assert shop.share("dc-south", "sku-1") == 4
    assert shop.engine.state.journal.position == 2


def fill(shop: Shop) -> None:
    """Take payments until the disk is full."""
    for number in range(10_000):
        shop.tell("till-1", payment("sku-1"), f"p{number}")


def test_a_full_disk_is_a_typed_refusal_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "edge.db")
    shop.grant("dc-south", sku_1=5)
    limit = shop.store._connection
    pages = limit.execute("pragma page_count").fetchone()[0]
    limit.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        fill(shop)
    shop.store.rollback()
    shop.engine.reload(shop.now_ms)
    log = [event.number() for event in shop.log()]
    assert log == list(range(1, len(log) + 1))
    limit.execute("pragma max_page_count = 100000")
    shop.tell("till-1", payment("sku-1"), "after")
    assert shop.last("order.accepted")
    assert limit.execute("pragma integrity_check").fetchone()[0] == "ok"


def test_a_file_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edge.db"
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StorageError) as caught:
        Store(path)
    assert str(path) in caught.value.detail


def test_commits_are_flushed_to_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "edge.db")
    assert store._connection.execute("pragma synchronous").fetchone()[0] == 2
    assert store._connection.execute("pragma journal_mode").fetchone()[0] == "wal"


def test_the_quarantine_counts_repeats_masks_digits_and_is_bounded(tmp_path: Path) -> None:
    store = Store(tmp_path / "edge.db")
    error = NotJsonError("no", expected="JSON")
    for at in ("2025-01-01", "2025-01-02"):
        store.quarantine("topic", b"call 138 0013 8000 or 4111-1111-1111-1111", error, at)
        store.commit()
    (row,) = read_quarantine(tmp_path / "edge.db")
    assert (row["times"], row["first_at"], row["last_at"]) == (2, "2025-01-01", "2025-01-02")
    assert row["excerpt"] == "call #####00 or #####11"
    for number in range(QUARANTINE_ROWS_MAX + 5):
        store.quarantine("topic", f"bad {number}".encode(), error, "2025-01-03")
    store.commit()
    assert len(read_quarantine(tmp_path / "edge.db")) == QUARANTINE_ROWS_MAX


def test_the_quarantine_is_read_beside_a_running_daemon(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="data_dir of an edge"):
        read_quarantine(tmp_path / "none.db")
    store = Store(tmp_path / "edge.db")
    store.quarantine("topic", b"x", NotJsonError("no"), "2025-01-01")
    assert read_quarantine(tmp_path / "edge.db") == []
    store.commit()
    assert len(read_quarantine(tmp_path / "edge.db")) == 1


def test_an_older_file_is_migrated_in_place(tmp_path: Path) -> None:
    Store(tmp_path / "edge.db").close()
    Store(tmp_path / "edge.db").close()
    with sqlite3.connect(tmp_path / "edge.db") as connection:
        names = {row[0] for row in connection.execute("select name from sqlite_master")}
    connection.close()
    assert {"log", "cells", "orders", "tasks", "_sqlite_migrations"} <= names


def test_a_file_that_knew_only_times_of_arrivals_learns_of_lots(tmp_path: Path) -> None:
    Store(tmp_path / "edge.db").close()
    with sqlite3.connect(tmp_path / "edge.db") as connection:
        connection.executescript(
            "drop table incoming;"
            "create table arrivals (sku text, expected_ms integer, primary key (sku, expected_ms));"
            "insert into arrivals values ('sku-1', 99);"
            "delete from _sqlite_migrations where name = 'm004_incoming'"
        )
    connection.close()
    store = Store(tmp_path / "edge.db")
    assert list(store.incoming(0)) == []
    lot = Lot("dc", "asn-1", "sku-1", 5, NOON_MS, 700, "inspection")
    store.write(Decision(incoming=[lot]))
    store.commit()
    store.forget_past(NOON_MS + OVERDUE_MS - 1)
    assert list(store.incoming(0)) == [lot]
    store.forget_past(NOON_MS + OVERDUE_MS)
    assert list(store.incoming(0)) == []
    store.close()


# The log's retention.

DAY_MS = 86_400_000
EVER = 10**15


def positions(shop: Shop) -> list[int]:
    return [position for position, _ in shop.store.log_after(0, 1_000)]


def days_of_log(path: Path, *days: int) -> Shop:
    """A log with two entries of each of these days."""
    shop = open_shop(path)
    for number, day in enumerate(days):
        shop.now_ms = NOON_MS + day * DAY_MS
        shop.tell("till-1", payment("sku-1"), f"p{number}")
    return shop


def test_what_is_old_enough_and_at_central_is_pruned_oldest_first(tmp_path: Path) -> None:
    shop = days_of_log(tmp_path / "edge.db", 0, 1, 2)
    before_ms = NOON_MS + DAY_MS + 1
    assert shop.store.prune_log(EVER, before_ms, 3) == 3
    assert shop.store.prune_log(EVER, before_ms, 3) == 1
    assert shop.store.prune_log(EVER, before_ms, 3) == 0
    shop.store.commit()
    assert positions(shop) == [5, 6]
    assert shop.store.log_entry(4) is None


def test_what_central_lacks_is_kept_however_old(tmp_path: Path) -> None:
    shop = days_of_log(tmp_path / "edge.db", 0, 1)
    assert shop.store.prune_log(0, EVER, 100) == 0
    assert not shop.store.dirty
    assert shop.store.prune_log(3, EVER, 100) == 3
    assert positions(shop) == [4]


def test_the_newest_entry_is_never_pruned_and_the_log_goes_on_behind_it(tmp_path: Path) -> None:
    shop = days_of_log(tmp_path / "edge.db", 0, 1)
    assert shop.store.prune_log(EVER, EVER, 100) == 3
    shop.store.commit()
    shop.restart()
    assert positions(shop) == [4]
    reading = shop.log()[-1].hlc or ""
    shop.now_ms = NOON_MS - DAY_MS  # Set back: what was said before still counts as before.
    shop.tell("till-1", payment("sku-2"), "after")
    assert positions(shop) == [4, 5, 6]
    assert (shop.log()[1].hlc or "") > reading
    assert shop.store.prune_log(EVER, EVER, 100) == 2
    shop.store.commit()
    assert shop.store.prune_log(EVER, EVER, 100) == 0


def test_a_clock_that_was_set_back_leaves_no_gap_in_the_log(tmp_path: Path) -> None:
    shop = days_of_log(tmp_path / "edge.db", 5, 0, 6)
    assert shop.store.prune_log(EVER, NOON_MS + 2 * DAY_MS, 100) == 0
    assert positions(shop) == [1, 2, 3, 4, 5, 6]
    assert shop.store.prune_log(EVER, NOON_MS + 5 * DAY_MS + 1, 100) == 4


def test_pruning_that_is_undone_has_not_been(tmp_path: Path) -> None:
    shop = days_of_log(tmp_path / "edge.db", 0, 1)
    shop.store.prune_log(EVER, EVER, 100)
    shop.store.rollback()
    assert positions(shop) == [1, 2, 3, 4]


def test_an_empty_log_is_pruned_of_nothing(tmp_path: Path) -> None:
    assert open_shop(tmp_path / "edge.db").store.prune_log(EVER, EVER, 100) == 0


# Epochs, tasks.


def test_an_edge_begins_in_epoch_one_and_remembers_every_epoch_it_had(tmp_path: Path) -> None:
    shop = days_of_log(tmp_path / "edge.db", 0)
    assert shop.store.epochs() == [(1, 0)]
    shop.grant("dc-south", sku_1=3)
    shop.retry()
    shop.feed(Rejoin(epoch=2))
    shop.feed(Rejoin(epoch=5))
    assert shop.store.epochs() == [(1, 0), (2, 4), (5, 5)]
    assert list(shop.store.cells()) == []
    shop.restart()
    assert shop.engine.state.journal.epochs == [(1, 0), (2, 4), (5, 5)]
    shop.tell("till-1", payment("sku-1"), "after")
    assert [(event.epoch, event.number()) for event in shop.log()[-3:]] == [(5, 1), (5, 2), (5, 3)]


def test_a_restored_store_forgets_orders_and_tasks_but_not_its_log(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "edge.db")
    shop.grant("dc-south", sku_1=3)
    shop.tell("till-1", payment("sku-1", contact=Contact(name="Customer 1")), "p1")
    shop.tell("till-1", payment("sku-2"), "p2")
    shop.feed(Rejoin(epoch=2, restored=True))
    assert list(shop.store.parked_orders()) == []
    assert shop.store.issued_tasks(10) == []
    assert positions(shop) == [1, 2, 3, 4, 5]
    assert len(shop.store.contacts(10)) == 1
    assert shop.store.network() is not None
    assert shop.store.answer("/devices/till-1", "p1") is not None


def test_open_tasks_are_those_whose_goods_are_still_there_newest_first(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "edge.db")
    shop.grant("dc-south", sku_1=9)
    shop.grant("store-1", sku_2=1)
    found = []
    for number in range(6):
        shop.now_ms += 1_000
        shop.tell("till-1", payment("sku-1"), f"p{number}")
        found.append(task_of(shop).task_id)
    shop.tell("till-1", payment("sku-2"), "elsewhere")
    shop.report(PickAccepted, found[0])
    shop.report(PickCompleted, found[1])
    shop.report(PackagePacked, found[2])
    shop.report(PackageShipped, found[3])
    shop.report(PickRejected, found[4])
    open_tasks = [task.task_id for task in shop.store.open_tasks("dc-south")]
    assert open_tasks == [found[5], found[2], found[1], found[0]]
    assert list(shop.store.open_tasks("nowhere")) == []
