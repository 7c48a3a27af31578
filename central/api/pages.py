"""Cursors: where a page ends, as text that says nothing to who carries it."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, UnsetType

from central.api.asked import Page
from central.api.problems import ProblemError
from shared.limits import SEQUENCE_MAX

K = TypeVar("K")
R = TypeVar("R")

Text = Annotated[str, Meta(max_length=256, pattern="^[^\\x00]*$")]
Number = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
Pair = tuple[Text, Text]

_TEXT: Final = msgspec.json.Decoder(Text)
_NUMBER: Final = msgspec.json.Decoder(Number)
_PAIR: Final = msgspec.json.Decoder(Pair)


def text_key(page: Page) -> str | None:
    """The key that a page begins after; None: it is the first."""
    return _key(page.cursor, _TEXT)


def number_key(page: Page) -> int | None:
    """The same, where keys are numbers."""
    return _key(page.cursor, _NUMBER)


def pair_key(page: Page) -> tuple[str, str] | None:
    """The same, where keys are pairs of names, as node and SKU."""
    return _key(page.cursor, _PAIR)


def cut(rows: Sequence[R], wanted: Page, key: Callable[[R], Any]) -> tuple[Sequence[R], str | None]:
    """The rows of a page, out of one more than it may have; and the cursor of what follows.

    Args:
        rows: at most one more than `wanted.limit`.
        wanted: which page.
        key: of a row, what the next page begins after.
    """
    page = rows[: wanted.limit]
    return page, _cursor(key(page[-1])) if len(rows) > len(page) else None


def _cursor(key: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode("ascii").rstrip("=")


def _key(cursor: str | UnsetType, decoder: "msgspec.json.Decoder[K]") -> K | None:
    if isinstance(cursor, UnsetType):
        return None
    try:
        return decoder.decode(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", True))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise ProblemError(
            400, "invalid_cursor", "this is no cursor of this list", place="cursor",
            expected="`next` of the page before, unchanged",
        ) from None  # fmt: skip
