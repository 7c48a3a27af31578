"""The tables: what the revisions make is what `central/tables.py` says, from any version before."""

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from central import migrations, postgres, sqlite
from central.database import close_database, open_database, open_reader
from central.postgres import Server
from central.sqlite import FILE_NAME
from central.tables import SCHEMA_VERSION, ledger, metadata
from shared.errors import ConfigError
from tests.central_scene import ScriptedEdge, acks, document, received, scene

GUARDED = ("accesses", "activations", "checkpoints", "ledger", "replays", "sourcings")


def connect(location):
    """A connection to a database without tables."""
    if isinstance(location, Server):
        connection = postgres.connect(location)
        with connection.begin():
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        return connection
    location.mkdir()
    return sqlite.connect(location / FILE_NAME)


def upgraded(location, version="head"):
    connection = connect(location)
    with connection.begin():
        migrations.upgrade(connection, version)
    return connection


def make_old(location, version):
    """A database as a program before Alembic has left it."""
    connection = upgraded(location, "4")
    with connection.begin():
        lacking = {
            2: "sourcings activations prices lots vault vault_keys accesses forgotten checkpoints "
            "replays",
            3: "vault vault_keys accesses forgotten checkpoints replays",
            4: "",
        }[version]
        for name in ("alembic_version", *sorted(lacking.split(), reverse=True)):
            connection.execute(text(f"DROP TABLE {name}"))
        connection.execute(text("CREATE TABLE schema_version (version INTEGER PRIMARY KEY)"))
        connection.execute(text(f"INSERT INTO schema_version VALUES ({version})"))
    close_database(connection)


def index_of(found):
    options = sorted((key, str(value)) for key, value in found["dialect_options"].items())
    return found["name"], found["column_names"], found["unique"], options


def described(connection):
    """All that tables consist of, apart from the order of columns."""
    found = {}
    with connection.begin():
        looked = inspect(connection)
        for table in looked.get_table_names():
            columns = [
                (x["name"], str(x["type"]), x["nullable"], x["default"])
                for x in looked.get_columns(table)
            ]
            found[table] = (
                sorted(columns),
                looked.get_pk_constraint(table),
                looked.get_foreign_keys(table),
                sorted(looked.get_unique_constraints(table), key=str),
                sorted(map(index_of, looked.get_indexes(table))),
            )
        triggers = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            if connection.dialect.name == "sqlite"
            else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
        )
        found["triggers"] = sorted(connection.scalars(text(triggers)))
    return found


def test_the_newest_revision_is_the_version_that_the_program_wants():
    assert migrations.newest() == str(SCHEMA_VERSION)


def test_revisions_are_one_line_of_numbers():
    revisions = ScriptDirectory.from_config(migrations.settings()).walk_revisions()
    assert [x.revision for x in revisions] == [str(x) for x in range(SCHEMA_VERSION, 3, -1)]


def test_the_revisions_make_the_tables_that_the_program_has(places):
    by_revisions = upgraded(places.new())
    at_once = open_database(places.new())
    with by_revisions.begin():
        context = MigrationContext.configure(by_revisions, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert described(by_revisions) == described(at_once)
    for connection in (by_revisions, at_once):
        close_database(connection)


def test_every_append_only_table_refuses_changes(places):
    for connection in (upgraded(places.new()), open_database(places.new())):
        triggers = described(connection)["triggers"]
        verbs = ["delete", "truncate", "update"]
        if connection.dialect.name == "sqlite":
            verbs.remove("truncate")
        else:
            with (
                pytest.raises(IntegrityError, match="the table ledger is append-only"),
                connection.begin(),
            ):
                connection.execute(text("TRUNCATE ledger"))
        assert triggers == [f"{table}_refuses_{verb}" for table in GUARDED for verb in verbs]
        close_database(connection)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_file_from_before_alembic_is_brought_up_to_date(tmp_path, version):
    location = tmp_path / "central"
    make_old(location, version)
    with pytest.raises(ConfigError, match=f"version {version}.*a start of central makes it so"):
        open_reader(location)
    old = open_database(location)
    new = open_database(tmp_path / "new")
    assert described(old) == described(new)
    for connection in (old, new):
        close_database(connection)
    edge = ScriptedEdge("e1")
    with scene(location) as stage:
        stage.publish(document())
        edge.say(received("dc", A=1))
        assert acks(stage.tell(edge.hello(), edge.batch())) == {"e1": 1}


def test_entries_of_a_version_before_stay_and_do_not_know_when_they_came(location):
    connection = upgraded(location, "4")
    with connection.begin():
        connection.execute(
            text("INSERT INTO ledger (edge_id, epoch, sequence, raw, hash) "
                 "VALUES ('e1', 1, 1, :raw, :raw)"),
            {"raw": b"x"},
        )  # fmt: skip
    close_database(connection)
    with scene(location) as stage:
        assert [(x["raw"], x["received_ms"]) for x in stage.rows(ledger)] == [(b"x", None)]


def test_an_upgrade_that_fails_leaves_the_version_before(location, monkeypatch):
    close_database(upgraded(location, "4"))
    whole = migrations.upgrade

    def torn(connection):
        whole(connection)
        connection.execute(text("SELECT * FROM no_such_table"))

    monkeypatch.setattr(migrations, "upgrade", torn)
    with pytest.raises(ConfigError):
        open_database(location)
    monkeypatch.undo()
    connection = open_database(location)
    assert "received_ms" in {x[0] for x in described(connection)["ledger"][0]}
    close_database(connection)


def test_a_start_loads_no_alembic_where_nothing_is_to_change(tmp_path):
    close_database(open_database(tmp_path))
    code = (
        "import sys; from pathlib import Path; from central.database import open_database; "
        f"open_database(Path({str(tmp_path)!r})); print('alembic' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert told.stdout.strip() == b"False"
