"""The routing problem as a constraint programme for CP-SAT of OR-Tools."""

from __future__ import annotations

import time

from ortools.sat.python import cp_model

from edge.routing.problem import Problem
from tests.oracle.packing import Verdict, slots_of


def model_of(problem: Problem, reduced: bool) -> cp_model.CpModel:
    """Booleans: whether a package has a weight step, and whether a group is in it."""
    model = cp_model.CpModel()
    holders: list[list[cp_model.IntVar]] = [[] for _ in problem.weight_g]
    opened: list[cp_model.IntVar] = []
    variables: list[cp_model.IntVar] = []
    costs: list[int] = []
    before: list[cp_model.IntVar] = []
    for slot in slots_of(problem, reduced):
        weights = [int(problem.weight_g[g]) for g in slot.groups]
        has = [model.new_bool_var("") for _ in slot.steps]
        inside = [model.new_bool_var("") for _ in slot.groups]
        model.add_at_most_one(has)
        load = cp_model.LinearExpr.weighted_sum(inside, weights)
        model.add(load <= cp_model.LinearExpr.weighted_sum(has, [s.cap_g for s in slot.steps]))
        if slot.falls():
            model.add(load >= cp_model.LinearExpr.weighted_sum(has, [s.low_g for s in slot.steps]))
        for x, g, weight_g in zip(inside, slot.groups, weights, strict=True):
            holds = [y for y, step in zip(has, slot.steps, strict=True) if step.cap_g >= weight_g]
            model.add_bool_or([x.negated(), *holds])
            holders[g].append(x)
        if slot.copy:  # copies are opened in their order
            for y in has:
                model.add_bool_or([y.negated(), *before])
        before = has
        opened += has
        variables += has + inside
        costs += [step.cost for step in slot.steps] + slot.assign
    for packages in holders:
        model.add_exactly_one(packages)
    model.add(cp_model.LinearExpr.sum(opened) <= problem.packages_max)
    model.minimize(cp_model.LinearExpr.weighted_sum(variables, costs) - problem.split_cost)
    return model


def solve(problem: Problem, seconds_max: float, reduced: bool) -> Verdict:
    """The optimum by CP-SAT, one worker."""
    if not all(problem.can.any(axis=0)):
        return Verdict(None, proven=True, seconds=0.0)
    model = model_of(problem, reduced)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = seconds_max
    began = time.perf_counter()
    status = solver.solve(model)
    seconds = time.perf_counter() - began
    if status == cp_model.INFEASIBLE:
        return Verdict(None, proven=True, seconds=seconds)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    cost = round(solver.objective_value) if found else None
    return Verdict(cost, status == cp_model.OPTIMAL, seconds)
