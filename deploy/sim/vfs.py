"""A shim under the interpreter's own SQLite: asks Python before anything is written.

SQLite reaches files through a table of C functions, the VFS, and an open file through another
one, its methods. The shim registers a copy of the default VFS under a name of its own, in the
very library that the `sqlite3` module is linked with, and gives each file that it opens a copy
of the file's methods in which writing, truncating, syncing and closing call Python first. All
the rest, and so all reading, goes to the original functions at their own speed.

A file whose power was cut gets a third table: every operation fails with an I/O error, and
nothing is touched.
"""

import _sqlite3
import atexit
import ctypes
import os
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeAlias

from shared.errors import PointsmanError

VFS_NAME: Final = "pointsman-disk"

OK: Final = 0
IOERR: Final = 10
FULL: Final = 13
_CANTOPEN: Final = 14

_JOURNALS: Final = 0x800 | 0x4000 | 0x80000  # main journal, super-journal, WAL
_FOLLOWED: Final = 0x100 | _JOURNALS  # main database; temporary files need no disk

# The GIL stays held while an original runs: it takes microseconds, and never waits for Python.
_function = ctypes.PYFUNCTYPE

_METHODS: Final[dict[str, Any]] = {
    "xClose": _function(c_int, c_void_p),
    "xRead": _function(c_int, c_void_p, c_void_p, c_int, c_int64),
    "xWrite": _function(c_int, c_void_p, c_void_p, c_int, c_int64),
    "xTruncate": _function(c_int, c_void_p, c_int64),
    "xSync": _function(c_int, c_void_p, c_int),
    "xFileSize": _function(c_int, c_void_p, c_void_p),
    "xLock": _function(c_int, c_void_p, c_int),
    "xUnlock": _function(c_int, c_void_p, c_int),
    "xCheckReservedLock": _function(c_int, c_void_p, c_void_p),
    "xFileControl": _function(c_int, c_void_p, c_int, c_void_p),
    "xSectorSize": _function(c_int, c_void_p),
    "xDeviceCharacteristics": _function(c_int, c_void_p),
    "xShmMap": _function(c_int, c_void_p, c_int, c_int, c_int, c_void_p),
    "xShmLock": _function(c_int, c_void_p, c_int, c_int, c_int),
    "xShmBarrier": _function(None, c_void_p),
    "xShmUnmap": _function(c_int, c_void_p, c_int),
    "xFetch": _function(c_int, c_void_p, c_int64, c_int, c_void_p),
    "xUnfetch": _function(c_int, c_void_p, c_int64, c_void_p),
}
"""The methods of an open file, `sqlite3_io_methods`, in their order."""

# A dead file may still be unlocked, unmapped and closed: that sets memory free, no more.
_FAIL_WHEN_DEAD: Final = (
    "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xCheckReservedLock",
    "xFileControl", "xShmMap", "xShmLock", "xFetch",
)  # fmt: skip

_Functions: TypeAlias = dict[str, Callable[..., int]]

