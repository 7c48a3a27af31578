"""The tables of central's database, version by version: Alembic's revisions, in `versions`.

To change the tables: change `central/tables.py`, raise its SCHEMA_VERSION by one, and run
`make migration WHAT="what changes"`, which writes the revision; then read it, and add to it what
Alembic does not see (triggers: `central.guards.refusals`). A released version is not changed.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

FOLDER: Final = Path(__file__).parent


def settings(connection: Connection | None = None) -> Config:
    """Alembic's configuration, for a connection inside a transaction."""
    found = Config()
    found.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    found.set_main_option("path_separator", "os")
    found.set_main_option("file_template", "version_%%(rev)s_%%(slug)s")
    found.attributes["connection"] = connection
    return found


def upgrade(connection: Connection, version: str = "head") -> None:
    """Bring a database up to a version. Inside a transaction; nothing is committed."""
    command.upgrade(settings(connection), version)


def newest() -> str:
    """The last version that there is a revision for."""
    head = ScriptDirectory.from_config(settings()).get_current_head()
    assert head is not None
    return head
