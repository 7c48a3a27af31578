"""Signed checkpoints: a ledger that was rewritten wholly does not agree with them."""

import msgspec
import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError

from central import ledger
from central.checkpoint import load_public, load_signer, make_key, public_pem
from central.ledger import verify
from central.signing import Signing
from central.stream import genesis, link
from central.tables import checkpoints
from shared.errors import ConfigError
from tests.central_scene import NOW_MS, ScriptedEdge, received, scene, unguard


@pytest.fixture
def signer(tmp_path):
    make_key(tmp_path / "key")
    return load_signer(tmp_path / "key")


@pytest.fixture
def stage(location, signer):
    """Ten entries of two edges by turns: a checkpoint after the fourth and one after the eighth."""
    with scene(location) as found:
        found.edges = [ScriptedEdge("e1"), ScriptedEdge("e2")]
        signing = Signing(found.database, signer, events=4)
        for number in range(1, 6):
            for edge in found.edges:
                edge.say(received("dc", A=number))
                found.tell(edge.batch(number))
            signing.tick(0, NOW_MS)
        yield found


def verified(stage, *statements, trusted=()):
    """What verify says after someone has changed the file past the triggers."""
    with stage.database.begin():
        unguard(stage.database, "ledger", "checkpoints")
        for statement in statements:
            stage.database.execute(text(statement) if isinstance(statement, str) else statement)
        return verify(stage.database, trusted)


def rewrite(stage, edge_id, sequence, change):
    """Change an entry, and then all hashes after it and the stream's end: every chain is whole."""
    verified(stage)
    rows = [x for x in stage.rows(ledger.ledger) if x["edge_id"] == edge_id]
    head = genesis(edge_id, 1)
    with stage.database.begin():
        for row in rows:
            raw = change(row["raw"]) if row["sequence"] == sequence else row["raw"]
            head = link(head, raw)
            stage.database.execute(
                text("UPDATE ledger SET raw = :raw, hash = :head WHERE position = :at"),
                {"raw": raw, "head": head, "at": row["position"]},
            )
        stage.database.execute(
            text("UPDATE streams SET head = :head WHERE edge_id = :of"),
            {"head": head, "of": edge_id},
        )


def other_units(raw):
    return raw.replace(b'"quantity":', b'"quantity":9')


def test_checkpoints_that_agree_are_counted(stage, signer):
    verdict = verified(stage)
    assert (verdict.entries, verdict.position, verdict.checkpoints) == (10, None, 2)
    assert "no public key was given" in str(verdict)
    assert str(verified(stage, trusted=[signer.public])).endswith("2 signed checkpoints agree")


def test_a_ledger_that_was_rewritten_wholly_is_found_and_the_stretch_is_named(stage):
    rewrite(stage, "e2", 3, other_units)
    verdict = verified(stage)
    # Between the checkpoint after position 4 and the one after 8, e2 has written 6 and 8.
    assert (verdict.position, verdict.edge_id, verdict.sequence) == (6, "e2", 3)
    assert "checkpoint 2, made at position 8, has signed something else through 4" in str(verdict)


def test_what_no_checkpoint_covers_yet_only_the_chain_protects(stage):
    rewrite(stage, "e2", 5, other_units)
    assert verified(stage).position is None


def test_rows_and_an_end_that_are_removed_together_are_found(stage):
    verdict = verified(
        stage,
        "DELETE FROM ledger WHERE edge_id = 'e2' AND sequence >= 3",
        "UPDATE streams SET sequence = 2, head = (SELECT hash FROM ledger WHERE position = 4) "
        "WHERE edge_id = 'e2'",
    )
    assert (verdict.edge_id, verdict.sequence) == ("e2", 3)


def test_a_stream_that_was_put_in_later_is_found(stage):
    raw = ScriptedEdge("e3").say(received("dc", A=1))
    with stage.database.begin():
        stage.database.execute(
            text("INSERT INTO ledger (position, edge_id, epoch, sequence, raw, hash, event_id, "
                 "source, type, hlc) SELECT 0, 'e3', 1, 1, :raw, :hash, 'e3-1-1', source, type, "
                 "hlc FROM ledger WHERE position = 1"),
            {"raw": raw, "hash": link(genesis("e3", 1), raw)},
        )  # fmt: skip
    assert verified(stage).edge_id == "e3"


