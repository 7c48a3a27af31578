"""The solver of this product against HiGHS and CP-SAT: the same cost, and the times.

``python -m tests.oracle.solvers --json build/solvers.json`` runs the whole suite and prints the
table; with ``--resume`` it goes on where a run that was ended has stopped. HiGHS and CP-SAT each
live in a process of their own, because the wheels of both carry a ``libhighs``, of different
versions, and one process can load only one of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

import numpy as np

from edge.routing import solve
from edge.routing.problem import Problem, Solution
from tests.oracle.instances import instance
from tests.oracle.packing import Verdict

packages = {"highs": "highspy", "cpsat": "ortools"}
"""The module in this folder, and the package that it needs."""

groups_tried = (1, 2, 3, 5, 7, 10)
instances_of = {5: (150, 6), 20: (100, 6), 50: (60, 6), 100: (12, 3), 200: (10, 3), 400: (4, 3)}
"""Nodes of three services each: instances of every number of groups, and how many of them are
timed with nothing left out."""
repeats = 9


class Against(TypedDict):
    """A solver at one size, medians over its instances; a multiple is of our time.

    Attributes:
        equal: instances whose optimum it proved, which is our cost.
        reduced_s, reduced_times: dominated options left out beforehand, which is not timed.
        whole, whole_ended: instances with nothing left out, and those that ended in time.
        whole_s, whole_times: of these.
    """

    equal: int
    reduced_s: float
    reduced_times: float
    whole: int
    whole_ended: int
    whole_s: float
    whole_times: float


class Times(TypedDict):
    """One size.

    Attributes:
        instances_sha256: which problems they were.
        seconds_max: that a solver could take for one of them.
        settled: instances that at least one of the solvers ended.
    """

    instances_sha256: str
    seconds_max: float
    groups: int
    nodes: int
    instances: int
    infeasible: int
    settled: int
    ours_s: float
    solvers: dict[str, Against]


def installed() -> list[str]:
    """The solvers that are here."""
    return [name for name, package in packages.items() if find_spec(package)]


def ask(solver: str, problem: Problem, seconds_max: float, reduced: bool) -> Verdict:
    """Solve; runs in the solver's process."""
    verdict: Verdict = import_module(f"tests.oracle.{solver}").solve(problem, seconds_max, reduced)
    return verdict


def start(stack: ExitStack, solver: str) -> Callable[[Problem, float, bool], Future[Verdict]]:
    """A process for a solver, which ends with the stack."""
    spawned = multiprocessing.get_context("spawn")
    pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=spawned))

    def submit(problem: Problem, seconds_max: float, reduced: bool) -> Future[Verdict]:
        return pool.submit(ask, solver, problem, seconds_max, reduced)

    return submit


def own(problem: Problem) -> tuple[int | None, float]:
    """Our cost, None if there is no plan, and the median of our times."""
    seconds = []
    answer = solve.solve(problem)
    for _ in range(repeats):
        began = time.perf_counter()
        answer = solve.solve(problem)
        seconds.append(time.perf_counter() - began)
    assert not isinstance(answer, Solution) or answer.optimal
    return (answer.cost if isinstance(answer, Solution) else None), statistics.median(seconds)


def differs(cost: int | None, verdict: Verdict) -> bool:
    """Whether a verdict contradicts our cost."""
    if verdict.proven:
        return verdict.cost != cost
    return verdict.cost is not None and (cost is None or verdict.cost < cost)


def digest_of(problems: list[Problem]) -> str:
    """Of every number in some problems."""
    digest = hashlib.sha256()
    for problem in problems:
        for name in Problem.__slots__:
            digest.update(np.asarray(getattr(problem, name)).tobytes())
    return digest.hexdigest()


def run(sizes: list[int], seconds_max: float, share: float, before: list[Times]) -> Iterator[Times]:
    """The suite, size by size.

    Args:
        sizes: numbers of nodes, of `instances_of`.
        seconds_max: that a solver may take for an instance.
        share: of the instances; 1.0 is all.
        before: what a run before has found; the same instances are not solved again.

    Raises:
        AssertionError: a solver's cost is not ours.
    """
    solve.warm()
    known = {(size["instances_sha256"], size["seconds_max"]): size for size in before}
    with ExitStack() as stack:
        solvers = {name: start(stack, name) for name in installed()}
        for nodes in sizes:
            count, timed = instances_of[nodes]
            count = max(1, round(share * count))
            for groups in groups_tried:
                problems = [instance(seed, groups, nodes) for seed in range(count)]
                found = known.get((digest_of(problems), seconds_max))
                timed = min(count, timed)
                yield found or _size(solvers, problems, groups, nodes, timed, seconds_max)


