"""The version of a database's tables: made, recognised, brought up to date.

Alembic owns them: each version is one file in `central/migrations/versions`. A new database gets
the tables as they are now, which a test holds to be what the versions one after the other make.
Alembic itself runs only where there is something to change: loading it takes longer than a start.
"""

from typing import Final

from sqlalchemy import Connection, insert, inspect, select

from central.tables import SCHEMA_VERSION, alembic_version, metadata, schema_version
from shared.errors import ConfigError

_OLDEST: Final = 2
_LAST_UNSTAMPED: Final = 4
"""Versions up to this one have their number in a table of our own."""


def bring_up(connection: Connection, name: str) -> None:
    """Make the tables, or bring them up to date. Inside a transaction of the only writer.

    Args:
        connection: the database.
        name: what a person calls it.

    Raises:
        ConfigError: they are of a version that this program does not know.
    """
    known = set(inspect(connection).get_table_names())
    found = _version(connection, known)
    if not known:
        metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(alembic_version).values(version_num=str(SCHEMA_VERSION)))
    elif found is not None and _OLDEST <= found < SCHEMA_VERSION:
        from central.migrations import upgrade  # Alembic is slow to load

        upgrade(connection)
    elif found != SCHEMA_VERSION:
        raise _unknown(name, found, "run the program version that made it")


def require_current(connection: Connection, name: str) -> None:
    """See that the tables are what this program reads. Inside a transaction.

    Raises:
        ConfigError: they are not.
    """
    found = _version(connection, set(inspect(connection).get_table_names()))
    if found != SCHEMA_VERSION:
        raise _unknown(name, found, "a start of central makes it so")


def _version(connection: Connection, known: set[str]) -> int | None:
    if alembic_version.name in known:
        stamp = connection.scalar(select(alembic_version.c.version_num)) or ""
        return int(stamp) if stamp.isdecimal() else None
    if schema_version.name in known:
        version = connection.scalar(select(schema_version.c.version))
        return version if version is not None and version <= _LAST_UNSTAMPED else None
    return None


def _unknown(name: str, found: int | None, advice: str) -> ConfigError:
    has = "tables of no known version" if found is None else f"schema version {found}"
    return ConfigError(
        f"{name} has {has}", place="database", expected=f"version {SCHEMA_VERSION}; {advice}"
    )
