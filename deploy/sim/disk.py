"""A disk whose power can be cut: what was not synced is lost, or torn, or happens to survive.

Real SQLite runs on it, through `deploy.sim.vfs`, and the files in its folder are real. Beside
each one the disk keeps the bytes that are synced, and the changes since; what a cut leaves is
put together from these. Killing a process shows nothing of this: the kernel still writes what
the process had handed over.
"""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import W_OK, access
from pathlib import Path
from random import Random
from typing import Final, Literal, Self, TypeAlias

from deploy.sim.vfs import FULL, IOERR, OK, VFS_NAME, shim

SECTOR_BYTES: Final = 512
"""What survives a cut whole or not at all."""

Image: TypeAlias = Mapping[str, bytes]
"""What was on a disk: the bytes of each file, by name."""

_RAM: Final = Path("/dev/shm")  # noqa: S108  # only a folder of our own in it is used
_SHARED_MEMORY: Final = "-shm"

_Change: TypeAlias = tuple[int, bytes | None]
"""Bytes at an offset; None: the file ends there now."""


Operation: TypeAlias = Literal["write", "sync", "truncate", "delete"]


@dataclass(slots=True)
class _CutToCome:
    operations: int
    random: Random
    keep: float
    of: Operation | None

    def is_now(self, what: Operation) -> bool:
        """Count an operation; whether the power goes in it."""
        self.operations -= self.of in (None, what)
        return self.operations == 0


class Disk:
    """Some files, in a folder, that live through power cuts.

    The same operations and the same random numbers leave the same sectors. (Not quite the same
    bytes: SQLite salts its logs.) Only what goes through the VFS is seen, and subfolders are not
    on the disk.

    Args:
        folder: where the files are; made if missing, and kept. Without one, a new folder in
            memory where there is such, which `close` removes.

    Attributes:
        folder: the same, as an absolute path without links.
        operations: writes, syncs, truncations and deletions so far.
        cuts: how often the power went.
        cut_in: the operation in which it last went, such as "sync edge.db-wal"; empty if it
            went between two.

    Raises:
        NoLibraryError: this Python's SQLite cannot be reached.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """See the class."""
        self._shim = shim()
        self._ours: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            ram = _RAM if access(_RAM, W_OK) else None
            self._ours = tempfile.TemporaryDirectory(prefix="pointsman-disk-", dir=ram)
            folder = Path(self._ours.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.operations = 0
        self.cuts = 0
        self.cut_in = ""
        self._to_come: _CutToCome | None = None
        self._bytes_free: int | None = None
        self._is_watched = False  # a cut is to come, or space is short
        self._files: dict[str, _File] = {}
        self._files_synced: dict[str, _File] = {}  # what the folder says after a cut
        self._take_over(
            (path.name, path.read_bytes())
            for path in self.folder.iterdir()
            if path.is_file() and not path.name.endswith(_SHARED_MEMORY)
        )
        self._shim.mount(self.folder, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the disk away; whatever still has a file of it open meets I/O errors."""
        self._shim.unmount(self.folder)
        if self._ours is not None:
            self._ours.cleanup()

    def path(self, name: str) -> Path:
        """Where a file is, for whoever opens it with the VFS `VFS_NAME` himself."""
        return self.folder / name

    def uri(self, name: str) -> str:
        """What `sqlite3.connect(..., uri=True)` takes to open a file on this disk."""
        return f"{self.path(name).as_uri()}?vfs={VFS_NAME}"

    # The power.

    def cut(self, random: Random, keep: float = 0.5) -> None:
        """Cut the power, and let it come back.

        Every open connection is dead: it meets I/O errors, and changes nothing any more. The
        files can be opened anew. Each sector of each write that was not synced, each such
        truncation, and each file that came or went without a sync has survived or not.

        Args:
            random: decides what survives.
            keep: the probability of each one to survive; 0: all is lost, 1: nothing is.
        """
        left: dict[str, bytes] = {}
        for name in sorted({*self._files, *self._files_synced}):
            file, before = self._files.get(name), self._files_synced.get(name)
            if file is not before and random.random() >= keep:
                file = before
            if file is not None:
                left[name] = file.after_cut(random, keep)
        self.cuts += 1
        self.cut_in = ""
        self._to_come = None
        self._watch()
        self.restore(left)

    def cut_after(
        self, operations: int, random: Random, keep: float = 0.5, of: Operation | None = None
    ) -> None:
        """Cut the power in the midst of an operation to come.

        That operation fails, though some of it may survive; for the rest see `cut`. Whoever
        drives the disk looks at `cuts` to know whether it has happened.

        Args:
            operations: in how many operations from now: 1 is the next one.
            random: decides what survives.
            keep: probability to survive.
            of: count only such operations.
        """
        assert operations > 0, operations
        self._to_come = _CutToCome(operations, random, keep, of)
        self._watch()

    # The whole of it.

    def snapshot(self) -> Image:
        """A copy of everything, as programs see it now."""
        return {name: file.now() for name, file in sorted(self._files.items())}

    def restore(self, image: Image) -> None:
        """Put a copy back, synced, in place of everything. Every open connection is dead."""
        self._shim.kill(self)
        for name in {*self._files, *self._files_synced}:
            self.path(name).unlink(missing_ok=True)
            self.path(name + _SHARED_MEMORY).unlink(missing_ok=True)
        # New files, never the old ones: dead connections still hold those, and their locks.
        for name, content in image.items():
            self.path(name).write_bytes(content)
        self._take_over(image.items())

    def _take_over(self, contents: Iterable[tuple[str, bytes]]) -> None:
        self._files = {name: _File(self, name, content) for name, content in contents}
        self._files_synced = dict(self._files)

    # Space.

    def fail_writes_after(self, bytes_free: int) -> None:
        """Let the disk be full after so many bytes more: writes fail with SQLITE_FULL.

        Overwriting takes space too, as it does where a file system keeps what was before.
        """
        self._bytes_free = bytes_free
        self._watch()

    def free(self) -> None:
        """There is space again, and no end to it."""
        self._bytes_free = None
        self._watch()

    # What the shim asks, and the files.

    def open(self, name: str, is_new: bool) -> "_File":
        """A file is about to be opened, or made."""
        if is_new or name not in self._files:
            self._files[name] = _File(self, name, b"")
        return self._files[name]

    def delete(self, name: str, synced: bool) -> int:
        """A file is about to be deleted; `synced`: for good."""
        self._files.pop(name, None)  # First: a cut in the midst of it may find it done.
        code = self._count("delete", name)
        if code == OK and synced:
            self.sync_names()
        return code

    def sync_names(self) -> None:
        """Which files there are survives a cut from now on."""
        self._files_synced = dict(self._files)

    def is_named(self, name: str, file: "_File") -> bool:
        """Whether that this file exists survives a cut."""
        return self._files_synced.get(name) is file

    def _count(self, what: Operation, name: str, count_bytes: int = 0) -> int:
        """Count an operation; `OK`, or the SQLite error that it meets."""
        self.operations += 1
        if not self._is_watched:
            return OK
        to_come = self._to_come
        if to_come is not None and to_come.is_now(what):
            self.cut(to_come.random, to_come.keep)
            self.cut_in = f"{what} {name}"
            return IOERR
        if self._bytes_free is not None:
            if count_bytes > self._bytes_free:
                return FULL
            self._bytes_free -= count_bytes
        return OK

    def _watch(self) -> None:
        self._is_watched = self._to_come is not None or self._bytes_free is not None


