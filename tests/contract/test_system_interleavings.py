"""Whatever order messages come in: every command is answered, missed, or still awaited."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central import rebuild
from central.digest import digests
from central.ledger import verify
from central.tables import awaited, beliefs
from shared.envelope import decode_data
from shared.events import OrderCancelled, PackagePacked, PickAccepted, RoutePlanned
from shared.parts import CellUnits
from shared.systems import (
    AnswerMissed,
    InventoryLocked,
    InventoryLockRefused,
    MessageFailed,
    MessageSent,
    StatusReported,
)
from tests.central_scene import (
    NOW,
    NOW_MS,
    ScriptedEdge,
    accepted,
    document,
    plan,
    received,
    requested,
    scene,
)
from tests.system_scene import LIMITS, SYSTEMS, ScriptedSystem, contact, hub_log

ORDERS = ("o0", "o1", "o2")


def logs():
    """Two edges; both have sold the second order."""
    edges = ScriptedEdge("e1"), ScriptedEdge("e2")
    for edge, order_ids in zip(edges, (ORDERS[:2], ORDERS[1:]), strict=True):
        edge.say(received(f"s-{edge.edge_id}", A=9))
        for order_id in order_ids:
            task = {"task_id": f"{order_id}.0.0", "node_id": "dc", "home_edge_id": edge.edge_id}
            edge.say(accepted(order_id, plan("dc", "A", 1), quantity=2, parked=1), order_id)
            edge.say(requested(order_id, "dc", "A", 1, home=edge.edge_id), order_id)
            edge.say(RoutePlanned(order_id=order_id, plan=plan("s-e1", "A", 1)), order_id)
            edge.say(PickAccepted(**task), order_id)
            back = [CellUnits(node_id="s-e1", sku="A", quantity=1)]
            edge.say(OrderCancelled(order_id=order_id, released=back), order_id)
            edge.say(PackagePacked(**task), order_id)
    return edges


steps = st.lists(
    st.one_of(
        st.tuples(st.just("log"), st.integers(0, 1), st.integers(1, 14)),
        st.tuples(st.just("answer"), st.integers(0, 8), st.integers(0, 5)),
        st.tuples(st.just("again"), st.integers(0, 8), st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from([1, 70, 400]), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
        st.tuples(st.just("status"), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("contact"), st.integers(0, 2), st.just(0)),
    ),
    max_size=25,
)


def answer(system, command, what):
    """One of what a system may say to a command, the wrong ones included."""
    order_id = command.correlationid
    said = [
        InventoryLocked(order_id=order_id),
        InventoryLockRefused(order_id=order_id, reason="blocked"),
        MessageSent(order_id=order_id),
        MessageFailed(order_id=order_id, reason="busy", retryable=True),
        MessageFailed(order_id=order_id, reason="gone"),
        InventoryLocked(order_id="o9"),
    ][what]
    return system.say(said, command.id)


class World:
    """A central, its systems and what they have said."""

    def __init__(self, stage):
        self.stage = stage
        self.edges = logs()
        self.systems = ScriptedSystem("erp"), ScriptedSystem("sms")
        self.said = []

    def hear(self, out):
        for system in self.systems:
            system.read(out)

    def act(self, what, first, second):
        stage = self.stage
        if what == "log":
            self.hear(stage.tell(self.edges[first].batch(1, second)))
        elif what == "answer":
            known = [(s, x) for s in self.systems for x in s.commands().values()]
            if known:
                self.said.append(answer(*known[first % len(known)], second))
                self.hear(stage.tell(self.said[-1]))
        elif what == "again" and self.said:
            self.hear(stage.tell(self.said[first % len(self.said)]))
        elif what == "wait":
            self.hear(stage.tick(first * 1_000))
        elif what == "restart":
            stage.restart()
            self.hear(stage.central.connected(stage.elapsed_ms))
        elif what == "status":
            word = ("NEW", "DONE", "MOON", "NEW")[second]
            status = StatusReported(order_id=ORDERS[first], state=word, at=NOW)
            self.hear(stage.tell(self.systems[0].say(status)))
        elif what == "contact":
            self.hear(stage.tell(contact("e1", ORDERS[first])))


def assert_each_command_is_somewhere(world):
    log = hub_log(world.stage)
    commands = {x.id for x in log if x.source == "/hub" and not is_missed(x)}
    rows = {x["command_id"]: x for x in world.stage.rows(awaited)}
    assert {x for x, row in rows.items() if row["task_id"] is None} == commands
    missed = [decode_data(x).command_id for x in log if is_missed(x)]
    assert sorted(missed) == sorted({x for x, row in rows.items() if row["missed_ms"] is not None})
    for row in rows.values():
        assert (row["answered_ms"] is None) == (row["outcome"] is None)
    assert [x.number() for x in log] == list(range(1, len(log) + 1))
    heard = [(x.source, x.id) for x in log]
    assert len(heard) == len(set(heard))


def is_missed(event):
    return isinstance(decode_data(event), AnswerMissed)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps, st.integers(1, 9))
def test_every_command_is_answered_or_missed_or_awaited_and_rebuilds_alike(places, told, chunk):
    with places.fresh() as location, scene(location, systems=SYSTEMS) as stage:
        stage.publish(document())
        world = World(stage)
        stage.tick(0)
        for step in told:
            world.act(*step)
            assert_each_command_is_somewhere(world)
        with stage.database.begin():
            assert verify(stage.database).position is None
            before = digests(stage.database)
            size, rebuild.CHUNK = rebuild.CHUNK, chunk
            try:
                rebuild.rebuild(stage.database, NOW_MS)
            finally:
                rebuild.CHUNK = size
            assert digests(stage.database) == before
        # In the end nothing is left in the air: what is still open gets its answer, or is missed.
        for number, edge in enumerate(world.edges):
            world.act("log", number, len(edge.log))
        stage.tick(0)
        world.act("wait", LIMITS.pick_acceptance_s + 400, 0)
        world.act("wait", 2, 0)
        for row in stage.rows(awaited):
            assert row["answered_ms"] is not None or row["missed_ms"] is not None
        for row in stage.rows(beliefs):
            assert row["system"] == "erp"
