"""Real baskets on the demo's network: how long a decision takes, and how much of it is proven.

The orders are the invoices of UCI's "Online Retail" (Chen 2015) with all their lines; city,
tier and deadline of each are drawn as in the demo. Every order is a delivery and is asked by
itself. A node that has a SKU has enough of it, so that the heavy orders stay in.

``python -m tests.bench.baskets --json build/baskets.json`` prints the figures. The data does not
ship. Whatever is tuned is tuned on the first part (to 2011-04-30); figures are of the second.
``--shift`` takes other invoices from between those: the choice of constants of the kits has seen
hard orders of shift 0, of both parts, so that the clean figures are those of shift 0.5.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import time
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, TypedDict, get_args
from unittest.mock import patch

import msgspec
import numpy as np

from deploy.demo import day, script, world
from deploy.demo.places import choose, cities, draw
from edge.network import Snapshot
from edge.routing import attempt, router
from edge.routing.known import Known
from edge.routing.problem import Infeasible, Problem, Solution
from edge.routing.question import Question, Want
from edge.routing.solve import solve, warm
from edge.stock import Stock
from shared.clock import to_ms
from shared.events import RouteRequested
from shared.limits import LINES_MAX
from shared.network import Network, Product
from shared.parts import Destination, Fulfilment

Part = Literal["tune", "report"]
Plenty = Literal["demo", "scarce"]

DATA: Final = Path(__file__).resolve().parents[3] / "shared/data/online_retail"
FILE: Final = "online_retail_2010-12_to_2011-09.csv.gz"
TUNED_UNTIL: Final = datetime(2011, 5, 1)  # noqa: DTZ001 the source's wall clock has no zone

_COLUMNS: Final = {
    "InvoiceNo": "invoice", "StockCode": "sku", "Description": "description",
    "Quantity": "quantity", "InvoiceDate": "time", "UnitPrice": "unit_price",
    "CustomerID": "customer", "Country": "country",
}  # fmt: skip
_RANGES: Final[dict[Plenty, tuple[float, float, float]]] = {
    "demo": (0.96, 0.45, 0.03),
    "scarce": (0.5, 0.25, 0.03),
}
"""Share of the SKUs that an edge's main centre has, another centre, a store."""
_UNITS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """One basket as a question."""

    invoice: str
    question: Question
    now_ms: int


@dataclass(frozen=True, slots=True)
class Baskets:
    """Orders, and what they are routed over."""

    snapshot: Snapshot
    stock: Stock
    orders: list[Order]


def available(folder: Path = DATA) -> bool:
    """Whether the data is here."""
    return (folder / FILE).exists()