class _File:
    """One file: its synced bytes, and the changes since, oldest first."""

    def __init__(self, disk: Disk, name: str, content: bytes) -> None:
        self._disk = disk
        self._name = name
        self._synced = bytearray(content)
        self._changes: list[_Change] = []

    def write(self, offset: int, data: bytes) -> int:
        """Bytes are about to be written."""
        self._changes.append((offset, data))  # First: a cut in the midst of it may keep some.
        code = self._disk._count("write", self._name, len(data))
        if code == FULL:
            self._changes.pop()
        return code

    def unwrite(self) -> None:
        """The last write could not be done after all."""
        self._changes.pop()

    def truncate(self, size_bytes: int) -> int:
        """The file is about to be cut to a size."""
        self._changes.append((size_bytes, None))
        return self._disk._count("truncate", self._name)

    def sync(self) -> int:
        """What was written survives from now on; for a new file, that it exists as well."""
        code = self._disk._count("sync", self._name)
        if code == OK:
            for change in self._changes:
                _apply(self._synced, change)
            self._changes.clear()
            # SQLite syncs the folder with a new journal, and ext4 does with any new file.
            if not self._disk.is_named(self._name, self):
                self._disk.sync_names()
        return code

    def now(self) -> bytes:
        """The bytes as programs see them."""
        content = bytearray(self._synced)
        for change in self._changes:
            _apply(content, change)
        return bytes(content)

    def after_cut(self, random: Random, keep: float) -> bytes:
        """The bytes as a cut leaves them."""
        content = bytearray(self._synced)
        for change in self._changes:
            for part in _sectors(change):
                if random.random() < keep:
                    _apply(content, part)
        return bytes(content)


def _sectors(change: _Change) -> Iterable[_Change]:
    """The parts of a change that survive each for itself."""
    offset, data = change
    if data is None:
        yield change
        return
    start = 0
    while start < len(data):
        # To the end of the sector of the file, wherever in it the write begins.
        end = start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES
        yield offset + start, data[start:end]
        start = end


def _apply(content: bytearray, change: _Change) -> None:
    offset, data = change
    missing = offset - len(content)
    if missing > 0:
        content.extend(bytes(missing))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data
