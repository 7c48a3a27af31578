"""The ledger in a file, and the commands that keep it."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from central import postgres
from central.archive import (
    ArchiveError,
    NotEmptyError,
    export_file,
    import_file,
    verify_archive,
)
from central.chains import BrokenLedgerError
from central.checkpoint import load_signer, make_key
from central.database import close_database, open_database, sole_writer
from central.digest import read_digests
from central.ledger import verify_file
from central.postgres import Server
from central.signing import Signing
from central.tables import epochs, streams
from deploy.cli import app
from shared.errors import ConfigError
from tests.central_scene import (
    NOW_MS,
    ScriptedEdge,
    accepted,
    boot,
    document,
    feed_of,
    plan,
    received,
    scene,
    two_edges,
)

run = CliRunner()


@pytest.fixture
def data(location):
    return location


@pytest.fixture
def other(places):
    return places.new()


@pytest.fixture
def exported(tmp_path, data):
    """A file with five entries of two edges, and a checkpoint after the second."""
    make_key(tmp_path / "key")
    with scene(data) as stage:
        signing = Signing(stage.database, load_signer(tmp_path / "key"), events=2)
        one, _ = two_edges(stage)
        signing.tick(0, NOW_MS)
        for number in range(3):
            one.say(received("dc", B=number + 1))
        stage.tell(one.batch(2))
    export_file(data, tmp_path / "ledger.jsonl")
    return tmp_path / "ledger.jsonl"


def changed(file, change):
    """The same file with its lines changed."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    change(lines)
    other = file.with_name("changed.jsonl")
    other.write_bytes(
        b"".join(json.dumps(x, separators=(",", ":")).encode() + b"\n" for x in lines)
    )
    return other


def test_a_file_is_one_line_for_each_thing_in_the_order_of_the_ledger(exported):
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    kinds = ["ledger", "entry", "entry", "checkpoint", "entry", "entry", "entry", "end"]
    assert [x["kind"] for x in lines] == kinds
    assert [x["position"] for x in lines if x["kind"] == "entry"] == [1, 2, 3, 4, 5]
    assert lines[1]["event"]["type"] == "pointsman.stock.received.v1"
    assert str(verify_archive(exported)).startswith("5 entries, every chain is whole; 1 signed")


def test_a_packed_file_holds_the_same(exported, tmp_path, data):
    export_file(data, tmp_path / "ledger.jsonl.gz")
    assert gzip.decompress((tmp_path / "ledger.jsonl.gz").read_bytes()) == exported.read_bytes()
    assert verify_archive(tmp_path / "ledger.jsonl.gz") == verify_archive(exported)


def test_what_is_changed_in_a_file_is_named_and_not_imported(exported, tmp_path, other):
    def other_time(lines):
        lines[5]["event"]["time"] = "2020-01-01T00:00:00Z"

    def swapped(lines):
        lines[4], lines[5] = lines[5], lines[4]

    def missing(lines):
        del lines[6]

    def other_end(lines):
        lines[-1]["streams"][0][2] = 3

    for change, position in ((other_time, 4), (swapped, 4), (missing, 5), (other_end, 6)):
        file = changed(exported, change)
        assert verify_archive(file).position == position, change
        with pytest.raises(BrokenLedgerError, match=f"broken at position {position}"):
            import_file(other, file, now_ms=NOW_MS)
    import_file(other, exported, now_ms=NOW_MS)


def test_a_file_that_is_cut_off_or_none_of_ours_is_refused(exported, tmp_path, data, other):
    whole = exported.read_bytes()
    packed = gzip.compress(whole)
    for name, content in {
        "cut.jsonl": whole[: whole.rindex(b'{"kind":"end"')],
        "torn.jsonl": whole[:-40],
        "torn.jsonl.gz": packed[:-40],
        "plain.jsonl.gz": whole,
        "headless.jsonl": whole[whole.index(b"\n") + 1 :],
        "twice.jsonl": whole * 2,
        "empty.jsonl": b"",
        "number.jsonl": whole.replace(b'"position":5', b'"position":0'),
        "hash.jsonl": whole.replace(b'"hash":"', b'"hash":"x'),
        "later.jsonl": whole.replace(b'"version":1', b'"version":2', 1),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArchiveError) as caught:
            verify_archive(tmp_path / name)
        assert f"{name}, line " in caught.value.place
        with pytest.raises(ArchiveError):
            import_file(other, tmp_path / name, now_ms=NOW_MS)
    with pytest.raises(ArchiveError):
        verify_archive(tmp_path / "missing.jsonl")
    with pytest.raises(ArchiveError):
        export_file(data, tmp_path / "no folder" / "ledger.jsonl")
    with scene(other) as stage:
        assert stage.rows(streams) == []


