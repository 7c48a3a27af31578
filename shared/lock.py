"""One process per data folder: two writers of one file would corrupt it, or sell twice."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.errors import ConfigError

FILE_NAME: Final = "lock"


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Make the folder if need be, and hold it; the kernel lets go with the process.

    Raises:
        ConfigError: the folder cannot be used, or another process holds it.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / FILE_NAME).open("w")
    except OSError as error:
        raise ConfigError(
            f"the data folder cannot be used: {error}",
            place="data_dir",
            expected="a folder that this user may write to",
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another daemon runs on {data_dir}",
                place="data_dir",
                expected="one daemon per folder",
            ) from None
        yield
