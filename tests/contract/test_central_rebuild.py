"""The views that are made from the ledger afterwards are those that were made as events came in."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, text, update

from central import hub, rebuild
from central.archive import export_file, import_file, verify_archive
from central.chains import BrokenLedgerError
from central.checkpoint import load_signer, make_key
from central.core import REVIEW_MS
from central.database import close_database, open_database
from central.digest import digests, read_digests
from central.rebuild import rebuild_file
from central.signing import Signing
from central.tables import accounts, exceptions, orders, poison, replays, shares, tasks, waiting
from shared import envelope
from shared.events import BY_TYPE, OrderCancelled, PickAccepted, StockCounted, StockReceived
from shared.parts import CountLine
from tests.central_scene import (
    NOW_MS,
    ScriptedEdge,
    accepted,
    document,
    plan,
    received,
    requested,
    scene,
    unguard,
)
from tests.contract.test_central_interleavings import (
    EDGES,
    Obedient,
    act,
    counts,
    events,
    moves,
    nodes,
    orders_of_day,
    talk,
    wait,
)

MOON = "pointsman.moon.landed.v1"
LATER_MS = NOW_MS + 1_000_000

reports = st.builds(
    lambda o, n, kind: kind(task_id=f"{o}.0.0", node_id=n, home_edge_id="e1"),
    orders_of_day, nodes, st.sampled_from([PickAccepted]),
)  # fmt: skip
# Of another order's task: nonsense that an edge may write all the same.
strange = st.builds(
    lambda o, p: OrderCancelled(order_id=o, withdrawn=[f"{p}.0.0"], nothing_left=True),
    orders_of_day, orders_of_day,
)  # fmt: skip
any_event = st.one_of(events, events, counts, reports, strange)
# What is wrong with an event's envelope: nothing, an unknown type, unreadable data, another order.
ills = st.sampled_from(["", "", "", "", "moon", "data", "order"])
logs = st.tuples(*(st.lists(st.tuples(any_event, ills), max_size=8) for _ in EDGES))
talks = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 8), st.integers(1, 8)), max_size=4),
        st.sampled_from(["replay", "learn", "fence", "hello"]),
    ),
    max_size=10,
)


@pytest.fixture
def learn(monkeypatch):
    """The program learns a type of event that it did not know."""

    def learn():
        monkeypatch.setitem(BY_TYPE, MOON, StockReceived)
        decoder = msgspec.json.Decoder(StockReceived)
        monkeypatch.setitem(envelope._data_decoders, MOON, decoder)

    def unlearn():
        BY_TYPE.pop(MOON, None)
        envelope._data_decoders.pop(MOON, None)

    learn.unlearn = unlearn
    return learn


def written(log_of):
    edges = [ScriptedEdge(edge_id) for edge_id in EDGES]
    for edge, log in zip(edges, log_of, strict=True):
        for data, ill in log:
            order_id = getattr(data, "order_id", None) or (ill == "order" and "o1") or None
            changes = {}
            if ill == "moon":
                changes = {"type": MOON, "data": msgspec.Raw(msgspec.json.encode(
                    received("dc", A=3)))}  # fmt: skip
            elif ill == "data":
                changes = {"data": msgspec.Raw(b'{"node_id": 7}')}
            edge.say(data, order_id, **changes)
    return edges


def exact(stage):
    """All that a rebuild makes, row by row, and what it must not touch."""
    found = {table.name: stage.rows(table) for table in (orders, tasks, waiting, poison)}
    found["accounts"] = [x for x in stage.rows(accounts) if any(v for v in x.values() if v != "")]
    for table in (shares, exceptions, replays):
        found[table.name] = stage.rows(table)
    return found


def assert_rebuilt_alike(stage, location, other, directory):
    with stage.database.begin():
        before = digests(stage.database)
    rows = exact(stage)
    with stage.database.begin():
        done = rebuild.rebuild(stage.database, LATER_MS)
        assert digests(stage.database) == before
    assert exact(stage) == rows
    assert done.poisoned == 0
    file = directory / "ledger.jsonl.gz"
    entries = export_file(location, file)
    assert verify_archive(file).entries == entries
    assert import_file(other, file, now_ms=LATER_MS) == entries
    assert read_digests(other) == before


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(log_of=logs, said=talks, chunk=st.integers(1, 9))
def test_rebuilt_views_are_those_made_live_after_repeats_poison_replay_and_fences(
    learn, monkeypatch, places, tmp_path, log_of, said, chunk
):
    learn.unlearn()
    monkeypatch.setattr(rebuild, "CHUNK", chunk)
    edges = written(log_of)
    with places.fresh() as location, scene(location) as stage:
        stage.publish(document(1, EDGES))
        for what in said:
            if what == "replay":
                stage.admin("replay")
            elif what == "learn":
                learn()
            elif what == "fence":
                stage.admin("fence", edge_id="e1")
            elif what == "hello":
                stage.tell(*(edge.hello() for edge in edges))
            else:
                stage.tell(*(edges[x].batch(first, first + more) for x, first, more in what))
        for edge in edges:
            stage.tell(edge.hello(), edge.batch())
        assert_rebuilt_alike(stage, location, places.new(), tmp_path)
    learn.unlearn()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(day=st.lists(moves, max_size=40))
def test_a_day_of_fences_epochs_and_recalls_is_rebuilt_alike(places, tmp_path, day):
    with places.fresh() as location, scene(location) as stage:
        stage.publish(document(1, EDGES))
        stage.edges = [Obedient(edge_id) for edge_id in EDGES]
        for edge in stage.edges:
            talk(stage, edge)
        for number, (what, at, units) in enumerate(day):
            act(stage, number, what, at, units)
        for _ in range(3):
            wait(stage, REVIEW_MS)
            for edge in stage.edges:
                talk(stage, edge)
        assert_rebuilt_alike(stage, location, places.new(), tmp_path)


def sold(stage):
    """Two edges have taken stock in and sold; a task was reported on before it was known."""
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    stage.publish(document())
    one.say(received("dc", A=10))
    one.say(PickAccepted(task_id="o.0.0", node_id="dc", home_edge_id="e2"), "o")
    two.say(accepted("o", plan("dc", "A", 2), quantity=2), "o")
    two.say(requested("o", "dc", "A", 2, home="e2"), "o")
    two.say(requested("o", "dc", "A", 2, home="e2"), "o")  # noted as task_twice
    stage.tell(one.hello(), two.hello(), one.batch())
    stage.tell(two.batch())
    assert stage.codes() == ["task_twice"]


def test_views_that_were_damaged_are_mended_and_the_damage_is_named(location):
    with scene(location) as stage:
        sold(stage)
        good = exact(stage)
        with stage.database.begin():
            stage.database.execute(update(orders).values(state="delivered"))
            stage.database.execute(delete(tasks))
            stage.database.execute(update(accounts).values(committed=0, pool=99))
            stage.database.execute(update(exceptions).values(code="another"))
    found = rebuild_file(location, now_ms=NOW_MS)
    assert found.differing() == ["orders", "tasks", "stock", "exceptions"]
    assert found.done == rebuild.Rebuilt(5, 0)
    assert rebuild_file(location, now_ms=NOW_MS).differing() == []
    with scene(location) as stage:
        mended = exact(stage)
        (exception,) = mended.pop("exceptions")
        assert exception["code"] == "task_twice"
        del good["exceptions"]
        assert mended == good


def test_a_check_changes_nothing(location):
    with scene(location) as stage:
        sold(stage)
        with stage.database.begin():
            stage.database.execute(delete(orders))
    assert rebuild_file(location, now_ms=NOW_MS, keep=False).differing() == ["orders"]
    assert rebuild_file(location, now_ms=NOW_MS, keep=False).differing() == ["orders"]


def test_a_broken_ledger_is_not_built_on(location, tmp_path):
    with scene(location) as stage:
        sold(stage)
        with stage.database.begin():
            unguard(stage.database, "ledger")
            stage.database.execute(text("DELETE FROM ledger WHERE position = 1"))
    before = read_digests(location)
    with pytest.raises(BrokenLedgerError, match="broken at position 2"):
        rebuild_file(location, now_ms=NOW_MS)
    with pytest.raises(BrokenLedgerError, match="broken at position 2"):
        export_file(location, tmp_path / "ledger.jsonl")
    assert not list(tmp_path.glob("ledger.jsonl*"))
    assert read_digests(location) == before


def test_how_stock_is_shared_out_does_not_follow_from_the_ledger(places):
    kept, found = [], [places.new(), places.new()]
    for number, pool_reserve in enumerate((0.0, 0.4)):
        with scene(found[number], pool_reserve) as stage:
            sold(stage)
            kept.append(stage.shares())
    assert kept[0] != kept[1]
    assert read_digests(found[0]) == read_digests(found[1])


def test_an_event_that_met_a_fault_of_ours_is_poison_after_a_rebuild_too(location, monkeypatch):
    with scene(location) as stage:
        sold(stage)
    whole = hub.apply

    def faulty(desk, edge_id, event, data):
        if isinstance(data, PickAccepted):
            desk.order("half").state = "planned"
            raise ZeroDivisionError
        return whole(desk, edge_id, event, data)

    monkeypatch.setattr(hub, "apply", faulty)
    found = rebuild_file(location, now_ms=NOW_MS)
    assert found.done == rebuild.Rebuilt(4, 1)
    monkeypatch.undo()
    assert rebuild_file(location, now_ms=NOW_MS).differing() == []  # replay is what mends it
    with scene(location) as stage:
        assert [x["code"] for x in stage.rows(poison)] == ["internal"]
        assert [x["order_id"] for x in stage.rows(orders)] == ["o"]
        assert stage.admin("replay") == {"replayed": 1}
    assert rebuild_file(location, now_ms=NOW_MS).differing() == []


def test_what_is_poison_stays_so_until_it_is_replayed(location, learn):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=10), type=MOON)
    with scene(location) as stage:
        stage.publish(document())
        stage.tell(edge.hello(), edge.batch())
    learn()
    assert rebuild_file(location, now_ms=NOW_MS).differing() == []
    with scene(location) as stage:
        assert stage.admin("replay") == {"replayed": 1}
    assert rebuild_file(location, now_ms=NOW_MS).differing() == []
    learn.unlearn()
    assert rebuild_file(location, now_ms=NOW_MS).done.poisoned == 1
    assert rebuild_file(location, now_ms=NOW_MS).differing() == []


def test_an_event_that_was_replayed_has_its_effect_when_it_was_replayed(
    location, places, tmp_path, learn
):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=10), type=MOON)
    edge.say(StockCounted(node_id="dc", lines=[CountLine(sku="A", quantity=4)]))
    edge.say(received("dc", A=1))
    with scene(location) as stage:
        stage.publish(document())
        stage.tell(edge.hello(), edge.batch(1, 2))
        learn()
        assert stage.admin("replay") == {"replayed": 1}
        stage.tell(edge.batch(3))
        held = stage.stock()["dc", "A"][3] - stage.stock()["dc", "A"][4]
        assert (
            held == 4 + 10 + 1
        )  # had it been read at once, the count would have had the last word
        assert_rebuilt_alike(stage, location, places.new(), tmp_path)
    learn.unlearn()


def test_nothing_depends_on_what_else_was_in_a_burst(location, monkeypatch):
    edge = ScriptedEdge("e1")
    for order_id in ("o1", "o2", "o3"):
        edge.say(accepted(order_id, plan("dc", "A", 1)), order_id)
    # A report names another order than its task's; and an order withdraws another order's task.
    edge.say(PickAccepted(task_id="o1.0.0", node_id="dc", home_edge_id="e1"), "o2")
    edge.say(requested("o1", "dc", "A", 1, home="e1"), "o1")
    edge.say(requested("o3", "dc", "A", 1, home="e1"), "o3")
    edge.say(OrderCancelled(order_id="o2", withdrawn=["o3.0.0"]), "o2")
    with scene(location) as stage:
        stage.publish(document())
        stage.tell(edge.hello(), edge.batch())
        assert {x["task_id"]: x["state"] for x in stage.rows(tasks)} == {
            "o1.0.0": "accepted", "o3.0.0": "issued",
        }  # fmt: skip
    monkeypatch.setattr(rebuild, "CHUNK", 1)
    assert rebuild_file(location, now_ms=NOW_MS).differing() == []


def test_checkpoints_travel_with_the_ledger(location, places, tmp_path):
    other = places.new()
    make_key(tmp_path / "key")
    signer = load_signer(tmp_path / "key")
    with scene(location) as stage:
        sold(stage)
        Signing(stage.database, signer, events=2).tick(0, NOW_MS)
    file = tmp_path / "ledger.jsonl"
    export_file(location, file)
    assert verify_archive(file, [signer.public]).checkpoints == 1
    import_file(other, file, now_ms=NOW_MS, trusted=[signer.public])
    database = open_database(other)
    Signing(database, signer, events=1).tick(0, NOW_MS)
    close_database(database)
    export_file(other, file)
    assert verify_archive(file, [signer.public]).checkpoints == 2


def test_a_row_that_only_the_views_have_is_gone_after_a_rebuild(location):
    with scene(location) as stage:
        sold(stage)
        with stage.database.begin():
            stage.database.execute(insert(waiting).values(
                order_id="x", line=0, edge_id="e1", sku="A", units=1, reason="share", group=0,
                nodes="dc",
            ))  # fmt: skip
    assert rebuild_file(location, now_ms=NOW_MS).differing() == ["waiting"]
    assert read_digests(location)["waiting"].rows == 0
