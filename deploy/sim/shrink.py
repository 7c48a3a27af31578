"""A failing seed made small: fewer steps, fewer kinds of faults, fewer edges and SKUs."""

import time
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from deploy.sim.run import simulate
from deploy.sim.scenario import FAULTS, Scenario
from deploy.sim.simulation import Result, Violation

Simulate = Callable[[Scenario], Result]


def shrink(
    scenario: Scenario,
    violation: Violation,
    seconds_max: float,
    simulate: Simulate = simulate,
) -> Violation:
    """The same promise broken by less, and no later.

    Args:
        scenario: breaks it.
        violation: how.
        seconds_max: no new attempt is begun after so long.
        simulate: runs a scenario.
    """
    end_s = time.monotonic() + seconds_max
    best = violation
    moved = True
    while moved:
        moved = False
        for smaller in _smaller(scenario, best):
            if time.monotonic() > end_s:
                return best
            found = simulate(smaller).violation
            # Not later than it was: a world cut short may break it only while it comes to rest.
            if (
                found is not None
                and found.invariant == violation.invariant
                and found.step <= violation.step
            ):
                scenario, best, moved = smaller, found, True
                break
    return best


def _smaller(scenario: Scenario, violation: Violation) -> Iterator[Scenario]:
    """Scenarios with less in them, the most promising first."""
    if violation.step < scenario.steps:
        yield replace(scenario, steps=violation.step)
    for name in FAULTS:
        if name not in scenario.without:
            yield replace(scenario, without=scenario.without | {name})
    for edges in (1, 2, scenario.edges // 2, scenario.edges - 1):
        if 0 < edges < scenario.edges:
            yield replace(scenario, edges=edges)
    for skus in (1, 2, 3):
        if not scenario.skus or skus < scenario.skus:
            yield replace(scenario, skus=skus)
    for part in (2, 1.25, 1.05):
        steps = int(scenario.steps / part)
        if 0 < steps < scenario.steps:
            yield replace(scenario, steps=steps)
