"""A summary, or two beside each other, for a person."""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from deploy.planning.formats import Comparison, NodeLoad, Summary
from deploy.planning.orders import Orders

_ROWS: tuple[tuple[str, Callable[[Summary], float]], ...] = (
    ("orders", lambda x: x.orders),
    ("  with a plan", lambda x: x.planned),
    ("  proven the cheapest", lambda x: x.optimal),
    ("  in more than one package", lambda x: x.split),
    ("  promised late", lambda x: x.late),
    ("  of which something waits", lambda x: x.parked_orders),
    ("lines that wait", lambda x: x.parked_lines),
    ("packages", lambda x: x.packages),
    ("cost as the profile counts, minor", lambda x: x.cost_minor),
    ("handling and carriers, minor", lambda x: x.freight_minor),
    ("promise, mean hours", lambda x: x.promise_h),
)


def show(result: Summary | Comparison, orders: Orders, console: Console) -> None:
    """Print totals and the load of every node."""
    if isinstance(result, Summary):
        table, loads = Table("", result.profile), Table("node", "packages", "units", "kg")
        for name, value in _ROWS:
            table.add_row(name, _number(value(result)))
        for load in result.nodes:
            loads.add_row(plain(load.node_id), *_load(load))
    else:
        a, b = result.a, result.b
        table = Table("", a.profile, b.profile, "change")
        for name, value in _ROWS:
            change = value(b) - value(a)
            table.add_row(name, _number(value(a)), _number(value(b)), _signed(change))
        table.add_row("shipped otherwise", "", _number(result.changed), "")
        loads = Table("node", "packages", "", "change", "kg", "", "change")
        before = {load.node_id: load for load in a.nodes}
        after = {load.node_id: load for load in b.nodes}
        for node_id in before | after:
            x, y = (side.get(node_id, _idle(node_id)) for side in (before, after))
            kg = (y.weight_g - x.weight_g) / 1000
            loads.add_row(
                plain(node_id), _load(x)[0], _load(y)[0], _signed(y.packages - x.packages),
                _load(x)[2], _load(y)[2], _signed(kg),
            )  # fmt: skip
    console.print(table, loads)
    if orders.other or orders.twice:
        console.print(f"left out: {orders.other} other events, {orders.twice} repeated orders")


def _idle(node_id: str) -> NodeLoad:
    return NodeLoad(node_id=node_id, packages=0, units=0, weight_g=0)


def _load(load: NodeLoad) -> tuple[str, str, str]:
    return _number(load.packages), _number(load.units), _number(load.weight_g / 1000)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _signed(value: float) -> str:
    return f"{value:+,}" if isinstance(value, int) else f"{value:+,.1f}"
