"""A sample of the suite against HiGHS and CP-SAT; `make solvers` runs the whole."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec

import pytest

from edge.routing import solve
from edge.routing.problem import Solution
from tests.oracle import solvers
from tests.oracle.instances import instance

SIZES = [(1, 5), (2, 20), (3, 5), (3, 50), (5, 5), (5, 10), (7, 5), (10, 5)]


@pytest.mark.parametrize("solver", sorted(solvers.packages))
def test_an_independent_solver_finds_exactly_our_cost(solver: str) -> None:
    if not find_spec(solvers.packages[solver]):
        pytest.skip(f"{solvers.packages[solver]} is not installed")
    problems = [instance(100 + seed, *size) for size in SIZES for seed in range(2)]
    with ExitStack() as stack:
        submit = solvers.start(stack, solver)
        asked = [submit(problem, 20.0, True) for problem in problems]
        verdicts = [future.result() for future in asked]
    for problem, verdict in zip(problems, verdicts, strict=True):
        answer = solve.solve(problem)
        cost = answer.cost if isinstance(answer, Solution) else None
        assert not solvers.differs(cost, verdict)
    assert sum(verdict.proven for verdict in verdicts) >= len(verdicts) - 1
