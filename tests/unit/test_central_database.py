import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DatabaseError

from central.database import close_database, open_database, open_reader
from central.tables import (
    schema_version,
)
from shared.errors import ConfigError
from shared.events import OrderParked
from tests.central_scene import (
    ScriptedEdge,
    scene,
    shortage,
)


@pytest.fixture
def stage(tmp_path):
    with scene(tmp_path) as found:
        yield found


def test_a_database_of_another_version_is_not_touched(tmp_path):
    database = open_database(tmp_path)
    with database.begin():
        database.execute(insert(schema_version).values(version=99))
        database.execute(text("DELETE FROM schema_version WHERE version != 99"))
    close_database(database)
    for opened in (open_database, open_reader):
        with pytest.raises(ConfigError, match="version 99"):
            opened(tmp_path)


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        open_database(tmp_path / "file" / "data")
    with pytest.raises(ConfigError):
        open_reader(tmp_path)


def test_a_reader_sees_and_cannot_write(stage, tmp_path):
    edge = ScriptedEdge("e1")
    edge.say(OrderParked(order_id="o", parked=shortage("A", 1)))
    stage.tell(edge.batch())
    reader = open_reader(tmp_path)
    with reader.begin():
        assert reader.execute(text("SELECT count(*) FROM ledger")).scalar() == 1
        with pytest.raises(DatabaseError):
            reader.execute(text("DELETE FROM feed"))
    close_database(reader)
