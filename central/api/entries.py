"""The ledger's entries as the API shows them.

Customer tokens and places are in `order.accepted`, and routing needs them there; but where a
customer lives is not for everybody who may follow orders. Contacts are in no entry at all.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from central.api.answers import Entry

_WITHHELD: Final = ("customer", "destination")


def entry_of(row: Any, *, whole: bool) -> Entry:
    """A row of `central.queries` as an entry.

    Args:
        row: of the ledger.
        whole: with customer and place.
    """
    raw, withheld = _readable(row.raw), False
    if not whole and b'"payment"' in raw:
        raw, withheld = _without_persons(raw)
    return Entry(
        position=row.position,
        edge_id=row.edge_id,
        epoch=row.epoch,
        sequence=row.sequence,
        hash=row.hash.hex(),
        type=row.type,
        event=Raw(raw),
        withheld=withheld,
    )


def _readable(raw: bytes) -> bytes:
    """JSON in UTF-8 on one line: what a faulty edge has put there may be less."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        raw = raw.decode(errors="replace").encode()
    # Between JSON's tokens only: inside of a string a line's end is always escaped.
    return raw.replace(b"\r", b" ").replace(b"\n", b" ")


def _without_persons(raw: bytes) -> tuple[bytes, bool]:
    event = msgspec.json.decode(raw)
    data = event.get("data") if isinstance(event, dict) else None
    payment = data.get("payment") if isinstance(data, dict) else None
    if not isinstance(payment, dict):
        return raw, False
    found = [name for name in _WITHHELD if payment.pop(name, None) is not None]
    return msgspec.json.encode(event), bool(found)
