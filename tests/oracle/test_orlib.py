"""OR-Library's instances are solved to their published optima; skipped where the data is not."""

from __future__ import annotations

from decimal import Decimal

import pytest

from edge.routing import solve
from edge.routing.problem import Solution
from tests.oracle import orlib

TINY = "2 3\n 10 7.5\n 10 4.\n 1\n 1.25 3.\n 1\n 2. 9.\n 1\n 4. 1.\n"


def test_an_instance_becomes_an_order_of_its_customers() -> None:
    problem = orlib.problem_of(TINY)
    assert problem.assign.tolist() == [[125_000, 200_000, 400_000], [300_000, 900_000, 100_000]]
    answer = solve.solve_large(problem)
    assert isinstance(answer, Solution)
    assert answer.optimal
    assert answer.cost == 1_475_000  # the first site alone: 7.5 + 1.25 + 2 + 4


@pytest.mark.skipif(not orlib.available(), reason="OR-Library's data does not ship")
def test_the_published_optima_are_found_and_proven() -> None:
    found = orlib.results(repeats=1)
    assert len(found) == 8
    for one in found:
        assert abs(one.cost - one.published) < Decimal("0.001"), one
        assert one.proven, one
