import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError

from central.ledger import Verdict, verify
from central.tables import ledger
from tests.central_scene import NOW_MS, ScriptedEdge, received, scene, unguard


@pytest.fixture
def stage(location):
    """Five entries of e1 at the odd positions, five of e2 at the even ones."""
    with scene(location) as found:
        edges = [ScriptedEdge("e1"), ScriptedEdge("e2")]
        for number in range(1, 6):
            for edge in edges:
                edge.say(received("dc", A=number))
                found.tell(edge.batch(number))
        yield found


def tampered(stage, *statements):
    """What verify says after someone has changed the file past the triggers."""
    with stage.database.begin():
        unguard(stage.database, "ledger")
        for statement in statements:
            stage.database.execute(text(statement) if isinstance(statement, str) else statement)
        return verify(stage.database)


@pytest.mark.parametrize("statement", ["UPDATE ledger SET type = 'x'", "DELETE FROM ledger"])
def test_the_ledger_refuses_to_be_changed(stage, statement):
    with pytest.raises(IntegrityError, match="append-only"), stage.database.begin():
        stage.database.execute(text(statement))


def test_a_whole_ledger_is_found_whole(stage):
    with stage.database.begin():
        assert verify(stage.database) == Verdict(10)
        assert str(Verdict(10)) == "10 entries, every chain is whole"


def test_an_empty_ledger_is_whole(location):
    with scene(location) as found, found.database.begin():
        assert verify(found.database) == Verdict(0)


@pytest.mark.parametrize(
    "column,value",
    [
        ("raw", b""),
        ("hash", bytes(32)),
        ("type", "pointsman.stock.moved.v1"),
        ("event_id", "other"),
        ("hlc", "0000000000000000"),
        ("correlation_id", "o"),
    ],
)
def test_a_changed_row_is_named(stage, column, value):
    if column == "raw":
        value = stage.rows(ledger)[3]["raw"].replace(b'"A"', b'"B"')
    fourth = update(ledger).where(ledger.c.position == 4)
    verdict = tampered(stage, fourth.values({column: value}))
    assert (verdict.position, verdict.edge_id, verdict.sequence) == (4, "e2", 2)
    assert str(verdict).startswith("broken at position 4 (e2, epoch 1, sequence 2): ")


def test_a_missing_row_is_named_where_the_gap_shows(stage):
    verdict = tampered(stage, "DELETE FROM ledger WHERE position = 3")
    assert (verdict.position, verdict.edge_id, verdict.sequence) == (5, "e1", 3)


def test_a_missing_end_is_named(stage):
    verdict = tampered(stage, "DELETE FROM ledger WHERE position = 10")
    assert (verdict.position, verdict.edge_id, verdict.sequence) == (10, "e2", 5)


@pytest.mark.parametrize("first,second", [(3, 5), (3, 4)], ids=["of one stream", "of two streams"])
def test_two_rows_that_have_changed_places_are_named(stage, first, second):
    columns = "raw", "hash", "event_id", "source", "hlc"
    swap = ", ".join(
        f"{x} = (SELECT {x} FROM ledger AS o WHERE o.position = {first + second} - ledger.position)"
        for x in columns
    )
    verdict = tampered(stage, f"UPDATE ledger SET {swap} WHERE position IN ({first}, {second})")
    assert verdict.position == first


def test_rows_that_have_swapped_positions_are_named(stage):
    verdict = tampered(
        stage,
        "UPDATE ledger SET position = 100 WHERE position = 3",
        "UPDATE ledger SET position = 3 WHERE position = 5",
        "UPDATE ledger SET position = 5 WHERE position = 100",
    )
    assert verdict.position == 3


def test_when_central_took_an_event_in_is_kept_beside_it_and_is_not_hashed(stage):
    assert {row["received_ms"] for row in stage.rows(ledger)} == {NOW_MS}
    verdict = tampered(stage, "UPDATE ledger SET received_ms = NULL WHERE position = 4")
    assert verdict == Verdict(10)
