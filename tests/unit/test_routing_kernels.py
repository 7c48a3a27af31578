"""The exact kernel of small orders against brute force, compiled and as plain Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.routing import solve, subset
from edge.routing.problem import Infeasible, Problem, Solution
from tests.oracle.problems import cost_of, packages_of, random_problem, use_python
from tests.oracle.subset_oracle import best_plan
from tests.tidy.test_house import KERNEL_ROOMS


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


@pytest.fixture(params=["compiled", "python"])
def subset_mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test with the compiled subset kernel and with its Python source."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.param == "python":
            use_python(monkeypatch, subset)
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


def test_warming_compiles_every_kernel_that_a_daemon_would_else_compile_at_its_start() -> None:
    warmed = "import sys; from deploy.cli import edge_warm; edge_warm(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", warmed], capture_output=True, text=True, check=True
    )
    assert {f"edge.routing.{room}" for room in KERNEL_ROOMS} <= set(done.stdout.split())
