"""Whatever the wire does to the edges' batches, central ends with the same books."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.admin import Message
from central.core import REVIEW_MS
from central.holdings import broken_cells
from central.ledger import verify
from central.tables import ledger, orders, recalls, tasks, waiting
from shared import topics
from shared.envelope import encode_batch
from shared.events import (
    OrderCancelled,
    PackageShipped,
    PickShort,
    RoutePlanned,
    ShareReturned,
    StockCounted,
    StockMoved,
)
from shared.frames import Ack, Grant, Recall, Rejoin, decode_bulk, decode_frame
from shared.parts import CellUnits, CountLine, PlannedLine, StockLine
from tests.central_scene import (
    ScriptedEdge,
    accepted,
    document,
    feed_of,
    plan,
    received,
    requested,
    returned,
    scene,
)

EDGES = ("e1", "e2", "e3")
NODES = ("dc", *(f"s-{edge_id}" for edge_id in EDGES))

units = st.integers(1, 9)
nodes = st.sampled_from(NODES)
skus = st.sampled_from(["A", "B"])
orders_of_day = st.sampled_from(["o1", "o2", "o3"])


def lines(sku, quantity):
    return [PlannedLine(line=0, sku=sku, quantity=quantity)]


# Whatever an edge may write, whether it makes sense or not.
events = st.one_of(
    st.builds(lambda n, s, q: received(n, **{s: q}), nodes, skus, units),
    st.builds(
        lambda o, n, s, q, p: accepted(o, plan(n, s, q), sku=s, quantity=q + p, parked=p),
        orders_of_day, nodes, skus, units, st.integers(0, 3),
    ),
    st.builds(lambda o, n, s, q: requested(o, n, s, q, "e1"), orders_of_day, nodes, skus, units),
    st.builds(
        lambda o, n, s, q: RoutePlanned(order_id=o, plan=plan(n, s, q)),
        orders_of_day, nodes, skus, units,
    ),
    st.builds(
        lambda o, n, s, q: OrderCancelled(
            order_id=o, released=[CellUnits(node_id=n, sku=s, quantity=q)]
        ),
        orders_of_day, nodes, skus, units,
    ),
    st.builds(
        lambda o, n, s, q: PickShort(
            task_id=f"{o}.0.0", node_id=n, home_edge_id="e1", missing=lines(s, q)
        ),
        orders_of_day, nodes, skus, units,
    ),
    st.builds(
        lambda o, n, s, q: PackageShipped(
            task_id=f"{o}.0.0", node_id=n, home_edge_id="e1", lines=lines(s, q)
        ),
        orders_of_day, nodes, skus, units,
    ),
    st.builds(lambda n, s, q, r: returned(n, s, q, r), nodes, skus, units, st.integers(1, 9)),
    st.builds(
        lambda o, n, s, q: PickShort(
            task_id=f"{o}.0.0", node_id=n, home_edge_id="e1", missing=lines(s, q), counted=True
        ),
        orders_of_day, nodes, skus, units,
    ),
    st.builds(
        lambda n, s, q: StockMoved(
            node_id=n, to_node_id="dc", lines=[StockLine(sku=s, quantity=q)]
        ),
        nodes, skus, units,
    ),
)  # fmt: skip

counts = st.builds(
    lambda n, s, q: StockCounted(node_id=n, lines=[CountLine(sku=s, quantity=q)]),
    nodes, skus, st.integers(0, 9),
)  # fmt: skip


def written(logs):
    edges = [ScriptedEdge(edge_id) for edge_id in EDGES]
    for edge, log in zip(edges, logs, strict=True):
        for data in log:
            edge.say(data, getattr(data, "order_id", None))
    return edges


def books(stage):
    """Ledger by stream, and the accounts that no policy decides about."""
    entries = sorted((x["edge_id"], x["sequence"], x["raw"], x["hash"]) for x in stage.rows(ledger))
    shares = stage.shares()
    cells = {
        cell: (pool + sum(q for key, q in shares.items() if key[1:] == cell), *rest)
        for cell, (pool, *rest) in stage.stock().items()
    }
    return entries, cells


def assert_sound(stage):
    with stage.database.begin():
        assert broken_cells(stage.database) == []
        assert verify(stage.database).position is None


def play(places, edges, bursts):
    """Bursts of batches to a fresh central, then everything in order, as an edge would."""
    with places.fresh() as location, scene(location) as stage:
        stage.publish(document(1, EDGES))
        for burst in bursts:
            stage.tell(*burst)
            assert_sound(stage)
        for edge in edges:
            stage.tell(edge.hello(), edge.batch())
        assert_sound(stage)
        for edge in edges:
            numbers = [number for number, _, _ in feed_of(edge.edge_id, stage.sent)]
            assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
        return (
            books(stage),
            {x["order_id"]: x["units"] for x in stage.rows(orders)},
            {x["task_id"] for x in stage.rows(tasks)},
        )


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    logs=st.tuples(*(st.lists(events, max_size=8) for _ in EDGES)),
    cuts=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 8), st.integers(1, 8)), max_size=4),
        max_size=8,
    ),
)
def test_shuffled_and_repeated_batches_give_the_books_of_a_clean_run(places, logs, cuts):
    edges = written(logs)
    bursts = [
        [edges[edge].batch(first, first + length) for edge, first, length in burst]
        for burst in cuts
    ]
    clean_books, _, clean_tasks = play(places, edges, [])
    torn_books, _, torn_tasks = play(places, edges, bursts)
    assert torn_books == clean_books
    assert torn_tasks == clean_tasks


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(logs=st.tuples(*(st.lists(st.one_of(events, counts), max_size=8) for _ in EDGES)))
def test_every_event_three_times_gives_the_books_of_a_clean_run(places, logs):
    edges = written(logs)
    in_order = [[edge.batch(at, at)] * 3 for edge in edges for at in range(1, len(edge.log) + 1)]
    assert play(places, edges, in_order) == play(places, edges, [])


class Obedient(ScriptedEdge):
    """An edge that keeps its shares, sells only out of them, and returns what is recalled."""

    def __init__(self, edge_id):
        super().__init__(edge_id)
        self.shares = {}
        self.feed = 0
        self.acked = 0
        self.refused = ""
        self.old = {}  # the log of the epochs before

    def hear(self, messages):
        """Apply what central has sent."""
        for message in messages:
            device, kind = topics.parse_down(message.topic)
            if device != self.edge_id:
                continue
            if kind == topics.ACK:
                ack = decode_frame(message.payload, Ack)
                self.acked = (ack.epoch, ack.sequence)
                self.refused = ack.refusal
        for number, kind, body in feed_of(self.edge_id, messages):
            if number == self.feed + 1:
                self.feed = number
                self.apply(number, kind, body)

    def apply(self, number, kind, body):
        if kind == "grant":
            for x in decode_bulk(body, Grant).cells:
                cell = x.node_id, x.sku
                self.shares[cell] = self.shares.get(cell, 0) + x.quantity
        elif kind == "recall":
            back = []
            for x in decode_bulk(body, Recall).cells:
                held = self.shares.get((x.node_id, x.sku), 0)
                if units := min(held, x.quantity):
                    self.shares[x.node_id, x.sku] -= units
                    back.append(CellUnits(node_id=x.node_id, sku=x.sku, quantity=units))
            self.say(ShareReturned(cells=back, recall=number))
        elif kind == "rejoin":
            self.shares = {}
            self.old[self.epoch] = self.log
            self.begin(decode_frame(body, Rejoin).epoch)

    def sell(self, order_id, units):
        cell = max(self.shares, key=self.shares.__getitem__, default=None)
        units = min(units, self.shares.get(cell, 0))
        if units:
            self.shares[cell] -= units
            self.say(accepted(order_id, plan(*cell, units), quantity=units), order_id)
        else:
            self.say(accepted(order_id, None, quantity=1, parked=1), order_id)

    def unsent(self):
        """What comes after the acknowledgement, epoch by epoch."""
        epoch, sequence = self.acked or (self.epoch, 0)
        logs = {**self.old, self.epoch: self.log}
        found = logs.get(epoch, [])[sequence:]
        for later in sorted(x for x in logs if x > epoch):
            found = found + logs[later]
        return Message(topics.up(self.edge_id, topics.LOG), encode_batch(found))


moves = st.one_of(
    st.tuples(st.just("receive"), st.integers(0, 2), units),
    st.tuples(st.just("sell"), st.integers(0, 2), units),
    st.tuples(st.just("sell"), st.integers(0, 2), units),
    st.tuples(st.just("count"), st.integers(0, 2), units),
    st.tuples(st.just("talk"), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("talk"), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("fence"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("ask"), st.integers(0, 2), units),
    st.tuples(st.just("wait"), st.just(0), st.integers(1, 40)),
)


def talk(stage, edge, loss=0):
    """A hello and a log, of which the line loses some, or says them twice."""
    said = [edge.hello(edge.feed), edge.unsent()]
    if loss == 1:
        stage.tell(*said)  # the answers are lost
        return
    out = stage.tell(*(said * 2 if loss == 2 else said[1:] if loss == 3 else said))
    for other in stage.edges:
        other.hear(out)


def wait(stage, elapsed_ms):
    stage.elapsed_ms += elapsed_ms
    out = stage.central.tick(stage.elapsed_ms)
    for edge in stage.edges:
        edge.hear(out)


def act(stage, number, what, at, units):
    edge = stage.edges[at]
    if what == "receive":
        edge.say(received("dc", A=units))
    elif what == "sell":
        edge.sell(f"{number:03}", units)
    elif what == "count" and at == 0:
        edge.say(StockCounted(node_id="dc", lines=[CountLine(sku="A", quantity=units)]))
    elif what == "fence":
        stage.admin("fence", edge_id=edge.edge_id)
    elif what == "ask":
        edge.hear(stage.tell(edge.ask("A", units)))
    elif what == "wait":
        wait(stage, units * 1_000)
    else:
        talk(stage, edge, units)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(day=st.lists(moves, max_size=40))
def test_whatever_is_fenced_and_recalled_every_unit_is_somewhere(places, day):
    with places.fresh() as location, scene(location) as stage:
        stage.publish(document(1, EDGES))
        stage.edges = [Obedient(edge_id) for edge_id in EDGES]
        for edge in stage.edges:
            talk(stage, edge)
        for number, (what, at, units) in enumerate(day):
            act(stage, number, what, at, units)
            assert_sound(stage)
        for _ in range(12):
            wait(stage, REVIEW_MS)
            for edge in stage.edges:
                talk(stage, edge)
        assert_sound(stage)
        assert_settled(stage)


def assert_settled(stage):
    """At rest: shares agree, all logs are in the ledger, nobody waits who could be helped."""
    shares = stage.shares()
    for edge in stage.edges:
        assert edge.refused == ""
        assert edge.acked == (edge.epoch, len(edge.log))
        mine = {key[1:]: units for key, units in shares.items() if key[0] == edge.edge_id}
        assert {k: v for k, v in mine.items() if v} == {k: v for k, v in edge.shares.items() if v}
        said = [x["raw"] for x in stage.rows(ledger) if x["edge_id"] == edge.edge_id]
        assert said == [raw for epoch in sorted(edge.old) for raw in edge.old[epoch]] + edge.log
    assert stage.rows(recalls) == []
    assert all(units >= 0 for units in shares.values())
    pools = {cell: pool for cell, (pool, *_) in stage.stock().items()}
    for (node_id, sku), pool in pools.items():
        held = sum(units for key, units in shares.items() if key[1:] == (node_id, sku))
        assert pool >= 0 or held == 0, (node_id, pool, held)
    allowed = {"fenced", "late_sale", "stock_debt"}
    assert set(stage.codes()) <= allowed, stage.codes()
    # These edges never try again what waits, so the units for it lie in their own shares.
    claimed: dict[str, int] = {}
    for row in stage.rows(waiting):
        edge_id, units = row["edge_id"], row["units"]
        mine = shares.get((edge_id, "dc", "A"), 0) - claimed.get(edge_id, 0)
        if mine >= units:
            claimed[edge_id] = claimed.get(edge_id, 0) + units
        else:
            free = sum(shares.get((x, "dc", "A"), 0) - claimed.get(x, 0) for x in EDGES)
            assert free + max(0, pools.get(("dc", "A"), 0)) < units, row


def test_every_event_three_times_in_shuffled_batches_is_in_the_ledger_once(places):
    for seed in range(5):
        chance = random.Random(seed)
        edges = [ScriptedEdge(edge_id) for edge_id in EDGES]
        for number in range(60):
            edge, order_id = chance.choice(edges), f"o{number}"
            units = chance.randint(1, 3)
            edge.say(received(chance.choice(NODES), A=units, B=1))
            edge.say(accepted(order_id, plan("dc", "A", units), quantity=units), order_id)
            edge.say(requested(order_id, "dc", "A", units, home=edge.edge_id), order_id)
            edge.say(returned("dc", "A", 1))
        batches = [
            edge.batch(first, first + chance.randint(0, 9))
            for edge in edges
            for first in range(1, len(edge.log) + 1)
        ] * 3
        chance.shuffle(batches)
        bursts = [batches[at : at + 7] for at in range(0, len(batches), 7)]
        assert play(places, edges, bursts)[0] == play(places, edges, [])[0]
