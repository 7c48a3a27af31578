"""The routing problem as a mixed-integer programme for HiGHS."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import highspy
import numpy as np

from edge.routing.problem import Problem
from tests.oracle.packing import Verdict, slots_of


@dataclass(slots=True)
class _Rows:
    """A matrix by rows, with bounds."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    start: list[int] = field(default_factory=lambda: [0])
    index: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)

    def add(self, lower: float, terms: list[tuple[int, float]], upper: float) -> None:
        """lower <= sum of value times variable <= upper."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.index += [index for index, _ in terms]
        self.value += [value for _, value in terms]
        self.start.append(len(self.index))


def model_of(problem: Problem, reduced: bool) -> highspy.HighsLp:
    """Variables: whether a package has a weight step, and whether a group is in it."""
    rows, cost = _Rows(), list[float]()
    infinite = highspy.kHighsInf
    holders: list[list[tuple[int, float]]] = [[] for _ in problem.weight_g]
    opened: list[tuple[int, float]] = []
    before: list[int] = []
    for slot in slots_of(problem, reduced):
        first = len(cost)
        steps = list(range(first, first + len(slot.steps)))
        cost += [step.cost for step in slot.steps]
        cost += slot.assign
        inside = list(range(steps[-1] + 1, len(cost)))
        load = [(x, float(problem.weight_g[g])) for x, g in zip(inside, slot.groups, strict=True)]
        rows.add(0, [(y, 1) for y in steps], 1)
        caps = [(y, -float(step.cap_g)) for y, step in zip(steps, slot.steps, strict=True)]
        rows.add(-infinite, load + caps, 0)
        if slot.falls():
            lows = [(y, -float(step.low_g)) for y, step in zip(steps, slot.steps, strict=True)]
            rows.add(0, load + lows, infinite)
        for x, g in zip(inside, slot.groups, strict=True):
            weight_g = problem.weight_g[g]
            holds = [
                (y, -1.0)
                for y, step in zip(steps, slot.steps, strict=True)
                if step.cap_g >= weight_g
            ]
            rows.add(-infinite, [(x, 1.0), *holds], 0)
            holders[g].append((x, 1.0))
        if slot.copy:  # copies are opened in their order
            rows.add(0, [(y, 1.0) for y in before] + [(y, -1.0) for y in steps], infinite)
        opened += [(y, 1.0) for y in steps]
        before = steps
    for terms in holders:
        rows.add(1, terms, 1)
    rows.add(0, opened, problem.packages_max)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(cost), len(rows.lower)
    lp.col_cost_ = np.array(cost, float)
    lp.col_lower_, lp.col_upper_ = np.zeros(len(cost)), np.ones(len(cost))
    lp.row_lower_, lp.row_upper_ = np.array(rows.lower), np.array(rows.upper)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.array(rows.start)
    lp.a_matrix_.index_ = np.array(rows.index)
    lp.a_matrix_.value_ = np.array(rows.value, float)
    lp.integrality_ = [highspy.HighsVarType.kInteger] * len(cost)
    lp.offset_ = float(-problem.split_cost)
    return lp


def solve(problem: Problem, seconds_max: float, reduced: bool) -> Verdict:
    """The optimum by HiGHS, one thread."""
    highs = highspy.Highs()
    for option, value in {
        "output_flag": False,
        "threads": 1,
        "time_limit": seconds_max,
        "mip_rel_gap": 0.0,
        "mip_abs_gap": 0.5,  # costs are whole
        "mip_feasibility_tolerance": 1e-9,
    }.items():
        highs.setOptionValue(option, value)
    lp = model_of(problem, reduced)
    if not all(problem.can.any(axis=0)):
        return Verdict(None, proven=True, seconds=0.0)
    highs.passModel(lp)
    began = time.perf_counter()
    highs.run()
    seconds = time.perf_counter() - began
    status = highs.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return Verdict(None, proven=True, seconds=seconds)
    proven = status == highspy.HighsModelStatus.kOptimal
    found = highs.getInfo().primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    cost = round(highs.getInfo().objective_function_value) if found else None
    return Verdict(cost, proven, seconds)
