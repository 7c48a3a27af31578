"""Which sourcing document is in force, and which prices: publishing, and rolling back.

A version never changes once it is published. Each activation knows the one that a rollback of it
brings back; a rollback hands that knowledge on, so that the next one goes one further back.
"""

from typing import ClassVar, Final

from central import published
from central.feed import document_of
from central.turn import Turn
from shared.clock import to_ms
from shared.documents import require_later
from shared.errors import InvalidDataError, PointsmanError
from shared.prices import parse_prices
from shared.sourcing import Profile, Sourcing, parse_sourcing

AHEAD_MS: Final = 600_000
"""So far may the clock of who makes prices be ahead of central's."""


class ImmutableError(PointsmanError):
    """A version that was published before has other content now."""

    code: ClassVar[str] = "immutable"


class NothingBeforeError(PointsmanError):
    """There is no sourcing document to go back to."""

    code: ClassVar[str] = "nothing_before"


def publish(turn: Turn, document: bytes) -> None:
    """Keep a sourcing document, put it in force, feed it to every edge.

    The document in force again does nothing; one that was so before comes in force again.

    Raises:
        InvalidDataError: it is no sourcing document.
        ImmutableError: its version, or that of a profile, was published with other content.
    """
    sourcing = parse_sourcing(document)
    known = {
        version: parse_sourcing(body)
        for version, body in published.load_sourcings(turn.connection).items()
    }
    last = published.in_force(turn.connection)
    if sourcing.version not in known:
        _require_same_profiles(sourcing, known)
        published.save_sourcing(turn.connection, sourcing.version, document)
    elif sourcing != known[sourcing.version]:
        raise ImmutableError(
            f"version {sourcing.version!r} was published before with other content",
            place="$.version",
            expected="a new version for a changed document",
        )
    elif last is not None and last.version == sourcing.version:
        return
    _activate(turn, sourcing, None if last is None else last.number)


def roll_back(turn: Turn) -> None:
    """Put the sourcing document back in force that was so before the present one.

    Raises:
        NothingBeforeError: there is none.
    """
    last = published.in_force(turn.connection)
    if last is None or last.before is None:
        raise NothingBeforeError(
            "no sourcing document was ever published"
            if last is None
            else f"no sourcing document was in force before {last.version!r}",
            place="version",
            expected="`pointsman central sourcing publish` with the one that is wanted",
        )
    before = published.activation(turn.connection, last.before)
    document = published.load_sourcing(turn.connection, before.version)
    _activate(turn, parse_sourcing(document), before.before)


def versions(turn: Turn) -> tuple[str | None, str | None]:
    """The version in force, and the one that a rollback would bring back."""
    last = published.in_force(turn.connection)
    if last is None or last.before is None:
        return (None if last is None else last.version), None
    return last.version, published.activation(turn.connection, last.before).version


def publish_prices(turn: Turn, document: bytes) -> int:
    """Keep a prices document instead of the one before, and feed it to every edge.

    The same document again does nothing.

    Returns:
        Its version.

    Raises:
        InvalidDataError: it is no prices document, its version is not a later one, or it is of
            the future: such prices would not age until then.
    """
    prices = parse_prices(document)
    if to_ms(prices.made_at) > turn.now_ms + AHEAD_MS:
        raise InvalidDataError(
            f"the prices are of {prices.made_at.isoformat()}, which is still to come",
            place="$.made_at",
            expected="when the prices were true, by a clock that is right",
        )
    latest = published.latest_prices(turn.connection)
    if latest is not None:
        last = parse_prices(latest)
        if last == prices:
            return prices.version
        require_later(prices.version, last.version)
    published.save_prices(turn.connection, prices.version, document)
    turn.publish("prices", document_of(prices))
    return prices.version


def _activate(turn: Turn, sourcing: Sourcing, before: int | None) -> None:
    published.activate(turn.connection, sourcing.version, turn.now_ms, before)
    turn.publish("sourcing", document_of(sourcing))


def _require_same_profiles(sourcing: Sourcing, known: dict[str, Sourcing]) -> None:
    """A plan names its profile's version, which must mean one profile for ever."""
    earlier: dict[str, tuple[str, Profile]] = {
        profile.version: (version, profile)
        for version, other in known.items()
        for profile in other.profiles
    }
    for number, profile in enumerate(sourcing.profiles):
        version, same = earlier.get(profile.version, ("", profile))
        if profile != same:
            raise ImmutableError(
                f"profile {profile.version!r} was published in version {version!r} "
                "with other content",
                place=f"$.profiles[{number}]",
                expected="a new version for a changed profile, in `rules` and `otherwise` too",
            )
