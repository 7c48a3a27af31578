"""Contact details do not belong into an edge's log; here is where they stop. Pure."""

from typing import Any

import msgspec


def without_contacts(raw: bytes) -> bytes:
    """An event of an edge's log, with every `contact` in it emptied; nearly always the same bytes.

    Our edges never put one there. What comes from one that does is mended before anything is
    chained, stored or passed on. The empty contact stays, so that it is noted.

    Args:
        raw: one JSON value.
    """
    if b"contact" not in raw:
        return raw
    try:
        event = msgspec.json.decode(raw.decode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        return raw  # `central.stream` cannot read it either, and refuses it
    return msgspec.json.encode(event) if _empty(event) else raw


def _empty(event: Any) -> bool:
    """Empty the contacts of a decoded document, at any depth; whether there was any."""
    found = False
    todo = [event]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            if part.get("contact"):
                part["contact"] = {}
                found = True
            todo += part.values()
        elif isinstance(part, list):
            todo += part
    return found
