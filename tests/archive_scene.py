"""A ledger of some signed days, and moving a part of it to an archive file."""

from central import ledger
from central.checkpoint import load_signer, make_key
from central.database import close_database, open_database
from central.retention import archive_part
from central.signing import Signing
from shared.events import PackageShipped, PickAccepted
from shared.parts import PlannedLine
from tests.central_scene import (
    NOW_MS,
    ScriptedEdge,
    accepted,
    document,
    plan,
    received,
    requested,
    scene,
)

DAY_MS = 86_400_000


def order(edge, order_id, *, ships=True):
    """An order's whole life in one edge's log, or all but its end."""
    edge.say(accepted(order_id, plan("dc", "A", 1)), order_id)
    edge.say(requested(order_id, "dc", "A", 1, home=edge.edge_id), order_id)
    task = {"task_id": f"{order_id}.0.0", "node_id": "dc", "home_edge_id": edge.edge_id}
    edge.say(PickAccepted(**task), order_id)
    if ships:
        lines = [PlannedLine(line=0, sku="A", quantity=1)]
        edge.say(PackageShipped(**task, lines=lines), order_id)


def write(directory, location=None, *, stuck=None, days=4, poisoned=False):
    """Some days of two orders each, every day signed; one order may be stuck."""
    make_key(directory / "key")
    location = location or directory / "data"
    with scene(location) as stage:
        signing = Signing(stage.database, load_signer(directory / "key"), events=1_000, every_ms=1)
        one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
        stage.publish(document())
        stage.tell(one.hello(), two.hello())
        one.say(received("dc", A=100))
        for day in range(days):
            for edge in (one, two):
                order_id = f"{edge.edge_id}-{day}"
                order(edge, order_id, ships=order_id != stuck)
                if poisoned:
                    edge.say(received("dc", A=1), type="pointsman.moon.landed.v1")
                stage.tell(edge.batch())
            signing.tick(2 * day, NOW_MS + day * DAY_MS)
            signing.tick(2 * day + 1, NOW_MS + day * DAY_MS)
    return location


def archive(data, day, folder=None, **values):
    """Move what is signed before the end of a day."""
    before_ms = NOW_MS + day * DAY_MS + 1
    return archive_part(data, folder, before_ms=before_ms, now_ms=NOW_MS + 9 * DAY_MS, **values)


def positions(data):
    connection = open_database(data)
    try:
        with connection.begin():
            return [x[0] for x in ledger.rows_of(connection)]
    finally:
        close_database(connection)
