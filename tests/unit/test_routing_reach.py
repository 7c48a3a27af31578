"""Weights that packages can have, the covering bound, merged groups: against plain Python."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge.routing import covering, large, merging, reach, solve
from edge.routing.problem import Infeasible, Solution
from edge.routing.relaxation import fraction_bits
from tests.oracle import reach_oracle
from tests.oracle.problems import carrier_problem, cost_of, random_problem, use_python


@pytest.fixture(params=["compiled", "python"], autouse=True)
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test runs with the compiled kernels and with their Python source."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.param == "python":
            use_python(monkeypatch, covering, merging, reach)
        yield request.param


@pytest.mark.parametrize("seed", range(8))
def test_the_highest_sum_below_a_limit_is_the_one_among_all_sums(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, [9, 90, 400][seed % 3], 9)
    table = reach.new_table(1, np.array([1_000]))
    for units in weight:
        reach.add_sums(table, 0, int(units))
    every = reach_oracle.sums(weight.tolist())
    for limit in (0, 1, 62, 63, 64, 65, 127, 128, 500, 1_000, 5_000):
        expected = max(total for total in every if total <= min(limit, 1_023))
        assert reach.highest_sum(table, 0, limit) == expected


def test_the_unit_divides_every_weight() -> None:
    assert reach.unit_of(np.array([0, 120, 90, 300])) == 30
    assert reach.unit_of(np.array([0, 0])) == 1


@pytest.mark.parametrize("seed", range(6))
def test_sums_of_what_is_left_are_those_of_each_packages_own_groups(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, packages = 7, 3
    weight = rng.integers(1, 40, groups)
    mask, order = rng.integers(0, 1 << packages, groups), rng.permutation(groups)
    room = rng.integers(20, 200, packages)
    table = reach.sums_after(weight, mask, order, room)
    for depth in range(groups + 1):
        for i in range(packages):
            left = [int(weight[g]) for g in order[depth:] if mask[g] >> i & 1]
            fits = [units for units in left if units <= room[i]]
            expected = max(t for t in reach_oracle.sums(fits) if t <= room[i])
            assert reach.highest_sum(table, depth * packages + i, int(room[i])) == expected


@pytest.mark.parametrize("seed", range(20))
def test_tighter_steps_are_the_heaviest_packages_that_groups_make(seed: int) -> None:
    problem = random_problem(seed, 5, 3, weight_max=[5, 3000][seed % 2], limited=bool(seed % 3))
    site_of, sites = large._sites(problem)
    start, cap_g, price = reach.tighter_steps(problem.weight_g, sites, np.array([0, 10**9]))
    for s in range(len(sites[0])):
        options = np.flatnonzero(site_of == s)
        if len(options) != 1:
            continue
        heaviest = reach_oracle.payable(problem, int(options[0]))
        for k in range(start[s], start[s + 1]):
            cost = int(price[k]) - problem.split_cost
            lighter = k == start[s] or price[k] not in price[start[s] : k]
            if lighter and price[k] not in price[k + 1 : start[s + 1]]:
                assert cap_g[k] == heaviest[cost]
        assert (np.diff(cap_g[start[s] : start[s + 1]]) > 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_no_plan_is_cheaper_than_to_cover_its_weight(seed: int) -> None:
    problem = carrier_problem(seed, 6, nodes=3, stocked=0.7, bids=bool(seed % 2))
    _, sites = large._sites(problem)
    bound = covering.cover_bound(problem.weight_g, sites, np.array([0, 10**9])) >> fraction_bits
    least = int(np.where(problem.can, problem.assign, 1 << 40).min(axis=0).sum())
    steps = [(int(cap), int(cost)) for cap, cost in zip(sites[3], sites[4], strict=True)]
    exact = least + reach_oracle.cheapest_cover(steps, int(problem.weight_g.sum()), 3)
    answer = solve.solve_subset(problem)
    assert isinstance(answer, Solution)
    assert bound <= min(exact, answer.cost + problem.split_cost)
    assert bound >= exact * 0.9  # rounding aside it is the covering knapsack's optimum


def test_groups_that_differ_in_weight_alone_are_merged_and_others_are_not() -> None:
    may = np.array([[True, True, True, False], [True, True, False, True]])
    assign = np.array([[5, 7, 1, 0], [5, 7, 0, 1]])
    none = np.zeros(0, np.int64)
    sites = (may, assign, np.zeros(3, np.int64), none, none)
    number = np.empty(4, np.int64)
    assert merging.number_merged(sites, number) == 3
    assert number.tolist() == [0, 0, 1, 2]
    weight_g, merged = merging.merge_groups(np.array([10, 20, 40, 80]), sites, number, 3)
    assert weight_g.tolist() == [30, 40, 80]
    assert merged[0].tolist() == [[True, True, False], [True, False, True]]
    assert merged[1].tolist() == [[12, 1, 0], [12, 0, 1]]
    assign[1, 1] = 8  # where it goes matters now
    assert merging.number_merged(sites, number) == 4


def test_few_heavy_groups_are_tried_in_every_way_when_the_budget_does_not_do(mode: str) -> None:
    for seed in range(4):
        problem = carrier_problem(seed, 12, nodes=5, bids=True)
        small = solve.solve(problem, work_max=1)
        assert not isinstance(small, Infeasible)
        assert small.optimal
        assert small.cost == cost_of(problem, small) == solve.solve(problem).cost  # type: ignore[union-attr]
