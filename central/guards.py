"""Triggers that refuse changes of a table to which rows are only appended.

They are against mistakes. What the database's owner changes all the same, `verify` finds.
"""

from typing import Final

from sqlalchemy import DDL, Table, event

DIALECTS: Final = ("sqlite", "postgresql")


def refusals(table: str, dialect: str) -> list[str]:
    """The statements that make a table append-only; where it is so already they do no harm.

    Args:
        table: its name.
        dialect: one of `DIALECTS`.
    """
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER IF NOT EXISTS {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'the table {table} is append-only'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        # The code is that of a broken constraint, as SQLite has it.
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', "
        "MESSAGE = 'the table ' || TG_TABLE_NAME || ' is append-only'; END $$",
        *(
            f"CREATE OR REPLACE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            for verb in ("UPDATE", "DELETE", "TRUNCATE")
        ),
    ]


def guard(table: Table) -> None:
    """Let a table be append-only wherever it is made."""
    for dialect in DIALECTS:
        for statement in refusals(table.name, dialect):
            ddl = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))
