"""Few sites by kits, many by interchange: against plain Python and against brute force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edge.routing import allotment, interchange, kits, large, placing, relaxation, solve
from edge.routing.improve import over_limit
from edge.routing.merging import merge_groups, number_merged
from edge.routing.problem import Problem, Solution
from edge.routing.relaxation import fraction_bits
from tests.oracle import reach_oracle
from tests.oracle.problems import carrier_problem, cost_of, random_problem, use_python
from tests.oracle.subset_oracle import best_plan


@pytest.fixture(params=["compiled", "python"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """A test runs with the compiled kernels and with their Python source."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.param == "python":
            use_python(monkeypatch, allotment, interchange, kits, placing, relaxation)
        yield request.param


def by_kits(problem: Problem, work_max: int) -> tuple[int, int]:
    """Cost and bound, split cost of the first package included, as the kernel gives them."""
    _, sites = large._sites(problem)
    groups = len(problem.weight_g)
    number = np.empty(groups, np.int64)
    merged_g, merged = merge_groups(problem.weight_g, sites, number, number_merged(sites, number))
    heavy = np.argsort(-problem.weight_g, kind="stable")
    place, rows = np.empty(groups, np.int64), np.empty(groups, np.int64)
    cost, bound = allotment.solve_kits(
        problem.weight_g,
        sites,
        merged_g,
        merged,
        problem.packages_max,
        heavy,
        over_limit,
        place,
        rows,
        np.array([0, work_max]),
    )
    return cost, min(cost, -(-bound >> fraction_bits))


def variants(seed: int) -> list[Problem]:
    """A problem with bids and one without, and one in which splitting pays."""
    base = random_problem(
        seed, 5, 3, can=[0.6, 1.0][seed % 2], packages_max=[None, 1, 2, 3][seed % 4]
    )
    steep = np.ascontiguousarray(np.sort(base.step_price, axis=1) ** 2 // 10)
    flat = replace(base, assign=np.zeros_like(base.assign))
    return [base, flat, replace(flat, step_price=steep)]


@pytest.mark.parametrize("seed", range(24))
def test_no_claim_of_kits_contradicts_brute_force(seed: int, mode: str) -> None:
    for problem in variants(seed):
        expected = best_plan(problem)
        optimum = over_limit if expected is None else expected[0] + problem.split_cost
        if not problem.can.any(axis=0).all():
            continue
        cost, bound = by_kits(problem, 10**9)
        assert bound <= optimum <= cost
        if (np.diff(problem.step_price, axis=1) >= 0).all():  # else lighter may be dearer
            assert cost == optimum


@pytest.mark.parametrize("seed", range(6))
def test_kits_stay_right_when_the_budget_is_spent(seed: int) -> None:
    problem = carrier_problem(seed, 9, nodes=4, bids=bool(seed % 2))
    answer = solve.solve_subset(problem)
    assert isinstance(answer, Solution)
    for work_max in (1, 100_000, 800_000):
        cost, bound = by_kits(problem, work_max)
        assert bound <= answer.cost + problem.split_cost <= cost


@pytest.mark.parametrize("seed", range(4))
def test_a_cover_table_has_the_cheapest_packages_of_every_set_of_sites(
    seed: int, mode: str
) -> None:
    problem = carrier_problem(seed, 4, nodes=3, stocked=0.9)
    _, sites = large._sites(problem)
    order, units = np.arange(len(sites[0])), 4
    unit_g = int(problem.weight_g.sum()) // units + 1
    cover = kits.cover_tables(sites, order, unit_g, units, False)
    for chosen in range(1, 1 << len(order)):
        steps = [
            (int(sites[3][k]), int(sites[4][k]))
            for s in order
            if chosen >> s & 1
            for k in range(sites[2][s], sites[2][s + 1])
        ]
        for need in range(1, units + 1):
            rounded = [(-(-cap // unit_g), cost) for cap, cost in steps]
            if max(cap for cap, _ in rounded) * 4 >= need:
                assert cover[chosen, need] == reach_oracle.cheapest_cover(rounded, need, 4)


def sites_cost(cost: np.ndarray, intercept: np.ndarray, some: list[int]) -> int:
    """What a choice of sites costs."""
    nearest = np.minimum(cost[some].min(axis=0), interchange.missing) if some else None
    served = len(cost[0]) * interchange.missing if nearest is None else int(nearest.sum())
    return served + int(intercept[some].sum())


@pytest.mark.parametrize("seed", range(12))
def test_after_interchange_no_site_added_dropped_or_exchanged_is_cheaper(
    seed: int, mode: str
) -> None:
    rng = np.random.default_rng(seed)
    width, groups, packages_max = 7, 9, [2, 4, 7][seed % 3]
    cost = rng.integers(0, 1 << 30, (width, groups))
    cost[rng.random(cost.shape) < 0.2] = relaxation.infinite
    intercept = rng.integers(0, 1 << 31, width)
    first = rng.choice(width, 5, replace=False)
    found = interchange.interchange(
        cost, intercept, packages_max, first, np.array([0, 10**9])
    ).tolist()
    assert len(set(found)) == len(found) <= packages_max
    least = sites_cost(cost, intercept, found)
    others = [s for s in range(width) if s not in found]
    for s in others:
        if len(found) < packages_max:
            assert sites_cost(cost, intercept, [*found, s]) >= least
    for leave in found:
        rest = [s for s in found if s != leave]
        assert sites_cost(cost, intercept, rest) >= least
        for s in others:
            assert sites_cost(cost, intercept, [*rest, s]) >= least


def test_a_plan_of_few_packages_among_hundreds_of_nodes_is_found() -> None:
    found = 0
    for seed in range(6):
        problem = carrier_problem(seed, 100, nodes=200, stocked=0.3, bids=bool(seed % 2))
        rng, packages = np.random.default_rng(seed), 4 + seed % 3
        nodes, own = rng.choice(200, packages, replace=False), rng.integers(0, packages, 100)
        can = problem.can.copy()
        for i, node in enumerate(nodes):
            can[3 * node : 3 * node + 3, own == i] = True
        hidden = replace(problem, can=can, packages_max=packages)
        answer = solve.solve(hidden)
        if isinstance(answer, Solution):
            found += 1
            assert answer.cost == cost_of(hidden, answer)
            assert answer.bound <= answer.cost
    assert found >= 5
