"""Files that hold secrets: only their owner reads them, and they are replaced durably."""

import os
from pathlib import Path


def replace_private(path: Path, content: bytes) -> None:
    """Write a file anew, with mode 0600; if there is one, its owner stays.

    Raises:
        OSError: it cannot be written; then it is as it was.
    """
    new = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    new.unlink(missing_ok=True)
    with open(new, "wb", opener=_private) as file:
        if path.exists():
            was = path.stat()
            os.fchown(file.fileno(), was.st_uid, was.st_gid)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)
