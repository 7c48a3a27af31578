"""SQLite's write-ahead log."""

import sqlite3


def empty(connection: sqlite3.Connection) -> bool:
    """Move what is in the log into the file, and empty it; nobody waits for it.

    What was overwritten in the file may be read in the log until then.

    Returns:
        Whether it is done; not while somebody reads, nor if the disk refuses.
    """
    try:
        (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
        connection.execute("PRAGMA busy_timeout=0")
        try:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.execute(f"PRAGMA busy_timeout={before}")
    except sqlite3.Error:
        return False
    return not busy
