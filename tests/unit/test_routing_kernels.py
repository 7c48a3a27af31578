"""The routing kernels against brute force, compiled and as plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.routing import large, solve, subset
from edge.routing.problem import Infeasible, Problem, Solution
from tests.oracle.subset_oracle import best_plan, package_cost


def random_problem(
    seed: int,
    groups: int,
    options: int,
    *,
    can: float = 0.7,
    cost_max: int = 300,
    weight_max: int = 3000,
    packages_max: int | None = None,
    limited: bool = True,
) -> Problem:
    """A seeded problem; small ``cost_max`` makes ties, ``limited`` makes carrier limits."""
    rng = np.random.default_rng(seed)
    tariffs, steps = 4, 5
    step_g = np.cumsum(rng.integers(1, weight_max, (tariffs, steps)), axis=1)
    if limited:
        lengths = rng.integers(0, steps + 1, tariffs)
        step_g[np.arange(steps) >= lengths[:, None]] = -1
    else:
        step_g[:, -1] = groups * weight_max + step_g[:, -2] + 1
    problem = Problem(
        weight_g=rng.integers(0, weight_max, groups),
        can=rng.random((options, groups)) < can,
        assign=rng.integers(0, cost_max, (options, groups)),
        fixed=rng.integers(0, 2 * cost_max, options),
        tariff=rng.integers(0, tariffs, options),
        step_g=step_g,
        step_price=rng.integers(0, 3 * cost_max, (tariffs, steps)),
        split_cost=int(rng.integers(0, cost_max)),
        packages_max=packages_max or groups,
    )
    problem.validate()
    return problem


def packages_of(solution: Solution) -> list[tuple[int, int]]:
    """Option and set as bit mask of every package."""
    return [
        (int(o), sum(1 << int(g) for g in np.flatnonzero(solution.package == p)))
        for p, o in enumerate(solution.option)
    ]


def cost_of(problem: Problem, solution: Solution) -> int:
    """Cost of a plan by its definition; asserts that it is allowed."""
    assert len(solution.option) <= problem.packages_max
    firsts = [int(np.argmax(solution.package == p)) for p in range(len(solution.option))]
    assert firsts == sorted(firsts)
    assert set(solution.package.tolist()) == set(range(len(solution.option)))
    total = problem.split_cost * (len(solution.option) - 1)
    for p, o in enumerate(solution.option):
        cost = package_cost(problem, int(o), np.flatnonzero(solution.package == p).tolist())
        assert cost is not None
        total += cost
    return total


def assert_exact(problem: Problem) -> None:
    """The subset kernel gives the plan of the oracle, ties included."""
    expected = best_plan(problem)
    answer = solve.solve_subset(problem)
    if expected is None:
        assert answer == Infeasible(proved=True, method="subset")
        return
    assert isinstance(answer, Solution)
    assert (answer.cost, packages_of(answer)) == expected
    assert answer.cost == answer.bound == cost_of(problem, answer)
    assert answer.optimal


def assert_sound(problem: Problem, work_max: int = 3_000_000) -> None:
    """The large kernel's plan, bound and claims agree with the optimum."""
    expected = best_plan(problem)
    answer = solve.solve_large(problem, work_max)
    if isinstance(answer, Infeasible):
        assert expected is None or not answer.proved
        return
    assert expected is not None
    assert answer.cost == cost_of(problem, answer)
    assert answer.bound <= expected[0] <= answer.cost
    assert answer.optimal == (answer.bound == answer.cost)


def assert_same(one: Solution | Infeasible, two: Solution | Infeasible) -> None:
    """Two answers are equal in every field."""
    assert isinstance(one, Solution)
    assert isinstance(two, Solution)
    assert one.package.tolist() == two.package.tolist()
    assert one.option.tolist() == two.option.tolist()
    assert (one.cost, one.bound, one.optimal) == (two.cost, two.bound, two.optimal)


