"""Speed of the routing kernels, in multiples of a baseline in the same run.

Compare within the groups; the absolute figures belong to the machine.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pytest_benchmark")
from pytest_benchmark.fixture import BenchmarkFixture

from edge.routing import solve
from edge.routing.problem import Problem
from tests.oracle.problems import carrier_problem
from tests.oracle.subset_oracle import best_plan


def problem_of(groups: int, options: int) -> Problem:
    """A seeded problem with 24 tariffs of 8 steps and nine of ten pairs allowed."""
    rng = np.random.default_rng(groups * 1000 + options)
    tariffs, steps = 24, 8
    problem = Problem(
        weight_g=rng.integers(50, 4000, groups),
        can=rng.random((options, groups)) < 0.9,
        assign=rng.integers(0, 300, (options, groups)),
        fixed=rng.integers(50, 600, options),
        tariff=rng.integers(0, tariffs, options),
        step_g=np.cumsum(rng.integers(500, 8000, (tariffs, steps)), axis=1),
        step_price=np.cumsum(rng.integers(50, 250, (tariffs, steps)), axis=1),
        split_cost=200,
        packages_max=groups,
    )
    problem.validate()
    return problem


def assignment_sums(problem: Problem) -> NDArray[np.int64]:
    """Baseline: the assignment cost of every set on every option, by one numpy product."""
    groups = len(problem.weight_g)
    masks = np.arange(1 << groups)[:, None] >> np.arange(groups) & 1
    assign = np.where(problem.can, problem.assign, 1 << 40)
    cheapest: NDArray[np.int64] = (masks @ assign.T + problem.fixed).min(axis=1)
    return cheapest


@pytest.mark.benchmark(group="3 groups x 20 options")
@pytest.mark.parametrize("solver", [best_plan, solve.solve])
def test_kernel_beside_the_oracle(benchmark: BenchmarkFixture, solver: object) -> None:
    assert benchmark(solver, problem_of(3, 20)) is not None


@pytest.mark.benchmark(group="5 groups x 600 options")
@pytest.mark.parametrize("solver", [assignment_sums, solve.solve])
def test_five_groups_beside_numpy(benchmark: BenchmarkFixture, solver: object) -> None:
    assert benchmark(solver, problem_of(5, 600)) is not None


@pytest.mark.benchmark(group="10 groups x 400 options")
@pytest.mark.parametrize("solver", [assignment_sums, solve.solve])
def test_ten_groups_beside_numpy(benchmark: BenchmarkFixture, solver: object) -> None:
    assert benchmark(solver, problem_of(10, 400)) is not None


@pytest.mark.benchmark(group="orders as networks have them")
@pytest.mark.parametrize("groups, bids", [(10, False), (24, False), (24, True), (100, True)])
def test_orders_beside_the_exact_kernel(
    benchmark: BenchmarkFixture, groups: int, bids: bool
) -> None:
    assert benchmark(solve.solve, carrier_problem(1, groups, stocked=0.8, bids=bids)) is not None


@pytest.mark.benchmark(group="large orders")
@pytest.mark.parametrize("groups, options", [(24, 60), (100, 600)])
def test_large_orders(benchmark: BenchmarkFixture, groups: int, options: int) -> None:
    assert benchmark(solve.solve, problem_of(groups, options)) is not None
