"""Facility location by `pointsman plan`, from files to files, against the published optima."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.oracle.orlib import DATA, available, optima
from tests.oracle.orlib_plan import Instance, cost_of, planned, read


def best(instance: Instance) -> Decimal:
    """The optimum, by trying every set of open sites."""
    sites = range(len(instance.opening))
    return min(
        sum((instance.opening[site] for site in opened), Decimal(0))
        + sum((min(row[site] for site in opened) for row in instance.serving), Decimal(0))
        for count in range(1, len(instance.opening) + 1)
        for opened in combinations(sites, count)
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_small_instance_is_solved_to_its_optimum(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    sites, customers = 6, 14
    words = [f"{sites} {customers}"]
    words += [f"0 {opening}.25" for opening in rng.integers(10, 400, sites)]
    for _ in range(customers):
        words += ["7", " ".join(f"{cost}.50" for cost in rng.integers(1, 200, sites))]
    instance = read("\n".join(words))
    answer = planned(instance, tmp_path)
    assert answer.plan is not None
    assert answer.plan.optimal
    assert cost_of(instance, answer) == best(instance)


@pytest.mark.skipif(not available(), reason="the data does not ship")
@pytest.mark.parametrize("name", ["cap71", "cap104"])
def test_the_published_optimum_comes_out_of_the_files(name: str, tmp_path: Path) -> None:
    instance = read((DATA / f"{name}.txt").read_text())
    answer = planned(instance, tmp_path)
    assert answer.plan is not None
    assert answer.plan.optimal
    assert abs(cost_of(instance, answer) - optima()[name]) < Decimal("0.001")