def use_python(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every kernel of a module by the Python function it is compiled from."""
    for name, value in list(vars(module).items()):
        if hasattr(value, "py_func"):
            monkeypatch.setattr(module, name, value.py_func)


@pytest.fixture(params=["compiled", "python"])
def subset_mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test with the compiled subset kernel and with its Python source."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.param == "python":
            use_python(subset, monkeypatch)
        yield request.param


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


@settings(max_examples=300, deadline=None)
@given(problems)
def test_the_subset_kernel_finds_the_plan_that_brute_force_finds(problem: Problem) -> None:
    assert_exact(problem)


@pytest.mark.parametrize("seed", range(12))
def test_the_subset_kernel_is_exact_compiled_and_as_python(seed: int, subset_mode: str) -> None:
    packages_max = [None, 1, 2, 3][seed % 4]
    assert_exact(random_problem(seed, 5, 6, packages_max=packages_max, cost_max=4))
    assert_exact(random_problem(seed, 4, 9, packages_max=packages_max, limited=False))


def test_among_equal_plans_the_one_with_fewest_packages_and_lowest_options_wins(
    subset_mode: str,
) -> None:
    options, groups = 3, 4
    problem = Problem(
        weight_g=np.ones(groups, np.int64),
        can=np.ones((options, groups), np.bool_),
        assign=np.zeros((options, groups), np.int64),
        fixed=np.zeros(options, np.int64),
        tariff=np.array([1, 0, 0]),
        step_g=np.array([[3, -1], [2, 3]]),
        step_price=np.zeros((2, 2), np.int64),
        split_cost=0,
        packages_max=groups,
    )
    problem.validate()
    answer = solve.solve_subset(problem)
    assert isinstance(answer, Solution)
    # One package would be too heavy; two on option 0, the first set as small as possible.
    assert packages_of(answer) == [(0, 0b0001), (0, 0b1110)]


def test_two_packages_on_one_option_stay_below_its_weight_limit() -> None:
    base = random_problem(1, 2, 1, can=1.0, limited=False)
    problem = replace(
        base,
        weight_g=np.array([600, 700]),
        step_g=np.array([[1000]]),
        step_price=np.array([[5]]),
        tariff=np.zeros(1, np.int64),
    )
    problem.validate()
    for answer in (solve.solve_subset(problem), solve.solve_large(problem)):
        assert isinstance(answer, Solution)
        assert answer.option.tolist() == [0, 0]
        assert answer.package.tolist() == [0, 1]
    for answer in (
        solve.solve_subset(replace(problem, packages_max=1)),
        solve.solve_large(replace(problem, packages_max=1)),
    ):
        assert isinstance(answer, Infeasible)


def test_no_options_at_all_is_proved_infeasible() -> None:
    problem = random_problem(1, 3, 4, can=0.0)
    assert solve.solve_subset(problem) == Infeasible(proved=True, method="subset")
    assert solve.solve_large(problem) == Infeasible(proved=True, method="large")


@settings(max_examples=200, deadline=None)
@given(problems)
def test_the_large_kernel_never_claims_more_than_brute_force_allows(problem: Problem) -> None:
    assert_sound(problem)


def test_the_large_kernel_as_python_makes_the_same_decision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = [random_problem(seed, 5, 6, packages_max=[None, 2][seed % 2]) for seed in range(6)]
    cases += [random_problem(seed, 6, 8, can=1.0, limited=False) for seed in range(2)]
    work_max = 400_000
    compiled = [solve.solve_large(problem, work_max) for problem in cases]
    use_python(large, monkeypatch)
    for problem, answer in zip(cases, compiled, strict=True):
        again = solve.solve_large(problem, work_max)
        if isinstance(answer, Infeasible):
            assert again == answer
        else:
            assert_same(again, answer)


def test_easy_small_problems_are_solved_to_proven_optimum_by_the_large_kernel() -> None:
    proven = 0
    for seed in range(40):
        problem = random_problem(seed, 6, 10, can=0.9, limited=False)
        # Carriers' tariffs: dearer by weight, but two parcels are dearer than one.
        problem = replace(problem, step_price=500 + np.sort(problem.step_price, axis=1) // 3)
        assert_sound(problem)
        answer = solve.solve_large(problem)
        proven += isinstance(answer, Solution) and answer.optimal
    assert proven >= 36


@pytest.mark.parametrize("groups", [11, 24, 100, 300])
@pytest.mark.parametrize("packages_max", [None, 3])
def test_an_order_of_any_size_gets_a_valid_answer(groups: int, packages_max: int | None) -> None:
    for limited in (False, True):
        problem = random_problem(
            groups, groups, 40, can=0.9, limited=limited, packages_max=packages_max
        )
        answer = solve.solve(problem, work_max=300_000)
        if isinstance(answer, Solution):
            assert answer.method == "large"
            assert answer.cost == cost_of(problem, answer)
            assert answer.bound <= answer.cost


def test_the_same_problem_gets_the_same_plan_however_often_it_is_asked() -> None:
    problem = random_problem(3, 40, 60, can=0.9, limited=False)
    assert_same(solve.solve(problem), solve.solve(problem))


def test_a_bigger_budget_never_gives_a_dearer_plan_or_a_weaker_bound() -> None:
    problem = random_problem(4, 24, 40, can=0.9, limited=False)
    small, big = solve.solve(problem, 2_000_000), solve.solve(problem, 8_000_000)
    assert isinstance(small, Solution)
    assert isinstance(big, Solution)
    assert big.cost <= small.cost
    assert big.bound >= small.bound


def test_small_orders_go_to_the_exact_kernel_and_warming_succeeds() -> None:
    solve.warm()
    answer = solve.solve(random_problem(5, 10, 20, can=0.9, limited=False))
    assert isinstance(answer, Solution)
    assert answer.method == "subset"


@pytest.mark.parametrize(
    "change",
    [
        {"packages_max": 0},
        {"split_cost": -1},
        {"weight_g": np.array([1.0, 2.0])},
        {"fixed": np.array([-1, 0, 0])},
        {"step_g": np.array([[5, 5]] * 4), "step_price": np.zeros((4, 2), np.int64)},
        {"step_g": np.array([[-1, 5]] * 4), "step_price": np.zeros((4, 2), np.int64)},
        {"tariff": np.array([0, 1, 9])},
        {"split_cost": 1 << 60},
    ],
)
def test_a_problem_built_wrongly_is_a_bug_that_validation_names(
    change: dict[str, object],
) -> None:
    problem = random_problem(1, 2, 3)
    with pytest.raises(AssertionError):
        replace(problem, **change).validate()  # type: ignore[arg-type]
