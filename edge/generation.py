"""What is remembered of the store outside the store, to recognise one that is not the newest.

A database that was restored from a backup, or copied to another disk, would sell again what
was sold. Beside it lies a small file with the store's highest marks, written after commits,
and with the database file's own identity on its disk, which a copy does not have. The file
belongs on another disk than backups are restored to, if there is one.
"""

import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

FILE_NAME: Final = "generation.json"


class Generation(Struct, frozen=True, kw_only=True):
    """How far a store has come.

    Attributes:
        inode: identity of the database file on its disk.
        position: end of its log.
        feed: newest feed item that it has applied.
        epoch: the one that it is in.
    """

    inode: int
    position: int
    feed: int
    epoch: int = 1


def unfit(kept: Generation | None, found: Generation) -> str:
    """Why a store must not sell; empty if it may.

    Args:
        kept: what was remembered outside; None: nothing.
        found: what the store has now.
    """
    if kept is None:
        # A new store has nothing to be remembered; any other must have left its mark.
        return "" if found.position == found.feed == 0 else "its generation file is missing"
    if found.epoch > kept.epoch and kept.inode in (0, found.inode):
        return ""  # It has rejoined, and was ended before that left its mark.
    if found.position < kept.position or found.feed < kept.feed:
        return (
            f"its log ends at {found.position} and its feed at {found.feed}; they had come to "
            f"{kept.position} and {kept.feed}: was a backup restored?"
        )
    if found.inode != kept.inode:
        return "the database is not the file that it was: a copy, or a backup?"
    return ""


def read_generation(path: Path) -> Generation | None:
    """What was remembered; None where nothing was, or nothing readable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Generation)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_generation(path: Path, generation: Generation) -> None:
    """Remember; a crash leaves the mark before or this one.

    Raises:
        OSError: the disk is full or broken.
    """
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(generation))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # Else a power cut may take the new name away again.
    finally:
        os.close(folder)


def inode_of(path: Path) -> int:
    """Identity of a file on its disk."""
    return path.stat().st_ino
