"""A store that is not the newest is recognised by what is remembered outside of it."""

import shutil
from pathlib import Path

import pytest

from edge.generation import Generation, inode_of, read_generation, unfit, write_generation

NOW = Generation(inode=7, position=100, feed=20)


def test_a_new_store_is_fit_and_an_old_one_whose_mark_is_gone_is_not() -> None:
    assert unfit(None, Generation(inode=7, position=0, feed=0)) == ""
    for found in (Generation(inode=7, position=1, feed=0), Generation(inode=7, position=0, feed=1)):
        assert "missing" in unfit(None, found)


@pytest.mark.parametrize("position, feed", [(100, 20), (101, 20), (100, 21), (999, 99)])
def test_a_store_may_be_further_than_its_mark(position: int, feed: int) -> None:
    """A crash comes between a commit and its mark."""
    assert unfit(NOW, Generation(inode=7, position=position, feed=feed)) == ""


@pytest.mark.parametrize("position, feed", [(99, 20), (100, 19), (0, 0), (200, 19), (99, 30)])
def test_a_store_that_is_behind_its_mark_is_a_backup(position: int, feed: int) -> None:
    reason = unfit(NOW, Generation(inode=7, position=position, feed=feed))
    assert "backup" in reason
    assert f"{NOW.position} and {NOW.feed}" in reason


def test_another_file_with_the_same_content_is_a_copy() -> None:
    assert "copy" in unfit(NOW, Generation(inode=8, position=100, feed=20))


def test_a_store_of_a_later_epoch_has_rejoined_whatever_its_marks_were() -> None:
    found = Generation(inode=7, position=3, feed=1, epoch=2)
    assert unfit(NOW, found) == ""
    elsewhere = Generation(inode=8, position=3, feed=1, epoch=2)
    assert unfit(NOW, elsewhere)  # a backup of that epoch, taken before its mark
    barred = Generation(inode=0, position=0, feed=0, epoch=1)
    assert unfit(barred, elsewhere) == ""  # nothing was known of the file before
    kept = Generation(inode=7, position=100, feed=20, epoch=2)
    assert unfit(kept, found) != ""


def test_a_copied_file_has_another_identity_and_a_moved_one_keeps_it(tmp_path: Path) -> None:
    original = tmp_path / "edge.db"
    original.write_bytes(b"x")
    inode = inode_of(original)
    copy = Path(shutil.copy2(original, tmp_path / "copy.db"))
    assert inode_of(copy) != inode
    assert inode_of(original.rename(tmp_path / "moved.db")) == inode


def test_what_was_written_is_read_and_the_newest_counts(tmp_path: Path) -> None:
    path = tmp_path / "generation.json"
    assert read_generation(path) is None
    for position in (1, 2, 300):
        write_generation(path, Generation(inode=7, position=position, feed=1))
    assert read_generation(path) == Generation(inode=7, position=300, feed=1)
    assert [file.name for file in tmp_path.iterdir()] == ["generation.json"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"inode": "x"}', b"\xff\x00"])
def test_a_mark_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "generation.json"
    path.write_bytes(content)
    assert read_generation(path) is None


def test_a_mark_without_an_epoch_is_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "generation.json"
    path.write_bytes(b'{"inode": 7, "position": 100, "feed": 20}')
    assert read_generation(path) == NOW


def test_a_crash_while_writing_leaves_the_mark_before(tmp_path: Path) -> None:
    path = tmp_path / "generation.json"
    write_generation(path, NOW)
    path.with_suffix(".new").write_bytes(b'{"inode": 7, "posi')
    assert read_generation(path) == NOW
    write_generation(path, NOW)
    assert [file.name for file in tmp_path.iterdir()] == ["generation.json"]


def test_a_disk_that_takes_no_mark_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_generation(tmp_path / "gone" / "generation.json", NOW)
