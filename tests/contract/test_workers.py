"""Several centrals on one PostgreSQL database: together they do what one alone does."""

from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.admin import Message
from central.core import Central
from central.database import close_database, let_in, open_database
from central.digest import read_digests
from central.escrow import DemandPolicy
from central.feed import PATIENCE_MS
from central.ledger import verify_file
from central.ownership import EVERY_MS, Worker
from central.rebuild import rebuild_file
from central.tables import feed, ledger
from shared import topics
from shared.errors import ConfigError
from tests.central_scene import (
    NOW_MS,
    Scene,
    ScriptedEdge,
    accepted,
    acks,
    document,
    feed_of,
    granted,
    plan,
    received,
    scene,
)
from tests.contract.test_central_interleavings import EDGES, assert_sound, events, written
from tests.system_scene import SYSTEMS, ScriptedSystem

pytestmark = pytest.mark.postgresql


@pytest.fixture
def server(postgresql):
    return postgresql


@pytest.fixture
def place(server):
    name = server.take()
    yield server.location(name)
    server.give_back(name)


class WorkerScene(Scene):
    """One of several centrals."""

    def restart(self):
        self.ownership = Worker()
        self.central = Central(
            self.database, DemandPolicy(self.pool_reserve), self.keyring, systems=self.systems,
            ownership=self.ownership,
        )  # fmt: skip
        self.central.connected(self.elapsed_ms)


@contextmanager
def worker(location, systems=None):
    database = open_database(location, shared=True)
    try:
        let_in(database)
        yield WorkerScene(database, systems=systems)
    finally:
        close_database(database)


@contextmanager
def workers(location, number=2, systems=None):
    """Workers that know of each other; the first leads."""
    with ExitStack() as stack:
        yield [stack.enter_context(worker(location, systems)) for _ in range(number)]


def owned(stage):
    return {x for x in stage.central.edges if stage.ownership.owns(x)}


def divide(*stages):
    """Time goes by until everybody has looked twice: who has too much gives back first."""
    for stage in (*stages, *stages):
        stage.sent += stage.tick(EVERY_MS)


def tell_all(stages, *messages):
    """Everybody hears everything, as at a broker; returns all that is sent."""
    return [x for stage in stages for x in stage.tell(*messages)]


def test_workers_share_the_edges_evenly_and_each_edge_has_one(place):
    with workers(place) as (one, two):
        tell_all((one, two), Message(topics.up("admin", "network"), document(1, EDGES)))
        divide(one, two)
        assert owned(one) | owned(two) == set(EDGES)
        assert not owned(one) & owned(two)
        assert {len(owned(one)), len(owned(two))} == {1, 2}


def test_only_the_leader_answers_an_operator(place):
    with workers(place) as stages:
        message = Message(topics.up("admin", "network"), document())
        assert [len(stage.tell(message)) > 0 for stage in stages] == [True, False]


def test_a_batch_that_everybody_hears_is_acknowledged_once(place):
    edge = ScriptedEdge("e1")
    edge.say(received("dc", A=10))
    with workers(place) as stages:
        tell_all(stages, Message(topics.up("admin", "network"), document()))
        divide(*stages)
        told = tell_all(stages, edge.hello())
        assert acks(told) == {"e1": 0}
        told = tell_all(stages, edge.batch())
        assert [acks([x]) for x in told if x.topic.endswith("/ack")] == [{"e1": 1}]


