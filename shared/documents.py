"""What the documents that planners publish are made of."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from shared.errors import InvalidDataError, NotJsonError, split_error
from shared.limits import CHARGE_MINOR_MAX, COST_MINOR_MAX, WEIGHT_G_MAX

Minute = Annotated[int, Meta(ge=0, le=1440, description="Minute of the local day.")]
Grams = Annotated[int, Meta(ge=1, le=WEIGHT_G_MAX)]
Cost = Annotated[int, Meta(ge=0, le=COST_MINOR_MAX, description="Minor units.")]

Charge = Annotated[int, Meta(ge=0, le=CHARGE_MINOR_MAX, description="Minor units.")]
"""What comes on top of a tariff."""

T = TypeVar("T")


class Row(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of a document."""


def unique(what: str, names: list[str]) -> set[str]:
    """The names as a set.

    Raises:
        ValueError: one stands twice.
    """
    known: set[str] = set()
    for name in names:
        if name in known:
            raise ValueError(f"{what}: {name!r} stands twice")
        known.add(name)
    return known


def require_later(version: int, last: int) -> None:
    """Refuse a version that does not come after the last one.

    Raises:
        InvalidDataError: with the version that is wanted.
    """
    if version <= last:
        raise InvalidDataError(
            f"version {version} comes after version {last}",
            place="$.version",
            expected=f"a version greater than {last}",
        )


def parse(document: bytes, kind: type[T], expected: str) -> T:
    """Read a planner's JSON document.

    Raises:
        InvalidDataError: the place and what was expected there.
        NotJsonError: it is not text, or nested too deeply.
    """
    try:
        return msgspec.json.decode(document, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError(type(error).__name__, expected="JSON in UTF-8") from None
    except msgspec.DecodeError as error:
        detail, place = split_error(error)
        raise InvalidDataError(detail, place=place, expected=expected) from None
