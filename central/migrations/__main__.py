"""Write the next revision from what `central/tables.py` has and the revisions lack."""

import sys

from alembic import command
from sqlalchemy import create_engine

from central.migrations import newest, settings, upgrade


def write(what: str) -> None:
    """Write the file.

    Args:
        what: what changes, in a few words.
    """
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection)
        number = str(int(newest()) + 1)
        command.revision(settings(connection), what, autogenerate=True, rev_id=number)


if __name__ == "__main__":
    write(" ".join(sys.argv[1:]) or sys.exit('say what changes: make migration WHAT="..."'))