def test_an_edge_that_nobody_knows_is_taken_by_whoever_hears_it_first(place):
    with workers(place) as (one, two):
        assert acks(two.tell(ScriptedEdge("new").hello())) == {"new": 0}
        assert one.tell(ScriptedEdge("new").hello()) == []
        assert owned(two) == {"new"}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    logs=st.tuples(*(st.lists(events, max_size=8) for _ in EDGES)),
    cuts=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=16),
)
def test_two_workers_write_what_one_alone_writes(server, logs, cuts):
    edges = written(logs)
    sent = dict.fromkeys(EDGES, 0)
    batches = []
    for number, length in (*cuts, *((x, 8) for x in range(len(EDGES)))):
        edge = edges[number]
        first = sent[edge.edge_id]
        if first < len(edge.log):
            batches.append(edge.batch(first + 1, first + length))
            sent[edge.edge_id] = first + length

    def play(stages):
        tell_all(stages, Message(topics.up("admin", "network"), document(1, EDGES)))
        for stage in stages:
            stage.tick(EVERY_MS)
            stage.tick(EVERY_MS)
        tell_all(stages, *(edge.hello() for edge in edges))
        for batch in batches:
            tell_all(stages, batch)
        assert_sound(stages[0])
        chains = [
            (x["position"], x["edge_id"], x["sequence"], x["hash"]) for x in stages[0].rows(ledger)
        ]
        items = [(x["edge_id"], x["number"], x["kind"]) for x in stages[0].rows(feed)]
        return [x[1:] for x in chains], items, stages[0].stock(), stages[0].shares()

    alone, shared = server.take(), server.take()
    with scene(server.location(alone)) as stage:
        clean = play([stage])
    with workers(server.location(shared)) as stages:
        assert play(stages) == clean
        assert all(0 < len(owned(x)) < len(EDGES) for x in stages)
    assert read_digests(server.location(shared)) == read_digests(server.location(alone))
    assert rebuild_file(server.location(shared), now_ms=NOW_MS, keep=False).differing() == []
    server.give_back(alone)
    server.give_back(shared)


def cut(server, stage):
    """End one worker's connection, as the server sees it when a process dies."""
    with stage.database.begin():
        process = stage.database.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with server.connect("postgres") as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", [process])


def test_the_edges_of_a_worker_whose_connection_is_cut_go_to_the_other_who_then_leads(
    server, place
):
    edges = [ScriptedEdge(x) for x in EDGES]
    with workers(place) as (one, two):
        tell_all((one, two), Message(topics.up("admin", "network"), document(1, EDGES)))
        divide(one, two)
        tell_all((one, two), *(edge.hello() for edge in edges))
        cut(server, one)
        two.tick(EVERY_MS)
        assert owned(two) == set(EDGES)
        for edge in edges:
            edge.say(received("dc", A=1))
        # The first still thinks that it owns some: what it takes in is refused by its connection.
        told = tell_all((one, two), *(edge.batch() for edge in edges))
        assert acks(told) == dict.fromkeys(EDGES, 1)
        assert two.admin("fence", edge_id="e1")["epoch"] == 2
        divide(one, two)
        assert not owned(one) & owned(two)
        assert owned(one)
        assert len(one.rows(ledger)) == len(EDGES)
    assert verify_file(place).position is None


def test_two_who_both_take_an_edge_for_theirs_write_each_event_once(server, place):
    edge = ScriptedEdge("e1")
    with workers(place) as (one, two):
        one.tell(edge.hello())
        divide(one)
        cut(server, one)
        two.tick(EVERY_MS)
        one.tick(0)
        assert owned(two) == {"e1"}
        one.ownership.owns = lambda _: True
        one.ownership.crowded = True
        edge.say(received("s-e1", A=3))
        one.tell(edge.batch())
        assert acks(tell_all((two, one), edge.batch()))["e1"] == 1
        edge.say(received("s-e1", A=4))
        assert acks(tell_all((one, two), edge.batch(2)))["e1"] == 2
        assert [x["sequence"] for x in one.rows(ledger)] == [1, 2]
        assert one.stock()["s-e1", "A"][3] == 7


def test_a_grant_that_one_worker_has_written_is_sent_by_the_worker_of_its_edge(place):
    edges = {x: ScriptedEdge(x) for x in EDGES}
    with workers(place) as stages:
        tell_all(stages, Message(topics.up("admin", "network"), document(1, EDGES)))
        divide(*stages)
        tell_all(stages, *(edge.hello() for edge in edges.values()))
        edge = edges["e1"]
        edge.say(received("dc", A=30))
        teller, other = stages if "e1" in owned(stages[0]) else stages[::-1]
        assert granted("e1", teller.tell(edge.batch()))
        out = other.central.catch_up(other.elapsed_ms)
        assert {x for x in EDGES if granted(x, out)} == owned(other)
        assert other.central.catch_up(other.elapsed_ms) == []


