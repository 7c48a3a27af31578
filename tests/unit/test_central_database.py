import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from central.database import close_database, open_database, open_reader
from central.postgres import Server
from central.tables import ledger
from shared.errors import ConfigError, StorageError
from shared.events import OrderParked
from tests.central_scene import ScriptedEdge, acks, document, received, scene, shortage


@pytest.fixture
def stage(location):
    with scene(location) as found:
        yield found


@pytest.mark.parametrize("version", ["99", "1", "of another program"])
def test_a_database_of_another_version_is_not_touched(location, version):
    database = open_database(location)
    with database.begin():
        database.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    close_database(database)
    for opened in (open_database, open_reader):
        with pytest.raises(ConfigError, match=f"version {version}|no known version"):
            opened(location)


def test_a_database_with_another_program_s_tables_is_not_touched(location):
    database = open_database(location)
    with database.begin():
        database.execute(text("DROP TABLE alembic_version"))
    close_database(database)
    for opened in (open_database, open_reader):
        with pytest.raises(ConfigError, match="no known version"):
            opened(location)


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        open_database(tmp_path / "file" / "data")
    with pytest.raises(ConfigError):
        open_reader(tmp_path)


def test_a_reader_sees_and_cannot_write(stage, location):
    edge = ScriptedEdge("e1")
    edge.say(OrderParked(order_id="o", parked=shortage("A", 1)))
    stage.tell(edge.batch())
    reader = open_reader(location)
    with reader.begin():
        assert reader.execute(text("SELECT count(*) FROM ledger")).scalar() == 1
        with pytest.raises(DatabaseError):
            reader.execute(text("DELETE FROM feed"))
    close_database(reader)


def test_a_reader_sees_one_state_until_its_transaction_ends(stage, location):
    edge = ScriptedEdge("e1")
    reader = open_reader(location)
    count = text("SELECT count(*) FROM ledger")
    with reader.begin():
        assert reader.scalar(count) == 0
        edge.say(received("dc", A=1))
        assert acks(stage.tell(edge.hello(), edge.batch())) == {"e1": 1}
        assert reader.scalar(count) == 0
    with reader.begin():
        assert reader.scalar(count) == 1
    close_database(reader)


def test_text_that_no_database_takes_is_poison_and_the_rest_flows(stage):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=1), source="/edges/\0", type="a\0b")
    edge.say(received("dc", A=1), "o\0")
    edge.say(received("dc", A=1))
    assert acks(stage.tell(edge.hello(), edge.batch())) == {"e1": 3}
    assert [row["event_id"] is None for row in stage.rows(ledger)] == [True, True, False]
    assert stage.admin("contact", by="A\0", order_id="o")["code"] == "invalid_data"


def test_a_failure_in_the_middle_leaves_nothing_and_what_was_in_memory_is_read_anew(
    stage, monkeypatch
):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=1))
    stage.publish(document())
    stage.tell(edge.hello())
    with stage.database.begin():
        stage.database.execute(text("ALTER TABLE ledger RENAME TO hidden"))
    assert stage.tell(edge.batch()) == []
    with stage.database.begin():
        stage.database.execute(text("ALTER TABLE hidden RENAME TO ledger"))
        # As if the commit had been done, and only its answer was lost.
        stage.database.execute(text("UPDATE streams SET feed_acked = 1 WHERE edge_id = 'e1'"))
    assert acks(stage.tell(edge.batch())) == {"e1": 1}
    assert stage.central._switchboard.streams["e1"].feed_acked == 1


@pytest.mark.postgresql
def test_a_lost_connection_is_told_and_made_anew(postgresql):
    name = postgresql.take()
    edge = ScriptedEdge("e1")
    with scene(postgresql.location(name)) as stage:
        stage.publish(document())
        edge.say(received("dc", A=1))
        assert acks(stage.tell(edge.hello(), edge.batch())) == {"e1": 1}
        assert postgresql.hang_up(name) == 1
        edge.say(received("dc", A=2))
        assert stage.tell(edge.batch()) == []  # nothing is acknowledged
        assert acks(stage.tell(edge.batch())) == {"e1": 2}
        assert postgresql.hang_up(name) == 1
        assert stage.admin("fence", edge_id="e1")["code"] == StorageError.code
        assert stage.admin("fence", edge_id="e1") == {"epoch": 2}
    postgresql.give_back(name)


@pytest.mark.postgresql
def test_who_has_lost_the_connection_does_not_write_beside_another_central(postgresql, monkeypatch):
    monkeypatch.setattr("central.postgres.LOCK_WAIT_MS", 100)
    name = postgresql.take()
    edge = ScriptedEdge("e1")
    with scene(postgresql.location(name)) as stage:
        stage.tell(edge.hello())
        with pytest.raises(ConfigError, match="another central writes"):
            open_database(postgresql.location(name))
        postgresql.hang_up(name)
        other = open_database(postgresql.location(name))
        edge.say(received("dc", A=1))
        assert stage.tell(edge.batch()) == stage.tell(edge.batch()) == []
        close_database(other)
        assert acks(stage.tell(edge.batch())) == {"e1": 1}
    postgresql.give_back(name)


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "options",
    [
        "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'",
        "TEMPLATE template0 ENCODING 'LATIN1'",
    ],
)
def test_a_database_that_does_not_compare_bytes_is_refused(postgresql, options):
    name = postgresql.take(options)
    with pytest.raises(ConfigError, match="CREATE DATABASE") as caught:
        open_database(postgresql.location(name))
    assert caught.value.place == "database"


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path):
    server = Server(f"postgresql://ops:secret@/orders?host={tmp_path}")
    for opened in (open_database, open_reader):
        with pytest.raises(ConfigError) as caught:
            opened(server)
        assert "secret" not in str(caught.value)
        assert "ops:***@" in str(caught.value)
    assert "secret" not in repr(server)
