"""Random lives of orders at a pair of edges, one thing after another, for Hypothesis."""

import contextlib

from hypothesis import strategies as st

from shared.errors import PointsmanError
from shared.events import (
    OrderCancelled,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRejected,
    PickShort,
    StockCounted,
)
from shared.parts import CountLine, Customer, Fulfilment, PlannedLine
from tests.edge_pair import Pair
from tests.shop import NORTH, SOUTH, Shop, lines, payment

SKUS = ("sku-1", "sku-2", "sku-3")
REPORTS = (
    PickAccepted, PickAccepted, PickShort, PickShort, PickRejected, PickCompleted, PackagePacked,
    PackageShipped, PackageDelivered,
)  # fmt: skip


def live(pair: Pair, data: st.DataObject, step: int) -> None:
    """One thing happens at one of the edges."""
    shop = data.draw(st.sampled_from([pair.one, pair.one, pair.two]), label="edge")
    shop.now_ms += 1_000
    match data.draw(
        st.sampled_from(
            ["grant", "grant", "pay", "pay", "report", "report", "cancel", "cancel", "count",
             "upload", "carry"]
        )
    ):  # fmt: skip
        case "grant":
            afar = "dc-north" if shop is pair.one else "dc-south"
            node = data.draw(st.sampled_from([afar, afar, "dc-south", "dc-north", "store-1"]))
            units = {sku.replace("-", "_"): data.draw(st.integers(1, 6)) for sku in SKUS}
            shop.grant(node, **units)
            shop.retry()
        case "pay":
            pay(shop, data, step)
        case "report":
            report(shop, data)
        case "cancel":
            cancel(shop, data)
        case "count":
            node = "dc-north" if shop is pair.two else "dc-south"
            found = [CountLine(sku=sku, quantity=data.draw(st.integers(0, 6))) for sku in SKUS[:2]]
            shop.tell(node, StockCounted(node_id=node, lines=found))
        case "upload":
            pair.upload(shop)
            pair.deliver(pair.two if shop is pair.one else pair.one)
        case "carry":
            pair.carry()


def pay(shop: Shop, data: st.DataObject, step: int) -> None:
    chosen = data.draw(st.lists(st.sampled_from(SKUS), min_size=1, max_size=3))
    kind = data.draw(st.sampled_from(["delivery", "delivery", "delivery", "carry_out", "pick_up"]))
    wanted = Fulfilment(kind=kind, node_id="store-1" if kind == "pick_up" else None)
    paid = payment(
        lines=lines(*chosen, quantity=data.draw(st.integers(1, 4))), fulfilment=wanted,
        destination=data.draw(st.sampled_from([NORTH, NORTH, SOUTH])),
        customer=Customer(packages_max=data.draw(st.sampled_from([None, 1, 2]))),
    )  # fmt: skip
    shop.tell(f"till-{shop.edge_id}", paid, f"p{step}")


def report(shop: Shop, data: st.DataObject) -> None:
    rows = shop.store._rows("select task_id from tasks where state not in ('rejected')")
    if not rows:
        return
    task = shop.store.task(data.draw(st.sampled_from(sorted(row[0] for row in rows))))
    assert task is not None
    kind = data.draw(st.sampled_from(REPORTS))
    values = {}
    if kind is PickShort:
        line = data.draw(st.sampled_from(task.lines))
        units = data.draw(st.integers(1, line.quantity))
        values = {"missing": [PlannedLine(line=line.line, sku=line.sku, quantity=units)]}
    with contextlib.suppress(PointsmanError):
        shop.report(kind, task.task_id, **values)


def cancel(shop: Shop, data: st.DataObject) -> None:
    orders = sorted({str(e.correlationid) for e in shop.log() if "accepted" in e.type})
    if not orders:
        return
    order = shop.store.order(data.draw(st.sampled_from(orders)))
    if order is None:
        return
    named = []
    if data.draw(st.booleans()):
        number = data.draw(st.integers(0, len(order.payment.lines) - 1))
        line = order.payment.lines[number]
        units = data.draw(st.integers(1, line.quantity))
        named = [PlannedLine(line=number, sku=line.sku, quantity=units)]
    with contextlib.suppress(PointsmanError):
        shop.tell("till-x", OrderCancelled(order_id=order.order_id, lines=named))
