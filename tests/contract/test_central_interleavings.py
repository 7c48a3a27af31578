"""Whatever the wire does to the edges' batches, central ends with the same books."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.ledger import verify
from central.tables import ledger, orders, tasks
from central.views import broken_cells
from shared.events import (
    OrderCancelled,
    PackageShipped,
    PickShort,
    RoutePlanned,
    StockCounted,
    StockMoved,
)
from shared.parts import CellUnits, CountLine, PlannedLine, StockLine
from tests.central_scene import (
    ScriptedEdge,
    accepted,
    document,
    feed_of,
    plan,
    received,
    requested,
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


def play(edges, bursts):
    """Bursts of batches to a fresh central, then everything in order, as an edge would."""
    with tempfile.TemporaryDirectory() as directory, scene(Path(directory)) as stage:
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
def test_shuffled_and_repeated_batches_give_the_books_of_a_clean_run(logs, cuts):
    edges = written(logs)
    bursts = [
        [edges[edge].batch(first, first + length) for edge, first, length in burst]
        for burst in cuts
    ]
    clean_books, _, clean_tasks = play(edges, [])
    torn_books, _, torn_tasks = play(edges, bursts)
    assert torn_books == clean_books
    assert torn_tasks == clean_tasks


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(logs=st.tuples(*(st.lists(st.one_of(events, counts), max_size=8) for _ in EDGES)))
def test_every_event_three_times_gives_the_books_of_a_clean_run(logs):
    edges = written(logs)
    in_order = [[edge.batch(at, at)] * 3 for edge in edges for at in range(1, len(edge.log) + 1)]
    assert play(edges, in_order) == play(edges, [])
