"""Which events a follower tells of, by the kind that stands in their type."""

import re
from collections.abc import Iterable
from typing import Final

PATTERN: Final = r"^(\*|[a-z]+(\.[a-z]+)*(\.\*)?)$"
"""Of one choice in a configuration: `*`, `order.*`, or `order.accepted`."""

_TYPE = re.compile(r"pointsman\.([a-z]+(?:\.[a-z]+)*)\.v[0-9]+")


def kind_of(type_: str | None) -> str | None:
    """The kind in an event's type; None for a type that is not ours, or of no event at all.

    The type of a poison event is whatever an edge has sent; what is no kind must not get into a
    topic.
    """
    found = None if type_ is None else _TYPE.fullmatch(type_)
    return None if found is None else found[1]


class Kinds:
    """A set of kinds.

    Args:
        chosen: as in the configuration, see `PATTERN`.
    """

    def __init__(self, chosen: Iterable[str]) -> None:
        """See the class."""
        self._exact = {choice for choice in chosen if not choice.endswith("*")}
        self._prefixes = tuple(choice[:-1] for choice in chosen if choice.endswith("*"))

    def __contains__(self, kind: str | None) -> bool:
        return kind is not None and (kind in self._exact or kind.startswith(self._prefixes))

    def __bool__(self) -> bool:
        return bool(self._exact or self._prefixes)