def _size(
    solvers: dict[str, Callable[[Problem, float, bool], Future[Verdict]]],
    problems: list[Problem],
    groups: int,
    nodes: int,
    timed: int,
    seconds_max: float,
) -> Times:
    count = len(problems)
    asked = {
        name: [submit(problem, seconds_max, True) for problem in problems]
        + [submit(problem, seconds_max, False) for problem in problems[:timed]]
        for name, submit in solvers.items()
    }
    verdicts = {name: [future.result() for future in futures] for name, futures in asked.items()}
    ours = [own(problem) for problem in problems]  # now that the solvers are quiet
    costs = [cost for cost, _ in ours] + [cost for cost, _ in ours[:timed]]
    for name, found in verdicts.items():
        for number, (cost, verdict) in enumerate(zip(costs, found, strict=True)):
            seed = number if number < count else number - count
            place = f"{name}: seed {seed}, {groups} groups, {nodes} nodes"
            assert not differs(cost, verdict), f"{place}: {verdict}, not {cost}"
    seconds = [second for _, second in ours]
    return Times(
        instances_sha256=digest_of(problems),
        seconds_max=seconds_max,
        groups=groups,
        nodes=nodes,
        instances=count,
        infeasible=sum(cost is None for cost in costs[:count]),
        settled=sum(any(v[i].proven for v in verdicts.values()) for i in range(count)),
        ours_s=statistics.median(seconds),
        solvers={
            name: Against(
                equal=sum(verdict.proven for verdict in found[:count]),
                reduced_s=statistics.median(verdict.seconds for verdict in found[:count]),
                reduced_times=_times(found[:count], seconds),
                whole=len(found) - count,
                whole_ended=sum(verdict.proven for verdict in found[count:]),
                whole_s=statistics.median(verdict.seconds for verdict in found[count:]),
                whole_times=_times(found[count:], seconds),
            )
            for name, found in verdicts.items()
        },
    )


def _times(verdicts: list[Verdict], seconds: list[float]) -> float:
    """Median of how many times our time each instance took."""
    some = zip(verdicts, seconds, strict=False)
    return statistics.median(verdict.seconds / second for verdict, second in some)


def line_of(size: Times) -> str:
    """A row of the table."""
    parts = [f"{size['groups']:2} x {size['nodes']:3} {size['instances']:5}"]
    parts.append(f"{1e6 * size['ours_s']:6.0f} us")
    for name, found in size["solvers"].items():
        parts.append(
            f"{name:>6} {found['equal']:4} equal,"
            f" {1e3 * found['whole_s']:9.1f} ms {found['whole_times']:9,.0f} x"
            f" ({found['whole_ended']}/{found['whole']} ended);"
            f" reduced {1e3 * found['reduced_s']:8.1f} ms {found['reduced_times']:7,.0f} x"
        )
    return "  ".join(parts)


def main() -> None:
    """Run the suite, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seconds-max", type=float, default=60.0, help="an instance, a solver")
    parser.add_argument("--nodes", type=int, nargs="+", default=list(instances_of))
    parser.add_argument("--share", type=float, default=1.0, help="of the instances")
    parser.add_argument("--resume", action="store_true", help="keep what the file has")
    given = parser.parse_args()
    if missing := sorted(set(packages) - set(installed())):
        print(f"not installed, left out: {', '.join(packages[name] for name in missing)}")
    print("groups x nodes (of 3 services), instances, our median; for each solver: proven equal,")
    print("median of the whole model and multiple of ours; without dominated options", flush=True)
    sizes: list[Times] = []
    before: list[Times] = []
    if given.resume and given.json and given.json.exists():
        before = json.loads(given.json.read_text())["sizes"]
    for size in run(given.nodes, given.seconds_max, given.share, before):
        sizes.append(size)
        print(line_of(size), flush=True)
        if given.json:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps({"python": sys.version, "sizes": sizes}, indent=1))
    settled = sum(size["settled"] for size in sizes)
    all_of_them = sum(size["instances"] for size in sizes)
    print(
        f"{all_of_them:,} instances, none contradicted; {settled:,} ended by a solver at our cost"
    )


if __name__ == "__main__":
    main()
