"""What planners have published, in SQL: sourcing documents for ever, prices while they are new."""

from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, func, select

from central.database import Location, insert_all, reading
from central.tables import activations, networks, prices, sourcings


class Activation(NamedTuple):
    """A sourcing document was put in force, and was so until the next one.

    Attributes:
        number: counts up.
        version: the document's.
        at_ms: when it came in force; milliseconds since 1970 UTC.
        before: number of the activation that a rollback brings back; None: there is none.
    """

    number: int
    version: str
    at_ms: int
    before: int | None


_HISTORY: Final = select(activations).order_by(activations.c.number.desc())
_EDITIONS: Final = select(
    select(func.max(networks.c.version)).scalar_subquery(),
    select(func.max(activations.c.number)).scalar_subquery(),
    select(func.max(prices.c.version)).scalar_subquery(),
)


class Editions(NamedTuple):
    """Which documents are the last ones; None: there is none."""

    network: int | None
    activation: int | None
    prices: int | None


def load_editions(connection: Connection) -> Editions:
    """Read without the documents, which are large."""
    return Editions(*connection.execute(_EDITIONS).one())


def in_force(connection: Connection) -> Activation | None:
    """The last activation."""
    row = connection.execute(_HISTORY.limit(1)).first()
    return None if row is None else Activation(*row)


def activation(connection: Connection, number: int) -> Activation:
    """The activation of a number that there is."""
    query = select(activations).where(activations.c.number == number)
    return Activation(*connection.execute(query).one())


def activate(connection: Connection, version: str, at_ms: int, before: int | None) -> None:
    """Put a sourcing document in force."""
    insert_all(connection, activations, [{"version": version, "at_ms": at_ms, "before": before}])


def load_sourcings(connection: Connection) -> dict[str, bytes]:
    """All sourcing documents, as they were published, by version."""
    return {row.version: row.document for row in connection.execute(select(sourcings))}


def load_sourcing(connection: Connection, version: str) -> bytes:
    """The sourcing document of a version that there is, as it was published."""
    query = select(sourcings.c.document).where(sourcings.c.version == version)
    document: bytes = connection.execute(query).scalar_one()
    return document


def save_sourcing(connection: Connection, version: str, document: bytes) -> None:
    """Keep a sourcing document."""
    insert_all(connection, sourcings, [{"version": version, "document": document}])


def latest_prices(connection: Connection) -> bytes | None:
    """The prices document, as it was published."""
    return connection.scalar(select(prices.c.document))


def save_prices(connection: Connection, version: int, document: bytes) -> None:
    """Keep a prices document instead of the one before."""
    connection.execute(delete(prices))
    insert_all(connection, prices, [{"version": version, "document": document}])


def read_history(location: Location) -> list[Activation]:
    """Every activation, the newest first; the database is only read.

    Raises:
        ConfigError: there is no database.
    """
    with reading(location) as connection:
        return [Activation(*row) for row in connection.execute(_HISTORY)]