def test_a_grant_is_sent_by_the_worker_of_its_edge_though_it_was_busy_with_another(place):
    edges = {x: ScriptedEdge(x) for x in EDGES}
    with workers(place) as stages:
        tell_all(stages, Message(topics.up("admin", "network"), document(1, EDGES)))
        divide(*stages)
        tell_all(stages, *(edge.hello() for edge in edges.values()))
        other = next(stage for stage in stages if len(owned(stage)) == 2)
        teller = next(stage for stage in stages if stage is not other)
        (told,) = owned(teller)
        busy, waiting = sorted(owned(other))
        edges[told].say(received("dc", A=30))
        teller.tell(edges[told].batch())
        edges[busy].say(received("s-e1", A=1))
        out = other.tell(edges[busy].batch())
        out += other.central.catch_up(other.elapsed_ms)
        assert granted(waiting, out)


def test_a_worker_without_a_broker_leaves_its_edges_and_the_lead_to_those_that_have_one(place):
    with workers(place) as (one, two):
        tell_all((one, two), Message(topics.up("admin", "network"), document(1, EDGES)))
        divide(one, two)
        one.central.disconnected()
        assert not owned(one)
        two.tick(EVERY_MS)
        assert owned(two) == set(EDGES)
        assert two.admin("fence", edge_id="e1")["epoch"] >= 1
        one.tick(0)
        divide(two, one)
        assert {len(owned(one)), len(owned(two))} == {1, 2}


def test_a_fence_by_the_leader_counts_for_what_another_worker_has_read_ahead(place):
    with workers(place) as (one, two):
        edge = ScriptedEdge("e1")
        two.tell(edge.hello())
        one.tick(EVERY_MS)
        one.tick(EVERY_MS)
        edge.say(received("dc", A=5))
        assert one.admin("fence", edge_id="e1")["epoch"] == 2
        two.ownership.crowded = True
        two.tell(edge.batch())
        edge.say(accepted("o", plan("dc", "A", 1)), "o")
        two.tell(edge.batch(2))
        assert "late_sale" in one.codes()


def test_feed_items_that_another_worker_has_dropped_are_not_sent(place):
    with workers(place) as (one, two):
        edge = ScriptedEdge("e1")
        two.tell(edge.hello())
        assert one.publish(document())["version"] == 1
        assert feed_of("e1", two.central.catch_up(0))
        one.ownership.owns = lambda _: True
        assert acks(one.tell(edge.hello(feed=1))) == {"e1": 0}
        two.ownership.due = lambda _: False  # so that it does not read where the feed stands now
        assert two.tick(PATIENCE_MS) == []


def test_the_leader_sends_the_commands_that_follow_from_what_another_worker_hears(place):
    with workers(place, systems=SYSTEMS) as (one, two):
        edge = ScriptedEdge("e9")
        tell_all((one, two), Message(topics.up("admin", "network"), document(1, ("e9",))))
        two.tell(edge.hello())
        edge.say(received("dc", A=5))
        edge.say(accepted("o", plan("dc", "A", 1)), "o")
        divide(one, two)
        stages = (one, two) if "e9" in owned(two) else (two, one)
        told = tell_all(stages, edge.batch())
        out = [x for stage in stages for x in stage.central.catch_up(stage.elapsed_ms)]
        erp = ScriptedSystem("erp")
        erp.read(told + out)
        assert erp.commands()


def test_workers_need_a_server(tmp_path):
    with pytest.raises(ConfigError, match="SQLite"):
        open_database(tmp_path, shared=True)


def test_who_writes_alone_and_those_who_share_keep_each_other_out(place, monkeypatch):
    monkeypatch.setattr("central.postgres.LOCK_WAIT_MS", 100)
    with workers(place), pytest.raises(ConfigError, match="another central"):
        open_database(place)
    with scene(place), pytest.raises(ConfigError, match="another central"):
        open_database(place, shared=True)
