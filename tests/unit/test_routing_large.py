"""The solver of large orders against brute force and the exact kernel, with and without JIT."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.routing import (
    allotment,
    chosen,
    covering,
    improve,
    interchange,
    kernel,
    kits,
    large,
    merging,
    placing,
    reach,
    relaxation,
    root,
    search,
    sites,
    solve,
    tolls,
)
from edge.routing.problem import Infeasible, Problem, Solution
from edge.routing.subset import groups_possible_max
from tests.oracle.problems import (
    assert_same,
    assert_valid,
    carrier_problem,
    cost_of,
    random_problem,
    use_python,
)
from tests.oracle.subset_oracle import best_plan

MODULES = (
    allotment, chosen, covering, improve, interchange, kits, large, merging, placing, reach,
    relaxation, root, search, sites, tolls,
)  # fmt: skip

problems = st.builds(
    random_problem,
    seed=st.integers(0, 2**32 - 1),
    groups=st.integers(1, 6),
    options=st.integers(1, 8),
    can=st.sampled_from([0.2, 0.5, 0.9, 1.0]),
    cost_max=st.sampled_from([1, 3, 300]),
    weight_max=st.sampled_from([2, 50, 3000]),
    packages_max=st.sampled_from([None, 1, 2, 3]),
    limited=st.booleans(),
)


def exact_cost(problem: Problem) -> int | None:
    """Optimum by the exact kernel, which has an oracle of its own."""
    answer = solve.solve_subset(problem)
    return answer.cost if isinstance(answer, Solution) else None


def variants(problem: Problem) -> list[Problem]:
    """The problem with ascending tariffs, with steep ones, and with nothing to assign."""
    ascending = np.sort(problem.step_price, axis=1)
    return [
        problem,
        replace(problem, step_price=np.ascontiguousarray(ascending)),
        # Two light packages for less than a heavy one: splitting pays.
        replace(problem, step_price=np.ascontiguousarray(ascending**2 // 10)),
        replace(problem, assign=np.zeros_like(problem.assign)),
    ]


@settings(max_examples=150, deadline=None)
@given(problems)
def test_no_claim_contradicts_brute_force(problem: Problem) -> None:
    expected = best_plan(problem)
    optimum = None if expected is None else expected[0]
    assert_valid(problem, solve.solve_large(problem), optimum)


@pytest.mark.parametrize("packages_max", [None, 1, 2, 3])
@pytest.mark.parametrize("limited", [False, True])
def test_no_claim_contradicts_the_exact_kernel(packages_max: int | None, limited: bool) -> None:
    for seed in range(150):
        base = random_problem(
            seed,
            2 + seed % 8,
            1 + seed % 9,
            can=[0.3, 0.6, 0.9, 1.0][seed % 4],
            cost_max=[1, 3, 300][seed % 3],
            weight_max=[2, 50, 3000][seed // 3 % 3],
            packages_max=packages_max,
            limited=limited,
        )
        for problem in variants(base):
            problem.validate()
            assert_valid(problem, solve.solve_large(problem), exact_cost(problem))


def test_no_claim_contradicts_the_exact_kernel_when_the_budget_is_spent() -> None:
    for seed in range(40):
        for work_max in (1, 1_000, 30_000):
            problem = carrier_problem(seed, 10, bids=bool(seed % 2))
            answer = solve.solve_large(problem, work_max)
            assert_valid(problem, answer, exact_cost(problem))


@pytest.mark.parametrize("bids", [False, True])
def test_orders_as_networks_have_them_are_solved_to_proven_optimum(bids: bool) -> None:
    for seed in range(60):
        problem = carrier_problem(seed, 10, stocked=[0.3, 0.5, 0.8][seed % 3], bids=bids)
        assert_valid(problem, solve.solve_large(problem), exact_cost(problem), exact=True)


def test_most_orders_of_two_dozen_groups_are_proven_and_the_others_nearly() -> None:
    answers = [
        solve.solve(carrier_problem(seed, 24, stocked=0.6, bids=bool(seed % 2)))
        for seed in range(40)
    ]
    plans = [answer for answer in answers if isinstance(answer, Solution)]
    assert len(plans) == len(answers)
    assert sum(plan.optimal for plan in plans) >= 36
    assert max((plan.cost - plan.bound) / plan.cost for plan in plans) < 0.05


def facility_problem(seed: int, groups: int, options: int) -> Problem:
    """An uncapacitated facility location problem, as the OR-Library has them."""
    rng = np.random.default_rng(seed)
    here, there = rng.random((options, 2)), rng.random((groups, 2))
    km = np.hypot(*(here[:, None, :] - there[None, :, :]).transpose(2, 0, 1))
    problem = Problem(
        weight_g=np.zeros(groups, np.int64),
        can=np.ones((options, groups), np.bool_),
        assign=(km * rng.integers(100, 3000, groups)).astype(np.int64),
        fixed=np.full(options, int(rng.integers(300, 3000))),
        tariff=np.zeros(options, np.int64),
        step_g=np.ones((1, 1), np.int64),
        step_price=np.zeros((1, 1), np.int64),
        split_cost=0,
        packages_max=groups,
    )
    problem.validate()
    return problem


@pytest.mark.parametrize("seed", range(12))
def test_facility_location_is_solved_as_by_trying_every_set_of_facilities(seed: int) -> None:
    problem = facility_problem(seed, 20, 9)
    optimum = min(
        int(problem.fixed[list(some)].sum() + problem.assign[list(some)].min(axis=0).sum())
        for size in range(1, 10)
        for some in itertools.combinations(range(9), size)
    )
    assert_valid(problem, solve.solve_large(problem), optimum, exact=True)


def test_as_python_the_same_decision_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [random_problem(seed, 5, 6, packages_max=[None, 2][seed % 2]) for seed in range(6)]
    cases += variants(random_problem(7, 6, 8, can=1.0, limited=False))
    cases += [carrier_problem(seed, 9, nodes=4, bids=bool(seed)) for seed in range(2)]
    work_max = 400_000
    compiled = [solve.solve_large(problem, work_max) for problem in cases]
    use_python(monkeypatch, *MODULES)
    for problem, answer in zip(cases, compiled, strict=True):
        again = solve.solve_large(problem, work_max)
        if isinstance(answer, Infeasible):
            assert again == answer
        else:
            assert_same(again, answer)


@pytest.mark.parametrize("groups", [11, 24, 100, 300])
@pytest.mark.parametrize("packages_max", [None, 3])
def test_an_order_of_any_size_gets_a_valid_answer(groups: int, packages_max: int | None) -> None:
    for limited in (False, True):
        problem = random_problem(
            groups, groups, 40, can=0.9, limited=limited, packages_max=packages_max
        )
        answer = solve.solve(problem, work_max=300_000)
        if isinstance(answer, Solution):
            assert answer.method == "large" or groups <= groups_possible_max
            assert answer.cost == cost_of(problem, answer)
            assert answer.bound <= answer.cost


@pytest.mark.parametrize(
    "problem", [carrier_problem(1, 1000, bids=True), random_problem(1, 1000, 300, can=1.0)]
)
def test_the_longest_orders_get_a_valid_answer(problem: Problem) -> None:
    answer = solve.solve(problem, work_max=2_000_000)
    if isinstance(answer, Solution):
        assert answer.cost == cost_of(problem, answer)
        assert answer.bound <= answer.cost


def test_an_order_too_heavy_for_the_packages_allowed_is_proved_infeasible() -> None:
    problem = replace(random_problem(2, 60, 30, can=1.0), packages_max=2)
    assert problem.weight_g.sum() > 2 * problem.step_g.max()
    assert solve.solve(problem, work_max=1) == Infeasible(proved=True, method="large")


def test_an_order_whose_groups_share_no_node_is_proved_infeasible() -> None:
    problem = replace(
        random_problem(3, 12, 12, limited=False), can=np.eye(12, dtype=np.bool_), packages_max=11
    )
    assert solve.solve(problem) == Infeasible(proved=True, method="large")
    whole = solve.solve(replace(problem, packages_max=12))
    assert isinstance(whole, Solution)
    assert whole.optimal


def test_a_group_that_nobody_can_ship_makes_an_order_infeasible() -> None:
    problem = random_problem(4, 12, 5, can=1.0, limited=False)
    problem.can[:, 7] = False
    assert solve.solve(problem) == Infeasible(proved=True, method="large")


def test_the_same_problem_gets_the_same_plan_however_often_it_is_asked() -> None:
    problem = carrier_problem(3, 40, bids=True)
    assert_same(solve.solve(problem), solve.solve(problem))


def test_a_kernel_is_compiled_for_the_types_of_its_annotations() -> None:
    def function(count: kernel.Ints, table: kernel.Table, several: bool) -> tuple[int, kernel.Ints]:
        return int(count[0] + table[0, 0] + several), count

    function.__annotations__ = {
        "count": "Ints", "table": "Table", "several": "bool", "return": "tuple[int, Ints]"
    }  # fmt: skip
    assert kernel.signature_of(function) == (
        "Tuple((int64, int64[::1]))(int64[::1], int64[:, ::1], boolean)"
    )