def test_only_an_empty_central_takes_a_ledger_in(exported, data, other, monkeypatch):
    with pytest.raises(NotEmptyError):
        import_file(data, exported, now_ms=NOW_MS)
    monkeypatch.setattr(postgres, "LOCK_WAIT_MS", 100)
    with sole_writer(other):
        running = open_database(other)
        with pytest.raises(ConfigError, match=r"another (daemon|central)"):
            import_file(other, exported, now_ms=NOW_MS)
        close_database(running)


def test_edges_go_on_with_a_central_that_has_another_ones_ledger(exported, tmp_path, other):
    import_file(other, exported, now_ms=NOW_MS)
    with scene(other) as stage:
        stage.publish(document())
        assert stage.shares() == {}  # all is the pools', until an edge has begun anew
        edge = ScriptedEdge("e2")
        edge.say(accepted("o", plan("dc", "A", 2), quantity=2), "o")
        out = stage.tell(edge.hello(feed=2))
        number, kind, _ = feed_of("e2", out)[0]
        assert (number, kind) == (3, "rejoin")
        edge.begin(2)
        stage.tell(edge.batch())
        assert stage.shares()["e2", "dc", "A"] > 0
        assert [(x["edge_id"], x["epoch"], x["sequence"]) for x in stage.rows(epochs)] == [
            ("e2", 1, 1)
        ]
        assert {x["boot"] for x in stage.rows(streams)} == {"", boot(1)}
    assert verify_file(other).entries == 6


def test_an_event_that_takes_several_lines_comes_back_byte_for_byte(tmp_path, data, other):
    edge = ScriptedEdge("e1")
    edge.log.append(edge.say(received("dc", A=1)).replace(b',"', b',\n "'))
    del edge.log[0]
    with scene(data) as stage:
        stage.tell(edge.hello(), edge.batch())
    export_file(data, tmp_path / "ledger.jsonl")
    assert '"kind":"packed"' in (tmp_path / "ledger.jsonl").read_text()
    import_file(other, tmp_path / "ledger.jsonl", now_ms=NOW_MS)
    assert read_digests(other) == read_digests(data)


# The commands.


@pytest.fixture
def command(exported, tmp_path, data, other):
    for name, place in (("data", data), ("other", other)):
        folder = place if isinstance(place, Path) else tmp_path / name
        text = f'data_dir = "{folder}"\n'
        if isinstance(place, Server):
            text += f'database = "{place.address}"\n'
        text += '[checkpoints]\nkey_file = "key"\n'
        (tmp_path / f"{name}.toml").write_text(text)

    def command(*words, code=0):
        words = [str(tmp_path / x) if "." in x else x for x in words]
        result = run.invoke(app, ["central", *words])
        assert result.exit_code == code, result.output
        return result.output

    return command


def test_a_ledger_is_exported_verified_imported_and_compared_by_commands(command, tmp_path):
    assert "5 entries in" in command("export", "out.jsonl.gz", "-c", "data.toml")
    assert "1 signed checkpoints agree\n" in command("verify", "-c", "data.toml")
    (tmp_path / "public.pem").write_text(command("key", "-c", "data.toml"))
    told = command("verify", "--file", "out.jsonl.gz", "--public-key", "public.pem")
    assert "1 signed checkpoints agree\n" in told
    assert "no public key was given" in command("verify", "--file", "out.jsonl.gz")
    assert "5 entries" in command(
        "import", "out.jsonl.gz", "-c", "other.toml", "--public-key", "public.pem"
    )
    views = command("views", "-c", "data.toml")
    assert views == command("views", "-c", "other.toml")
    assert views.splitlines()[-1].startswith("all ")
    assert "as the ledger says" in command("rebuild", "-c", "other.toml")


def test_commands_name_what_is_wrong_and_fail(command, tmp_path, data):
    command("verify", code=2)
    command("verify", "--file", "out.jsonl", "-c", "data.toml", code=2)
    make_key(tmp_path / "key.other")
    text = (tmp_path / "data.toml").read_text().replace('"key"', '"key.other"')
    (tmp_path / "rekeyed.toml").write_text(text)
    assert "signed by another key" in command("verify", "-c", "rekeyed.toml", code=1)
    with scene(data) as stage, stage.database.begin():
        stage.database.exec_driver_sql("DELETE FROM orders")
    told = command("rebuild", "--check", "-c", "data.toml", code=1)
    assert "orders: was 0000" in told
    assert "nothing was changed" in told
    assert "orders: was 0000" in command("rebuild", "-c", "data.toml")
    assert "as the ledger says" in command("rebuild", "--check", "-c", "data.toml")
