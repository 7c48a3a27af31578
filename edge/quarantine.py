"""What may be kept of a refused input: never contact details, nor what looks like a number.

A till that sends a card or phone number by mistake must not leave it here.
"""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
from sqlite_utils import Database

from shared.errors import StorageError
from shared.limits import EXCERPT_BYTES_MAX


def read_quarantine(path: Path) -> list[dict[str, Any]]:
    """The refused inputs, newest first, read beside a running daemon.

    Raises:
        StorageError: there is no such file.
    """
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return list(Database(connection)["quarantine"].rows_where(order_by="last_at desc"))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StorageError(
            f"{path}: {error}", place=str(path), expected="the data_dir of an edge that has run"
        ) from error


def excerpt(payload: bytes) -> str:
    """The beginning of a refused payload, without contact details."""
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if b"contact" in payload:
            return "(not kept: not JSON, and may hold contact details)"
    else:
        data = document.get("data") if isinstance(document, dict) else None
        if isinstance(data, dict) and "contact" in data:
            data["contact"] = "(not kept)"
            payload = msgspec.json.encode(document)
    return payload[:EXCERPT_BYTES_MAX].decode(errors="replace")
