"""Drawn orders over many nodes: gaps, and how long the budget lasts on this machine.

``python -m tests.bench.large_orders``. Stock is drawn at random, which no network looks like: that
makes the choice of nodes a random set cover, whose bounds are weak.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from edge.routing.problem import Problem, Solution
from edge.routing.solve import solve, warm
from tests.bench.test_bench_kernels import problem_of
from tests.oracle.problems import carrier_problem, random_problem

count = 12


def kinds() -> Iterator[tuple[str, list[Problem]]]:
    """Kinds of orders by name."""
    for groups, nodes in ((40, 200), (100, 50), (100, 200)):
        yield (
            f"{groups} lines, {nodes} nodes of 3 services",
            [
                carrier_problem(
                    seed, groups, nodes=nodes, stocked=[0.3, 0.6][seed % 2], bids=seed % 4 < 2
                )
                for seed in range(count)
            ],
        )
    yield "1,000 lines, 200 nodes of 3 services", [carrier_problem(1, 1000, nodes=200, bids=True)]
    for groups, options in ((24, 60), (100, 600), (1000, 600)):
        yield f"{groups} groups, {options} options, all at random", [problem_of(groups, options)]
    yield "1,000 groups, 300 options, light limits", [random_problem(1, 1000, 300, can=1.0)]


def main() -> None:
    """Print a line for each kind."""
    warm()
    for name, problems in kinds():
        gaps, seconds = [], []
        for problem in problems:
            began = time.process_time()
            answer = solve(problem)
            seconds.append(time.process_time() - began)
            if isinstance(answer, Solution):
                gaps.append(1 - answer.bound / answer.cost)
        print(
            f"{name:46} {len(gaps):2} of {len(problems):2} planned, gap"
            f" {100 * float(np.mean(gaps or [1])):5.1f} % mean {100 * max(gaps, default=1):5.1f} %"
            f" largest, {1e3 * float(np.median(seconds)):5.1f} ms median,"
            f" {1e3 * max(seconds):5.1f} ms largest",
            flush=True,
        )


if __name__ == "__main__":
    main()
