"""When all has healed: whether everything is at rest, and whether the books agree."""

from typing import TYPE_CHECKING, Any

from central.digest import digests
from central.ledger import verify
from central.rebuild import rebuild
from deploy.sim.books import ViolationError
from edge.records import Order
from shared.events import OrderAccepted, OrderCancelled, PickRequested
from shared.lots import Lot, by_time
from shared.parts import is_slot

if TYPE_CHECKING:
    from deploy.sim.simulation import Simulation


def is_at_rest(simulation: "Simulation") -> tuple[bool, object]:
    """Whether nobody waits for anything; and where everything stands, to see whether it moves."""
    checks = simulation.checks
    moving: list[str] = []
    if simulation.central.core is None or simulation.central.busy:
        moving.append("central")
    for edge_id, edge in simulation.edges.items():
        book, core = checks.books[edge_id], edge.core
        site = simulation.sites[edge_id]
        if (
            core is None
            or core.sync.refused
            or core.engine.state.unfit
            or core.engine.state.rebuilding
            or core.sync.acked != core.store.durable
            or core.has_work(edge.elapsed_ms())
            or not book.coherent
            or book.coming
            or site.busy
        ):
            moving.append(edge_id)
    moving += [x.device for x in simulation.tills if x.waits]
    moving += [x.node_id for x in simulation.warehouses if x.waits]
    state = (
        tuple(moving),
        checks.measures.entries,
        tuple(book.feed for book in checks.books.values()),
        tuple(book.ingested for book in checks.books.values()),
    )
    return not moving, state


def check_rest(simulation: "Simulation") -> None:
    """P3, and what remains of P1 and P2.

    Raises:
        ViolationError: something is missing, doubled, or stuck.
    """
    _check_ledger(simulation)
    _check_tasks(simulation)
    _check_orders(simulation)
    _check_waiting(simulation)
    _check_documents(simulation)
    _check_lots(simulation)


def _check_ledger(simulation: "Simulation") -> None:
    connection = simulation.central.connection
    assert connection is not None
    with connection.begin():
        verdict = verify(connection)
        poison = connection.exec_driver_sql("select count(*) from poison").scalar()
    if verdict.position is not None:
        raise ViolationError("P3", f"the ledger is {verdict}")
    with connection.begin() as trial:
        before = digests(connection)
        rebuild(connection, 0)
        after = digests(connection)
        trial.rollback()
    if after != before:
        names = [name for name in before if before[name] != after[name]]
        raise ViolationError("P7", f"rebuilt from the ledger, these views differ: {names}")
    if poison:
        raise ViolationError("P3", f"{poison} events are poison")
    noted = {
        (edge_id, epoch, sequence)
        for code, edge_id, epoch, sequence in simulation.checks.exceptions
        if code == "late_sale"
    }
    for edge_id, book in simulation.checks.books.items():
        for key, entry in book.said.items():
            if not entry.ingested and not entry.void:
                raise ViolationError("P3", f"{edge_id}'s entry {key} is not in the ledger")
            sold = any(effect.owed > 0 for effect in entry.effects)
            if entry.ingested and entry.late and sold and (edge_id, *key) not in noted:
                raise ViolationError("P1", f"{edge_id}'s late sale at {key} was not noted")
            simulation.checks.measures.late_sales += bool(entry.late and sold)


def _check_tasks(simulation: "Simulation") -> None:
    home = {node.node_id: node.edge_id for node in simulation.network.nodes}
    for book in simulation.checks.books.values():
        for entry in book.said.values():
            if entry.ingested and isinstance(entry.data, PickRequested):
                edge = simulation.edges[home[entry.data.node_id]]
                assert edge.core is not None
                if edge.core.store.task(entry.data.task_id) is None:
                    raise ViolationError(
                        "P3", f"task {entry.data.task_id} never reached {edge.edge_id}"
                    )


