"""What may be kept of a refused input: never contact details, nor what looks like a number.

A till that sends a card or phone number by mistake must not leave it here.
"""

import re
from typing import Final

import msgspec

from shared.limits import EXCERPT_BYTES_MAX

_DIGITS: Final = re.compile(r"\d(?:[ -]?\d){6,}")


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


def masked(text: str) -> str:
    """The text without long runs of digits."""
    return _DIGITS.sub("#######", text)
