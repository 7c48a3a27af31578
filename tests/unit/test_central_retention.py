"""Old parts of the ledger in files: nothing is lost, nothing can be changed unseen."""

import gzip

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from central import ledger
from central.archive import export_file, import_file, verify_archive
from central.chains import BrokenLedgerError
from central.checkpoint import load_signer
from central.database import close_database, open_database, transaction
from central.digest import read_digests
from central.export_lines import ArchiveError
from central.history import FOLDER, sha256_of
from central.ledger import verify_file
from central.rebuild import rebuild_file
from central.retention import (
    Keep,
    NothingToArchiveError,
    drop_part,
    find_part,
    write_part,
)
from central.signing import Signing
from central.tables import archives, checkpoints
from central.tables import ledger as rows
from tests.archive_scene import DAY_MS, archive, positions, write
from tests.central_scene import (
    NOW_MS,
    ScriptedEdge,
    received,
    scene,
    unguard,
)


@pytest.fixture
def data(tmp_path):
    return write(tmp_path)


def test_what_is_moved_is_verified_rebuilt_and_exported_with_the_rest(places, tmp_path):
    data, folder = write(tmp_path, places.new()), tmp_path / "moved"
    before, whole = read_digests(data), verify_file(data)
    export_file(data, tmp_path / "before.jsonl")
    assert whole.entries == len(positions(data))
    first, second = archive(data, 0, folder), archive(data, 2, folder)
    assert (first.first, first.last + 1, second.first) == (1, second.first, first.last + 1)
    assert positions(data) == list(range(second.last + 1, whole.entries + 1))
    assert verify_file(data, (), folder) == whole
    rest = verify_file(data, archived=False)
    assert (rest.position, rest.entries) == (None, whole.entries - second.last)
    assert rest.checkpoints == whole.checkpoints
    assert read_digests(data) == before
    assert rebuild_file(data, now_ms=NOW_MS, folder=folder).differing() == []
    assert read_digests(data) == before
    export_file(data, tmp_path / "after.jsonl", folder)
    assert (tmp_path / "after.jsonl").read_bytes() == (tmp_path / "before.jsonl").read_bytes()
    other = places.new()
    import_file(other, tmp_path / "after.jsonl", now_ms=NOW_MS)
    assert read_digests(other) == before


def test_the_rows_that_stay_are_append_only_again(places, tmp_path):
    data = write(tmp_path, places.new())
    archive(data, 1, tmp_path / "moved")
    connection = open_database(data)
    try:
        for change in ("DELETE FROM ledger", "UPDATE ledger SET epoch = 2"):
            with pytest.raises(IntegrityError), connection.begin():
                connection.execute(text(change))
    finally:
        close_database(connection)


def test_poison_in_an_archive_stays_poison(tmp_path):
    data = write(tmp_path, poisoned=True)
    before = read_digests(data)
    archive(data, 1)
    assert before["poison"].rows == 8
    assert rebuild_file(data, now_ms=NOW_MS).differing() == []
    assert read_digests(data) == before


def test_every_archive_file_can_be_verified_by_itself(data):
    names = [archive(data, day).file for day in (0, 2)]
    for name in names:
        assert verify_archive(data / FOLDER / name).position is None
    with pytest.raises(ArchiveError, match="later part"):
        import_file(data.parent / "other", data / FOLDER / names[1], now_ms=NOW_MS)


def test_a_later_day_goes_on_after_the_files(data):
    whole = verify_file(data).entries
    archive(data, 3)
    with scene(data) as stage:
        edge = ScriptedEdge("e1")
        with stage.database.begin():
            ends = {edge_id: at for edge_id, _, at, _ in ledger.load_ends(stage.database)}
        edge.log = [b""] * ends["e1"]
        edge.say(received("dc", A=1))
        stage.tell(edge.batch(len(edge.log)))
        assert stage.rows(rows)[-1]["position"] == whole + 1
    assert verify_file(data).entries == whole + 1


def test_an_order_that_is_not_settled_keeps_all_that_came_after_it(tmp_path):
    data = write(tmp_path, stuck="e2-1")
    archived = archive(data, 3)
    assert archived.last == 9
    with pytest.raises(NothingToArchiveError, match="no checkpoint") as caught:
        archive(data, 3)
    assert "order e2-1 settled" in caught.value.expected
    assert verify_file(data).position is None


def test_a_shipped_order_of_which_something_is_young_keeps_all_that_came_after_it(data):
    with scene(data) as stage:
        edge = ScriptedEdge("e1")
        with stage.database.begin():
            ends = {edge_id: at for edge_id, _, at, _ in ledger.load_ends(stage.database)}
        edge.log = [b""] * ends["e1"]
        edge.say(received("dc", A=1), "e1-1", type="pointsman.moon.landed.v1")
        edge.say(received("dc", A=1))
        stage.tell(edge.batch(ends["e1"] + 1))
        signing = Signing(stage.database, load_signer(data.parent / "key"), every_ms=1)
        for elapsed_ms in (0, 1):
            signing.tick(elapsed_ms, NOW_MS + 5 * DAY_MS)
    first = archive(data, 3)
    with pytest.raises(NothingToArchiveError) as caught:
        archive(data, 3)
    assert "order e1-1 delivered, or nothing heard of it" in caught.value.expected
    assert archive(data, 6).first == first.last + 1
    assert verify_file(data).position is None


