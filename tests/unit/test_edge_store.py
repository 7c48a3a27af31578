"""The edge's file: durable, bounded, and loud when the disk is not."""

import sqlite3
from pathlib import Path

import pytest

from edge.commands import FromDevice
from edge.quarantine import read_quarantine
from edge.store import QUARANTINE_ROWS_MAX, Store
from shared.errors import NotJsonError, StorageError
from tests.shop import Shop, device_event, open_shop, payment


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
    assert row["excerpt"] == "call ####### or #######"
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
