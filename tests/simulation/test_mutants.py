"""A checker that cannot fail proves nothing: every planted bug is found, and soon."""

import pytest

from deploy.sim.mutants import MUTANTS, catch
from deploy.sim.shrink import shrink

SEEDS_MAX = 200


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant):
    assert catch(mutant, SEEDS_MAX) is not None, f"{SEEDS_MAX} seeds have not shown it"


def test_there_are_many_different_bugs():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20


def test_a_failing_seed_shrinks_and_can_be_run_again():
    mutant = next(x for x in MUTANTS if x.name == "task from afar lost")
    caught = catch(mutant, SEEDS_MAX)
    assert caught is not None
    scenario, violation = caught
    with mutant.plant():
        small = shrink(scenario, violation, 15)
    assert small.invariant == violation.invariant
    assert small.step <= violation.step
    assert "--without" in small.replay
    assert small.replay.startswith("pointsman sim --seeds 0:1 ")
    assert small.last
