"""Whether systems believe of orders what the ledger says: how many differ, which, since when.

A system's word agrees if the order is in one of the states that the configuration maps it to. An
order that central does not know differs. Words that the configuration does not know are counted
apart: nobody can say whether they agree.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, and_, case, false, func, or_, select

from central.database import Location, close_database, open_reader
from central.desk import OrderState
from central.tables import beliefs, orders

PAGE: Final = 500

Words: TypeAlias = Mapping[str, tuple[str, ...]]
"""A system's words, each with the states that it agrees with."""


class Rate(NamedTuple):
    """How far a system agrees.

    Attributes:
        system: its name.
        orders: of how many orders it has said a word that is known.
        differing: how many of those are in a state that the word does not mean.
        unknown: of how many its last word is not known.
    """

    system: str
    orders: int
    differing: int
    unknown: int


class Difference(NamedTuple):
    """An order of which a system believes something else.

    Attributes:
        order_id: the order.
        word: what the system says.
        state: what the ledger says; None: it does not know the order.
        since_ms: since when both say so; milliseconds since 1970 UTC.
    """

    order_id: str
    word: str
    state: OrderState | None
    since_ms: int


def rate(connection: Connection, system: str, words: Words) -> Rate:
    """How far a system agrees now. Looks at each of its beliefs once."""
    known, differs = _compared(words)
    counts = [func.coalesce(func.sum(case((x, 1), else_=0)), 0) for x in (known, differs, ~known)]
    query = _joined(select(*counts)).where(beliefs.c.system == system)
    comparable, differing, unknown = connection.execute(query).one()
    return Rate(system, int(comparable), int(differing), int(unknown))


def differences(
    connection: Connection, system: str, words: Words, *, after: str = "", rows_max: int = PAGE
) -> list[Difference]:
    """Orders of which a system believes something else, by id, from one order's id on."""
    _, differs = _compared(words)
    changed_ms = func.coalesce(orders.c.state_ms, 0)
    since_ms = case((changed_ms > beliefs.c.said_ms, changed_ms), else_=beliefs.c.said_ms)
    query = (
        _joined(select(beliefs.c.order_id, beliefs.c.word, orders.c.state, since_ms))
        .where(beliefs.c.system == system, beliefs.c.order_id > after, differs)
        .order_by(beliefs.c.order_id)
        .limit(rows_max)
    )
    return [Difference(*row) for row in connection.execute(query)]


def read_agreement(location: Location, words: Mapping[str, Words]) -> Iterator[Rate | Difference]:
    """Each system's rate, followed by what differs; the database is only read.

    Args:
        location: of the database of a central that may be running.
        words: by system.

    Raises:
        ConfigError: there is no database.
    """
    connection = open_reader(location)
    try:
        for system, known in words.items():
            with connection.begin():
                yield rate(connection, system, known)
            after: str | None = ""
            while after is not None:
                with connection.begin():  # none for long: central's log could not be emptied
                    page = differences(connection, system, known, after=after)
                yield from page
                after = page[-1].order_id if len(page) == PAGE else None
    finally:
        close_database(connection)


def _joined(query: Select[Any]) -> Select[Any]:
    return query.join_from(beliefs, orders, orders.c.order_id == beliefs.c.order_id, isouter=True)


def _compared(words: Words) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether a belief's word is known, and whether it then differs."""
    known = beliefs.c.word.in_(list(words))
    meant = (
        and_(beliefs.c.word == word, orders.c.state.in_(states)) for word, states in words.items()
    )
    agrees = case((or_(false(), *meant), 1), else_=0)
    return known, known & (agrees == 0)