def test_what_a_follower_needs_stays_and_the_follower_is_named(data):
    needed = Keep(12, "webhook erp further")
    assert archive(data, 3, needed=needed).last < 12
    with pytest.raises(NothingToArchiveError) as caught:
        archive(data, 3, needed=needed)
    assert caught.value.expected == "webhook erp further"
    assert archive(data, 3).first < 12


def test_what_is_young_stays(data):
    with pytest.raises(NothingToArchiveError) as caught:
        archive(data, -1)
    assert "older entries" in caught.value.expected


def test_the_newest_entry_stays_so_that_positions_go_on(data):
    archive(data, 3)
    assert len(positions(data)) >= 1


def changed(path, change):
    lines = [msgspec.json.decode(x) for x in gzip.decompress(path.read_bytes()).splitlines()]
    change(lines)
    path.write_bytes(gzip.compress(b"".join(msgspec.json.encode(x) + b"\n" for x in lines)))


def believed(data, archived):
    """Somebody has changed a file and its row as well."""
    connection = open_database(data)
    with connection.begin():
        connection.execute(text("drop trigger if exists archives_refuses_update"))
        digest = sha256_of(data / FOLDER / archived.file)
        connection.execute(
            archives.update().where(archives.c.number == archived.number).values(sha256=digest)
        )
    close_database(connection)


def test_a_missing_or_changed_archive_file_is_named(data):
    first, second = archive(data, 0), archive(data, 1)
    path = data / FOLDER / second.file
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + b"\1")
    verdict = verify_file(data)
    assert (verdict.position, second.file in verdict.reason) == (second.first, True)
    path.unlink()
    assert "is missing" in verify_file(data).reason
    assert verify_file(data).position == second.first > first.last
    with pytest.raises(BrokenLedgerError, match="is missing"):
        rebuild_file(data, now_ms=NOW_MS)
    assert verify_file(data, archived=False).position is None
    path.write_bytes(kept)
    assert verify_file(data).position is None


def test_an_entry_that_was_changed_in_a_file_is_found_though_its_hash_was_replaced(data):
    archived = archive(data, 1)

    def other(lines):
        lines[4]["event"]["time"] = "2020-01-01T00:00:00Z"

    changed(data / FOLDER / archived.file, other)
    believed(data, archived)
    assert verify_file(data).position == 4


def test_entries_missing_from_a_file_or_behind_it_are_found(data):
    archived = archive(data, 1)
    path = data / FOLDER / archived.file
    kept = path.read_bytes()

    def without_one(lines):
        del lines[3]

    changed(path, without_one)
    believed(data, archived)
    assert verify_file(data).position == 4
    path.write_bytes(kept)
    believed(data, archived)
    connection = open_database(data)
    with connection.begin():
        connection.execute(text("drop trigger ledger_refuses_delete"))
        connection.execute(rows.delete().where(rows.c.position == archived.last + 1))
    close_database(connection)
    for whole in (True, False):
        assert verify_file(data, archived=whole).position == archived.last + 2


def test_heads_that_were_changed_with_an_archive_are_not_believed(data):
    archived = archive(data, 1)
    connection = open_database(data)
    with connection.begin():
        connection.execute(text("drop trigger if exists archives_refuses_update"))
        heads = archived.heads.replace(b'"e1",1,9', b'"e1",1,8')
        connection.execute(archives.update().values(heads=heads))
    close_database(connection)
    verdict = verify_file(data, archived=False)
    assert verdict.position == archived.last
    assert "not those signed" in verdict.reason


@pytest.mark.parametrize("whole", [True, False])
def test_an_archive_whose_checkpoint_was_removed_is_named(data, whole):
    archived = archive(data, 1)
    connection = open_database(data)
    with connection.begin():
        unguard(connection, "checkpoints")
        connection.execute(checkpoints.delete())
    close_database(connection)
    verdict = verify_file(data, archived=whole)
    assert verdict.position is not None
    assert archived.file in verdict.reason


def test_rows_can_be_deleted_by_nobody_else_before_and_after(data):
    archive(data, 1)
    connection = open_database(data)
    for table in (rows, archives):
        with pytest.raises(IntegrityError, match="append-only"), connection.begin():
            connection.execute(table.delete())
    close_database(connection)


def test_a_crash_between_file_and_rows_leaves_the_ledger_whole(data):
    whole, before = verify_file(data), read_digests(data)
    connection = open_database(data)
    with transaction(connection):
        part = find_part(connection, NOW_MS + DAY_MS + 1)
        written = write_part(connection, data / FOLDER, part, NOW_MS)
    close_database(connection)  # the process dies here: the file is there, and so are the rows
    assert (data / FOLDER / written.file).exists()
    assert verify_file(data) == whole

    connection = open_database(data)
    begun = connection.begin()
    drop_part(connection, written)
    begun.rollback()  # the process dies before the commit
    close_database(connection)
    assert verify_file(data) == whole
    assert positions(data)[0] == 1

    again = archive(data, 1)  # the same part, over the file that was left
    assert (again.file, again.last) == (written.file, written.last)
    assert verify_file(data) == whole
    assert read_digests(data) == before


def test_a_file_that_cannot_be_written_changes_nothing(data, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ArchiveError):
        archive(data, 1, tmp_path / "taken")
    assert positions(data)[0] == 1