def load(
    part: Part, plenty: Plenty, count: int, folder: Path = DATA, shift: float = 0.0
) -> Baskets:
    """Orders of one part, evenly over its time.

    Args:
        part: which part of the data.
        plenty: how many nodes have a SKU.
        count: orders.
        folder: where the data is.
        shift: 0 to 1, how far from one order to the next the first one is.
    """
    trade = _read(folder / FILE)
    sales = [
        sale
        for sale in trade.sales
        if (sale.time < TUNED_UNTIL) == (part == "tune") and len(sale.items) <= LINES_MAX
    ]
    some = [sales[int((i + shift) * len(sales)) // count] for i in range(count)]
    asked = script.write(day.Day(tuple(some), (), 0, 0)).sales
    snapshot = Snapshot(network(world.skus(trade)))
    main = {world.dc_ids(edge_id)[0] for edge_id in world.EDGES}
    cells = [
        (node.node_id, sku, _UNITS)
        for node in snapshot.network.nodes
        for sku in snapshot.sku_ix
        if draw("range", node.node_id, sku) < _range(node.kind, node.node_id in main, plenty)
    ]
    orders = [
        Order(sale.invoice, _question(sale.question, sale.invoice), to_ms(sale.at))
        for sale in asked
    ]
    return Baskets(snapshot, Stock(snapshot, cells), orders)


def network(skus: dict[str, str]) -> Network:
    """The demo's network with the products of the whole data."""
    products = [
        Product(sku=sku, name=name[:256], weight_g=world.weight_g(sku))
        for sku, name in skus.items()
    ]
    return msgspec.structs.replace(world.network(day.load()), products=products)


def _range(kind: str, main: bool, plenty: Plenty) -> float:
    of_main, of_other, of_store = _RANGES[plenty]
    return of_store if kind == "store" else of_main if main else of_other


def _read(path: Path) -> day.Day:
    """The whole trade; the columns get the names that the demo's day has."""
    text = io.StringIO()
    with gzip.open(path, "rt", encoding="utf-8", newline="") as packed:
        rows = csv.DictReader(packed)
        writer = csv.DictWriter(text, list(_COLUMNS.values()))
        writer.writeheader()
        for row in rows:
            named = {name: row[column] for column, name in _COLUMNS.items()}
            named["sku"] = named["sku"].strip().replace(" ", "-")
            writer.writerow(named)
    return day.parse(text.getvalue())


def _question(asked: RouteRequested, invoice: str) -> Question:
    """The demo's question, always as a delivery."""
    return Question(
        wants=[Want(i, line.sku, line.quantity, line.group) for i, line in enumerate(asked.lines)],
        fulfilment=Fulfilment(kind="delivery", deadline=asked.fulfilment.deadline),
        store_id=asked.store_id,
        customer=asked.customer,
        destination=asked.destination or _destination(invoice),
    )


def _destination(invoice: str) -> Destination:
    places = cities()
    place = choose(places, [city.population for city in places], "basket", invoice)
    return Destination(lat=place.lat, lon=place.lon, region=place.region)


@dataclass(frozen=True, slots=True)
class Solved:
    """What the solver was asked for an order, and how it answered."""

    invoice: str
    problem: Problem
    answer: Solution | Infeasible
    seconds: float


class Figures(TypedDict):
    """Of one part under one plenty; times in milliseconds."""

    part: str
    plenty: str
    orders: int
    groups_mean: float
    groups_max: int
    plans: int
    proven: int
    proven_share: float
    gaps: list[float]
    unknown: int
    solve_p50_ms: float
    solve_p99_ms: float
    solve_max_ms: float
    route_p50_ms: float
    route_p99_ms: float
    route_max_ms: float


def decide(baskets: Baskets) -> tuple[list[Solved], list[float]]:
    """Route every order; the solver's part of each, and the seconds of the whole decisions."""
    solved: list[Solved] = []
    whole: list[float] = []
    known = Known(baskets.snapshot, baskets.stock)
    for order in baskets.orders:

        def timed(problem: Problem, invoice: str = order.invoice) -> Solution | Infeasible:
            began = time.perf_counter()
            answer = solve(problem)
            solved.append(Solved(invoice, problem, answer, time.perf_counter() - began))
            return answer

        with patch.object(attempt, "solve", timed):
            began = time.perf_counter()
            router.route(known, order.question, order.now_ms)
            whole.append(time.perf_counter() - began)
    return solved, whole


def figures(part: Part, plenty: Plenty, solved: list[Solved], whole: list[float]) -> Figures:
    """What the issue asks for."""
    plans = [x.answer for x in solved if isinstance(x.answer, Solution)]
    none = [x.answer for x in solved if isinstance(x.answer, Infeasible)]
    groups = [len(x.problem.weight_g) for x in solved]
    gaps = [(plan.cost - plan.bound) / plan.cost for plan in plans if not plan.optimal]
    proven = len(plans) - len(gaps) + sum(answer.proved for answer in none)
    alone_ms, whole_ms = 1e3 * np.array([x.seconds for x in solved]), 1e3 * np.array(whole)
    return Figures(
        part=part,
        plenty=plenty,
        orders=len(whole),
        groups_mean=round(float(np.mean(groups)), 1),
        groups_max=max(groups),
        plans=len(plans),
        proven=proven,
        proven_share=round(proven / len(solved), 5),
        gaps=sorted((round(gap, 5) for gap in gaps), reverse=True),
        unknown=sum(not answer.proved for answer in none),
        solve_p50_ms=round(float(np.median(alone_ms)), 3),
        solve_p99_ms=round(float(np.quantile(alone_ms, 0.99)), 2),
        solve_max_ms=round(float(alone_ms.max()), 1),
        route_p50_ms=round(float(np.median(whole_ms)), 3),
        route_p99_ms=round(float(np.quantile(whole_ms, 0.99)), 2),
        route_max_ms=round(float(whole_ms.max()), 1),
    )


def verified(solved: list[Solved], count: int, seconds_max: float) -> tuple[int, int]:
    """Hold what is claimed for some large orders to HiGHS.

    Args:
        solved: every order.
        count: orders to look at, evenly among those of 11 to 40 groups.
        seconds_max: that HiGHS may take for one.

    Returns:
        Orders that were looked at, and those whose optimum HiGHS proved.

    Raises:
        AssertionError: HiGHS has a plan below our bound, or an optimum that is not ours.
    """
    highs = import_module("tests.oracle.highs")
    large = [x for x in solved if 10 < len(x.problem.weight_g) <= 40]
    some = [large[i * len(large) // count] for i in range(min(count, len(large)))]
    ended = 0
    for one in some:
        verdict = highs.solve(one.problem, seconds_max, reduced=True)
        ended += verdict.proven
        if isinstance(one.answer, Infeasible):
            assert verdict.cost is None or not one.answer.proved, one.invoice
            continue
        assert verdict.cost is None or verdict.cost >= one.answer.bound, one.invoice
        if verdict.proven:
            assert verdict.cost is not None, one.invoice
            assert verdict.cost <= one.answer.cost, one.invoice
    return len(some), ended


def main() -> None:
    """Print the figures, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data")
    parser.add_argument("--part", choices=get_args(Part), default="report")
    parser.add_argument("--orders", type=int, default=2_000)
    parser.add_argument("--shift", type=float, default=0.0, help="0.5: other orders")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--verify", type=int, default=0, help="so many large orders by HiGHS")
    parser.add_argument("--seconds-max", type=float, default=20.0, help="an order, HiGHS")
    given = parser.parse_args()
    if not available(given.data):
        parser.error(f"no {FILE} there: the data does not ship")
    warm()
    found = []
    for plenty in get_args(Plenty):
        baskets = load(given.part, plenty, given.orders, given.data, given.shift)
        decide(Baskets(baskets.snapshot, baskets.stock, baskets.orders[:50]))  # warm caches
        solved, whole = decide(baskets)
        found.append(figures(given.part, plenty, solved, whole))
        print(json.dumps(found[-1], indent=1), flush=True)
        if given.verify:
            seen, ended = verified(solved, given.verify, given.seconds_max)
            print(f"HiGHS: {seen} large orders, nothing contradicted, {ended} optima proven")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
