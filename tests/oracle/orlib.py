"""OR-Library's facility location instances as orders, and the table of their optima.

``python -m tests.oracle.orlib --data DIR --json build/orlib.json``. The customers are an order's
lines, a site is a node, its opening cost is the fixed cost of a package, and what it costs to
serve a customer is a bid price (Beasley, "OR-Library: distributing test problems by electronic
mail", Journal of the Operational Research Society 41, 1990). The data does not ship.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from edge.routing import solve
from edge.routing.problem import Problem, Solution

DATA: Final = Path(__file__).resolve().parents[3] / "shared/data/orlib"
SCALE: Final = 10**5
"""Costs have at most five digits after the point; they become whole numbers."""


class Result(NamedTuple):
    """One instance: optimum as published, and ours, in the instance's money."""

    instance: str
    sites: int
    customers: int
    published: Decimal
    cost: Decimal
    proven: bool
    first_ms: float
    median_ms: float


def available(folder: Path = DATA) -> bool:
    """Whether the data is here."""
    return (folder / "optima.csv").exists()


def optima(folder: Path = DATA) -> dict[str, Decimal]:
    """Published optimum of each instance."""
    with (folder / "optima.csv").open(encoding="utf-8", newline="") as rows:
        return {row["instance"]: Decimal(row["optimum"]) for row in csv.DictReader(rows)}


def problem_of(text: str) -> Problem:
    """An instance as a routing problem; its capacities are left out, as its optimum does.

    Args:
        text: sites and customers; capacity and opening cost of each site; for each customer its
            demand, and the cost of serving all of it from each site.
    """
    words = iter(text.split())
    sites, customers = int(next(words)), int(next(words))
    fixed = np.empty(sites, np.int64)
    for site in range(sites):
        next(words)
        fixed[site] = _whole(next(words))
    assign = np.empty((sites, customers), np.int64)
    for customer in range(customers):
        next(words)
        for site in range(sites):
            assign[site, customer] = _whole(next(words))
    problem = Problem(
        weight_g=np.zeros(customers, np.int64),
        can=np.ones((sites, customers), np.bool_),
        assign=assign,
        fixed=fixed,
        tariff=np.zeros(sites, np.int64),
        step_g=np.ones((1, 1), np.int64),
        step_price=np.zeros((1, 1), np.int64),
        split_cost=0,
        packages_max=min(sites, customers),
    )
    problem.validate()
    return problem


def _whole(number: str) -> int:
    scaled = Decimal(number) * SCALE
    assert scaled == int(scaled), f"{number} has more digits than {SCALE}"
    return int(scaled)


def results(folder: Path = DATA, repeats: int = 21) -> list[Result]:
    """Solve all of them."""
    solve.warm()
    found = []
    for name, published in optima(folder).items():
        problem = problem_of((folder / f"{name}.txt").read_text())
        seconds = []
        answer = None
        for _ in range(repeats):
            began = time.perf_counter()
            answer = solve.solve(problem)
            seconds.append(time.perf_counter() - began)
        assert isinstance(answer, Solution)
        sites, customers = problem.can.shape
        cost = Decimal(answer.cost) / SCALE
        first, median = 1e3 * seconds[0], 1e3 * statistics.median(seconds)
        found.append(Result(name, sites, customers, published, cost, answer.optimal, first, median))
    return found


def main() -> None:
    """Print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the instances")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    if not available(given.data):
        parser.error("no optima.csv there: the data does not ship")
    found = results(given.data)
    for one in found:
        same = abs(one.cost - one.published) < Decimal("0.001")
        print(
            f"{one.instance:7} {one.sites:3} x {one.customers:3} {one.published:>12}"
            f" {one.cost:>15} {'same' if same else 'OTHER':5}"
            f" {'proven' if one.proven else 'open':6}"
            f" {one.first_ms:7.2f} ms first {one.median_ms:7.2f} ms median"
        )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        rows = [one._asdict() for one in found]
        given.json.write_text(json.dumps(rows, default=str, indent=1))


if __name__ == "__main__":
    main()