SECOND = update(checkpoints).where(checkpoints.c.number == 2)


@pytest.mark.parametrize(
    "change,reason",
    [
        (SECOND.values(signature=bytes(64)), "not what was signed"),
        (SECOND.values(body=b"{}"), "not what was signed"),
        ("UPDATE checkpoints SET position = 7 WHERE number = 2", "columns that differ"),
        ("DELETE FROM checkpoints WHERE number = 1", "does not follow from checkpoint 0"),
    ],
)
def test_a_checkpoint_that_was_touched_is_named(stage, change, reason):
    verdict = verified(stage, change)
    assert verdict.position is not None
    assert reason in str(verdict)


def test_checkpoints_of_another_key_are_refused_where_the_key_is_known(stage, tmp_path):
    make_key(tmp_path / "other")
    other = load_signer(tmp_path / "other").public
    assert "signed by another key" in str(verified(stage, trusted=[other]))


def test_whoever_has_a_key_is_told_that_there_are_no_checkpoints(location, signer):
    with scene(location) as stage:
        assert "no signed checkpoint" in str(verified(stage, trusted=[signer.public]))


def test_checkpoints_refuse_to_be_changed(stage):
    for statement in ("UPDATE checkpoints SET position = 0", "DELETE FROM checkpoints"):
        with pytest.raises(IntegrityError, match="append-only"), stage.database.begin():
            stage.database.execute(text(statement))


def test_an_epoch_that_has_ended_is_covered_to_its_end(location, signer):
    with scene(location) as stage:
        edge = ScriptedEdge("e1")
        edge.say(received("dc", A=1))
        stage.tell(edge.hello(), edge.batch())
        stage.admin("fence", edge_id="e1")
        stage.tell(edge.hello())
        edge.say(received("dc", A=2))
        stage.tell(edge.batch())
        edge.begin(2)
        stage.tell(edge.batch())
        Signing(stage.database, signer, events=3).tick(0, NOW_MS)
        (row,) = stage.rows(checkpoints)
        heads = msgspec.json.decode(row["body"])["heads"]
        assert [head[:3] for head in heads] == [["e1", 1, 2], ["e1", 2, 1]]
        assert verified(stage).checkpoints == 1


def test_a_checkpoint_is_made_after_so_many_events_or_so_long(location, signer):
    with scene(location) as stage:
        edge = ScriptedEdge("e1")
        signing = Signing(stage.database, signer, events=3, every_ms=1_000)

        def told(events, elapsed_ms):
            for _ in range(events):
                edge.say(received("dc", A=1))
            if events:
                stage.tell(edge.batch(len(edge.log) - events + 1))
            signing.tick(elapsed_ms, NOW_MS)
            return [row["position"] for row in stage.rows(checkpoints)]

        assert told(0, 500) == []
        assert told(2, 1_000) == []
        assert told(0, 1_500) == [2]
        assert told(0, 9_000) == [2]
        assert told(2, 9_100) == [2, 4]
        assert told(7, 9_200) == [2, 4, 7]  # at most three a time
        assert told(0, 9_300) == [2, 4, 7, 10]
        assert told(0, 9_400) == [2, 4, 7, 10]
        assert verified(stage).checkpoints == 4


# The key.


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "keys" / "key"
    make_key(path)
    first = path.read_bytes()
    make_key(path)
    assert path.read_bytes() == first
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others than its owner"):
        load_signer(path)


def test_the_public_key_is_read_as_it_is_printed(tmp_path, signer):
    path = tmp_path / "public.pem"
    path.write_text(public_pem(signer.public))
    assert load_public(path) == signer.public


def test_a_file_that_holds_no_key_is_named(tmp_path):
    path = tmp_path / "key"
    path.write_text("no key")
    path.chmod(0o600)
    for load in (load_signer, load_public):
        with pytest.raises(ConfigError):
            load(path)
    with pytest.raises(ConfigError):
        make_key(path / "below a file" / "key")


def test_what_a_process_has_left_unsigned_the_next_one_signs_at_its_start(stage, signer):
    Signing(stage.database, signer, events=4).tick(0, NOW_MS)
    assert len(stage.rows(checkpoints)) == 2
    signing = Signing(stage.database, signer, events=4, at_start=True)
    for _ in range(3):
        signing.tick(0, NOW_MS)
    assert [row["position"] for row in stage.rows(checkpoints)] == [4, 8, 10]