def _check_orders(simulation: "Simulation") -> None:
    """Of every order all units that were paid are in packages, waiting, or cancelled."""
    for edge_id, book in simulation.checks.books.items():
        core = simulation.edges[edge_id].core
        assert core is not None
        cancelled: dict[str, int] = {}
        paid: dict[str, int] = {}
        for entry in book.said.values():
            if not entry.ingested:
                continue
            match entry.data:
                case OrderAccepted(order_id=order_id, payment=payment):
                    paid[order_id] = sum(line.quantity for line in payment.lines)
                case OrderCancelled(order_id=order_id, released=released) as told:
                    gone = sum(x.quantity for x in told.unparked)
                    # A rejection releases all of a task, and not all of it was cancelled.
                    if told.withdrawn:
                        gone += sum(x.quantity for x in released if not is_slot(x.sku))
                    cancelled[order_id] = cancelled.get(order_id, 0) + gone
                case _:
                    pass
        for order_id, units in paid.items():
            order = core.store.order(order_id)
            kept = 0
            if order is not None:
                _check_packages(simulation, order)
                kept = sum(x.quantity for package in order.packages for x in package.lines)
                kept += sum(x.quantity for x in order.parked)
            if order is None and _is_settled(simulation, order_id):
                continue
            if kept + cancelled.get(order_id, 0) != units:
                raise ViolationError(
                    "P3", f"{edge_id}'s order {order_id}: {units} units were paid, "
                    f"{kept} are kept, {cancelled.get(order_id, 0)} cancelled",
                )  # fmt: skip


def _check_packages(simulation: "Simulation", order: Order) -> None:
    """What an order counts on is what the warehouses are asked for."""
    home = {node.node_id: node.edge_id for node in simulation.network.nodes}
    for package in order.packages:
        core = simulation.edges[home[package.node_id]].core
        assert core is not None
        task = core.store.task(package.task_id)
        if task is None:
            continue  # Carried out, or settled before a disk was lost.
        if task.state in ("rejected", "withdrawn") or task.lines != package.lines:
            raise ViolationError(
                "P3", f"order {order.order_id} counts on {package.lines} of {package.task_id}, "
                f"which is {task.state} with {task.lines}",
            )  # fmt: skip


def _is_settled(simulation: "Simulation", order_id: str) -> bool:
    """A restored edge is not told of orders that were settled long ago."""
    connection: Any = simulation.central.connection
    with connection.begin():
        state = connection.exec_driver_sql(
            "select state from orders where order_id = ?", (order_id,)
        ).scalar()
    return state in ("shipped", "delivered", "cancelled")


def _check_waiting(simulation: "Simulation") -> None:
    """No order waits for want of a share while a pool has what it needs."""
    checks = simulation.checks
    for edge_id, edge in simulation.edges.items():
        assert edge.core is not None
        for order in edge.core.store.parked_orders():
            # What waits for stock on its way does so although others have some.
            parked = [x for x in order.parked if x.reason != "incoming"]
            found = checks.could_ship(checks.books[edge_id], parked)
            if found is not None and found[0] not in order.failed:
                raise ViolationError(
                    "waiting", f"{edge_id}'s order {order.order_id} waits for {found[1]}; "
                    f"the pools of {found[0]} have what it needs",
                )  # fmt: skip


def _check_documents(simulation: "Simulation") -> None:
    """Every edge decides by what central says is in force."""
    connection: Any = simulation.central.connection
    with connection.begin():
        wanted = (
            connection.exec_driver_sql(
                "select version from activations order by number desc limit 1"
            ).scalar(),
            connection.exec_driver_sql("select version from prices").scalar(),
        )
    for edge_id, edge in simulation.edges.items():
        assert edge.core is not None
        state = edge.core.engine.state
        found = (
            None if state.sourcing is None else state.sourcing.version,
            None if state.prices is None else state.prices.version,
        )
        if found != wanted:
            raise ViolationError("documents", f"{edge_id} has {found}, in force is {wanted}")


def _check_lots(simulation: "Simulation") -> None:
    """All edges expect what central's ledger leaves to be expected.

    But for transfers from and to an edge's own nodes: it knows its own part of them at once, and
    hears of the other part later than central may.
    """
    if simulation.accidents.count["clocks"]:
        return  # Whose clock was ten years ahead has given everything up.
    connection: Any = simulation.central.connection
    with connection.begin():
        known = {Lot(*row) for row in connection.exec_driver_sql("select * from lots")}
    simulation.checks.measures.lots_open = len(known)
    home = {node.node_id: node.edge_id for node in simulation.network.nodes}
    for edge_id, edge in simulation.edges.items():
        assert edge.core is not None
        found = set(edge.core.store.incoming(0))
        memory = {
            lot
            for sku in simulation.world.skus
            for lot in edge.core.engine.state.incoming.lots(sku, 0)
        }
        if memory != found:
            raise ViolationError("lots", f"{edge_id} remembers {memory}, its disk has {found}")
        for lot in sorted(known ^ found, key=by_time):
            sender = lot.lot_id.partition("/")[0] if lot.reason == "transfer" else None
            if sender is None or edge_id not in (home[sender], home[lot.node_id]):
                raise ViolationError(
                    "lots", f"{edge_id} and central disagree about {lot}: central has "
                    f"{known & {lot}}",
                )  # fmt: skip
