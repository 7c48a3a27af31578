"""Many seeds over the processors: progress, a report, and a failing seed made small."""

import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import msgspec
import structlog

from deploy.sim.scenario import Scenario
from deploy.sim.simulation import Result, Simulation, Violation
from deploy.sim.tally import Measures

_RAM: Final = Path("/dev/shm")  # noqa: S108  # only a folder of our own in it is used


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing is logged: a run has no clock to log with, and its trace tells more."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(scenario: Scenario) -> Result:
    """Run one scenario, on disks in memory where there is such."""
    ram = _RAM if os.access(_RAM, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="pointsman-sim-", dir=ram) as folder, silence():
        return Simulation(scenario, Path(folder)).run()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What many runs have come to.

    Attributes:
        parked_needlessly_percent: of orders taken online, those with lines parked for want of a
            share while central's pool had it.
        moved_per_unit_sold: units granted and returned for each unit sold.
        shorts_rerouted_percent: of short picks, those that found another node at once.
    """

    seeds: str
    steps: int
    edges: int
    seconds: float
    events: int
    simulated_steps: int
    measures: Measures
    faults: dict[str, int]
    parked_needlessly_percent: float
    moved_per_unit_sold: float
    shorts_rerouted_percent: float
    violations: list[Violation]


def run_seeds(
    scenarios: Iterable[Scenario],
    processes: int,
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run scenarios side by side; results in the order of the scenarios."""
    found = []
    if processes == 1:
        for scenario in scenarios:
            found.append(simulate(scenario))
            if on_result is not None:
                on_result(found[-1])
        return found
    with ProcessPoolExecutor(processes) as pool:
        waiting = [pool.submit(simulate, scenario) for scenario in scenarios]
        for done in as_completed(waiting):
            found.append(done.result())
            if on_result is not None:
                on_result(found[-1])
    return sorted(found, key=lambda result: result.seed)


def report(scenarios: list[Scenario], results: list[Result], seconds: float) -> Report:
    """Add up."""
    measures = Measures()
    faults: Counter[str] = Counter()
    for result in results:
        faults.update(result.faults)
        for name in Measures.__struct_fields__:
            setattr(measures, name, getattr(measures, name) + getattr(result.measures, name))
    first, last = scenarios[0], scenarios[-1]

    def percent(part: int, whole: int) -> float:
        return round(100 * part / max(1, whole), 3)

    moved = measures.units_granted + measures.units_returned
    return Report(
        seeds=f"{first.seed}:{last.seed + 1}",
        steps=first.steps,
        edges=first.edges,
        seconds=round(seconds, 1),
        events=measures.entries,
        simulated_steps=sum(result.steps for result in results),
        measures=measures,
        faults=dict(sorted(faults.items())),
        parked_needlessly_percent=percent(measures.parked_needlessly, measures.orders_online),
        moved_per_unit_sold=round(moved / max(1, measures.units_sold), 3),
        shorts_rerouted_percent=percent(measures.shorts_rerouted, measures.shorts),
        violations=[x.violation for x in results if x.violation is not None],
    )


def run(
    seeds: tuple[int, int], steps: int, edges: int, skus: int, without: frozenset[str],
    processes: int, json_path: Path | None, shrink_s: float,
) -> int:  # fmt: skip
    """Run seeds, tell how it goes, and return an exit status: 1 where a promise was broken."""
    scenarios = [
        Scenario(seed=seed, steps=steps, edges=edges, skus=skus, without=without)
        for seed in range(*seeds)
    ]
    started_s = time.monotonic()
    done = 0

    def tell(result: Result) -> None:
        nonlocal done
        done += 1
        if result.violation is not None:
            show(result.violation)
        if done % 50 == 0 or done == len(scenarios):
            spent_s = time.monotonic() - started_s
            print(f"{done} of {len(scenarios)} seeds, {spent_s:.0f} s", flush=True)

    results = run_seeds(scenarios, processes, tell)
    found = report(scenarios, results, time.monotonic() - started_s)
    if json_path is not None:
        json_path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    print(
        f"{found.measures.orders} orders, {found.events} log entries, "
        f"{sum(found.faults.values())} faults, {len(found.violations)} violations"
    )
    if found.violations and shrink_s > 0:
        from deploy.sim.shrink import shrink

        worst = found.violations[0]
        first = next(x for x in scenarios if x.seed == worst.seed)
        small = shrink(first, worst, shrink_s)
        print("smaller:")
        show(small)
        print("\n".join(small.last))
    return 1 if found.violations else 0


def show(violation: Violation) -> None:
    """One broken promise on the screen."""
    print(
        f"seed {violation.seed}, step {violation.step}, {violation.invariant}: {violation.detail}"
    )
    print(f"  again: {violation.replay}", flush=True)
