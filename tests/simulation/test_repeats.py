"""The same seed is the same run: in one process, and in another with other hashes of strings."""

import os
import subprocess
import sys

import pytest

from deploy.sim.run import simulate
from deploy.sim.scenario import Scenario

SCENARIO = Scenario(seed=5, steps=700, edges=4)


def test_the_same_seed_gives_the_same_trace_twice():
    assert simulate(SCENARIO).trace == simulate(SCENARIO).trace


def test_another_seed_gives_another_trace():
    assert simulate(SCENARIO).trace != simulate(Scenario(seed=6, steps=700, edges=4)).trace


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_gives_the_same_trace_in_another_process(hash_seed):
    code = (
        "from deploy.sim.run import simulate; from deploy.sim.scenario import Scenario; "
        "print(simulate(Scenario(seed=5, steps=700, edges=4)).trace)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == simulate(SCENARIO).trace
