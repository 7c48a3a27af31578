"""Seeded routing problems with every constraint that the model has, of any size.

Lines have weights and stock; some ship together and become one group. Each node offers three
services with weight limits, by tariffs that mostly ascend and sometimes, where there are few
nodes, have any shape: then every option may take several packages, and the solvers' models of
hundreds of nodes would not end. Units have bid prices, options cost more where they are late,
and some are forbidden: by themselves (a fence, a missed deadline), or for goods that a node or
the fastest service may not handle. The order allows one package (the customer refuses splits),
a few, or many.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.routing.problem import Problem

Ints = NDArray[np.int64]

services = 3
zones = 4
odd_nodes_max = 50
_bounds_g = np.array([500, 1_000, 2_000, 3_000, 5_000, 8_000, 12_000, 20_000, 30_000, 60_000])


def instance(seed: int, groups: int, nodes: int) -> Problem:
    """A problem of a size.

    Args:
        seed: the same seed and size give the same problem.
        groups: groups that ship together, of one to three lines.
        nodes: nodes of three services each.
    """
    rng = np.random.default_rng([seed, groups, nodes])
    lines = rng.integers(1, 4, groups) if rng.random() < 0.5 else np.ones(groups, np.int64)
    starts = np.concatenate(([0], np.cumsum(lines)[:-1]))
    heaviest_g = int(rng.choice([400, 2_000, 9_000]))
    line_g = 10 * rng.integers(2, heaviest_g // 10, lines.sum())
    stocked = rng.random((nodes, lines.sum())) < rng.choice([0.25, 0.6, 0.95])
    can = np.logical_and.reduceat(stocked, starts, axis=1)
    if rng.random() < 0.97:  # else an order that nobody may be able to fulfil
        can[rng.integers(0, nodes, groups), np.arange(groups)] = True
    bid = rng.integers(0, 400, can.shape) * (rng.random(can.shape) < rng.choice([0, 0.4, 1.0]))
    node = np.repeat(np.arange(nodes), services)
    service = np.tile(np.arange(services), nodes)
    may = can[node] & _permitted(np.random.default_rng([1, seed, groups, nodes]), service, groups)
    step_g, step_price = _tariffs(rng, odd=nodes <= odd_nodes_max and rng.random() < 0.2)
    late = 40 * rng.integers(0, 6, len(node)) * rng.integers(0, 2, len(node))
    problem = Problem(
        weight_g=np.add.reduceat(line_g, starts),
        can=np.ascontiguousarray(may),
        assign=np.ascontiguousarray(bid[node]),
        fixed=rng.choice([60, 120, 200], nodes)[node] + late,
        tariff=zones * service + rng.integers(0, zones, nodes)[node],
        step_g=step_g,
        step_price=step_price,
        split_cost=int(rng.choice([0, 150, 600])),
        packages_max=int(rng.choice([1, 2, 3, 8, 8, 8])),
    )
    problem.validate()
    return problem


def _permitted(rng: np.random.Generator, service: Ints, groups: int) -> NDArray[np.bool_]:
    """Which options may ship which groups, stock aside, bool[O, G]."""
    forbidden = rng.random(len(service)) < rng.choice([0.0, 0.0, 0.3])
    dangerous = rng.random(groups) < rng.choice([0.0, 0.0, 0.4])
    able = np.repeat(rng.random(len(service) // services) < 0.7, services)
    permitted = ~forbidden[:, None] & (~dangerous | (able & (service < services - 1))[:, None])
    return np.asarray(permitted, np.bool_)


def _tariffs(rng: np.random.Generator, odd: bool) -> tuple[Ints, Ints]:
    """Tables of a tariff for each service and zone; the dearer the service, the lower its limit."""
    rates = ((180, 12, 60_000), (290, 22, 30_000), (540, 55, 5_000))
    limited = rng.random() < 0.7
    shape = len(rates) * zones, len(_bounds_g)
    step_g, step_price = np.full(shape, -1), np.full(shape, -1)
    for service, (base, per_kg, limit_g) in enumerate(rates):
        for zone in range(zones):
            row = zones * service + zone
            price = (base + per_kg * _bounds_g // 1_000) * (5 + zone) // 5
            if odd:
                price = rng.integers(100, 1_200, len(_bounds_g))
            inside = _bounds_g <= (limit_g if limited else _bounds_g[-1])
            step_g[row, inside], step_price[row, inside] = _bounds_g[inside], price[inside]
    if not limited:
        step_g[:, -1] = 1_000_000
    return step_g, step_price