_Open = _function(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = _function(c_int, c_void_p, c_void_p, c_int)


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`."""

    _fields_: ClassVar = [("iVersion", c_int), *((name, c_void_p) for name in _METHODS)]


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`."""

    _fields_: ClassVar = [
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        # xAccess, xFullPathname, and whatever else passes through as it is.
        ("others", c_void_p * 14),
    ]


class NoLibraryError(PointsmanError):
    """SQLite cannot be reached from outside the `sqlite3` module."""

    code = "no_sqlite_library"


class File(Protocol):
    """A file, asked before SQLite changes it. Each answer is `OK`, or the SQLite error code."""

    def write(self, offset: int, data: bytes) -> int:
        """Bytes are about to be written at an offset."""
        ...

    def unwrite(self) -> None:
        """The last write could not be done after all."""
        ...

    def truncate(self, size_bytes: int) -> int:
        """The file is about to be cut to a size."""
        ...

    def sync(self) -> int:
        """What was written is to survive a power cut."""
        ...


class Volume(Protocol):
    """A folder of files."""

    def open(self, name: str, is_new: bool) -> File:
        """A file is about to be opened, or made."""
        ...

    def delete(self, name: str, synced: bool) -> int:
        """A file is about to be deleted; `synced`: for good. `OK`, or the SQLite error code."""
        ...


class _Tables:
    """The methods of a kind of file: the original ones, ours, and those of a dead file."""

    def __init__(self, original: int, opened: "dict[int, _Opened]", files: dict[int, File]) -> None:
        self.original = original
        methods = _Methods.from_address(original)
        close_file, write_file, truncate_file, unmap_file = (
            _METHODS[name](getattr(methods, name) or 0)
            for name in ("xClose", "xWrite", "xTruncate", "xShmUnmap")
        )

        def close(handle: int) -> int:
            opened.pop(handle, None)
            files.pop(handle, None)
            code: int = close_file(handle)
            return code

        def write(handle: int, data: int, count: int, offset: int) -> int:
            file = files[handle]
            code: int = file.write(offset, ctypes.string_at(data, count))
            if code:
                return code
            code = write_file(handle, data, count, offset)
            if code:
                file.unwrite()
            return code

        def truncate(handle: int, size_bytes: int) -> int:
            code: int = files[handle].truncate(size_bytes) or truncate_file(handle, size_bytes)
            return code

        def sync(handle: int, _: int) -> int:
            return files[handle].sync()

        def fail(*_: int) -> int:
            return IOERR

        def unmap(handle: int, _: int) -> int:
            # Never delete: by that name there may be another file now.
            code: int = unmap_file(handle, 0)
            return code

        live: _Functions = {
            "xClose": close,
            "xWrite": write,
            "xTruncate": truncate,
            "xSync": sync,
        }
        dead: _Functions = {"xClose": close, "xShmUnmap": unmap}
        self.live = _changed(methods, live)
        self.dead = _changed(methods, dead | dict.fromkeys(_FAIL_WHEN_DEAD, fail))


class _Opened(NamedTuple):
    volume: Volume
    tables: _Tables


class Shim:
    """The VFS, registered once in a process; `shim` gives it.

    Raises:
        NoLibraryError: SQLite's own functions cannot be found.
    """

    def __init__(self) -> None:
        """See the class."""
        library = _library()
        self._volumes: dict[Path, Volume] = {}
        self._tables: dict[int, _Tables] = {}
        # By the address of SQLite's handle; `_files` apart, since every write looks there.
        self._opened: dict[int, _Opened] = {}
        self._files: dict[int, File] = {}
        library.sqlite3_vfs_find.restype = c_void_p
        self._default: int = library.sqlite3_vfs_find(None)
        vfs = _Vfs.from_buffer_copy(_Vfs.from_address(self._default))
        self._open_file = _Open(vfs.xOpen)
        self._delete_file = _Delete(vfs.xDelete)
        vfs.pNext = None
        vfs.zName = VFS_NAME.encode()
        vfs.xOpen = _address(_Open(self._open))
        vfs.xDelete = _address(_Delete(self._delete))
        _keep(vfs)
        code = library.sqlite3_vfs_register(ctypes.byref(vfs), 0)
        assert code == OK, code
        atexit.register(self._let_go)

    def mount(self, folder: Path, volume: Volume) -> None:
        """Ask `volume` about the files of a folder (an absolute path without links)."""
        self._volumes[folder] = volume

    def unmount(self, folder: Path) -> None:
        """No file of the folder can be opened any more, and those that are open are dead."""
        volume = self._volumes.pop(folder, None)
        if volume is not None:
            self.kill(volume)

    def kill(self, volume: Volume) -> None:
        """Let everything fail that is done with the volume's open files from now on."""
        for handle, opened in list(self._opened.items()):
            if opened.volume is volume:
                del self._opened[handle], self._files[handle]
                _point(handle, ctypes.addressof(opened.tables.dead))

    def _open(self, _: int, name: int, handle: int, flags: int, flags_out: int) -> int:
        # The name is handed on where it lies: the parameters of its URI lie behind it.
        if not name or not flags & _FOLLOWED:
            return self._open_original(name, handle, flags, flags_out)
        path = _path(name)
        volume = self._volumes.get(path.parent)
        if volume is None:
            _point(handle, 0)
            return _CANTOPEN
        is_new = not path.exists()
        code = self._open_original(name, handle, flags, flags_out)
        if code == OK:
            original = c_void_p.from_address(handle).value or 0
            if original not in self._tables:
                self._tables[original] = _Tables(original, self._opened, self._files)
            tables = self._tables[original]
            self._opened[handle] = _Opened(volume, tables)
            self._files[handle] = volume.open(path.name, is_new)
            _point(handle, ctypes.addressof(tables.live))
        return code

    def _open_original(self, name: int, handle: int, flags: int, flags_out: int) -> int:
        code: int = self._open_file(self._default, name, handle, flags, flags_out)
        return code

    def _delete(self, _: int, name: int, synced: int) -> int:
        path = _path(name)
        volume = self._volumes.get(path.parent)
        code: int = OK if volume is None else volume.delete(path.name, bool(synced))
        return code or self._delete_file(self._default, name, synced)

    def _let_go(self) -> None:
        """Give open files their own methods back: they may outlive Python."""
        for handle, opened in self._opened.items():
            _point(handle, opened.tables.original)


@cache
def shim() -> Shim:
    """The process's one shim.

    Raises:
        NoLibraryError: SQLite's own functions cannot be found.
    """
    return Shim()


def _library() -> ctypes.CDLL:
    """The SQLite that the `sqlite3` module uses, found through the module's own file."""
    path = getattr(_sqlite3, "__file__", None)
    try:
        if path is not None:
            library = ctypes.CDLL(path)
            if hasattr(library, "sqlite3_vfs_find") and hasattr(library, "sqlite3_vfs_register"):
                return library
    except OSError:
        pass
    raise NoLibraryError(
        "this Python has SQLite linked in, so that no other code can reach it",
        place="sqlite3",
        expected="a Python whose sqlite3 module uses a shared libsqlite3, as Debian's does",
    )


def _changed(methods: _Methods, overrides: _Functions) -> _Methods:
    copy = _Methods.from_buffer_copy(methods)
    for name, function in overrides.items():
        if getattr(copy, name):
            setattr(copy, name, _address(_METHODS[name](function)))
    _keep(copy)
    return copy


def _address(callback: Any) -> int | None:
    _keep(callback)
    return ctypes.cast(callback, c_void_p).value


def _keep(thing: object) -> None:
    """Never free it: SQLite may call it until the process is gone, after Python has ended."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _path(name: int) -> Path:
    return Path(os.fsdecode(ctypes.string_at(name)))


def _point(handle: int, methods: int) -> None:
    """Give an open file other methods."""
    c_void_p.from_address(handle).value = methods
