"""A Lagrange bound for plans with given packages.

Each gram in a package pays a toll, and the package is paid back its cap times the toll: what
must stay within the caps is then free to go where it is cheapest. Costs are int64[G, P],
``forbidden`` where a group may not be; tolls are int64[P], scaled like the bounds.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Steps, Table, kernel
from edge.routing.relaxation import fraction_bits, infinite
from edge.routing.sites import forbidden


@kernel
def toll_bound(weight_g: Ints, cost: Table, steps: Steps, toll: Ints, excess_g: Ints) -> int:
    """The bound for some tolls; ``excess_g`` receives load less cap of each package in it."""
    first, last, cap_g, price = steps
    groups, packages = cost.shape
    bound = 0
    for i in range(packages):
        least, cap = infinite, 0
        for k in range(first[i], last[i] + 1):
            value = (price[k] << fraction_bits) - toll[i] * cap_g[k]
            if value < least:
                least, cap = value, cap_g[k]
        bound += least
        excess_g[i] = -cap
    for g in range(groups):
        least, at = infinite, 0
        for i in range(packages):
            if cost[g, i] < forbidden:
                value = (cost[g, i] << fraction_bits) + toll[i] * weight_g[g]
                if value < least:
                    least, at = value, i
        bound += least
        excess_g[at] += weight_g[g]
    return int(bound)


@kernel
def common_toll(weight_g: Ints, cost: Table, steps: Steps, limit: int, toll: Ints) -> int:
    """The best toll that is the same for all packages, by bisection; returns its bound."""
    _, last, _, price = steps
    packages = len(toll)
    excess_g = np.empty(packages, np.int64)
    trial = np.zeros(packages, np.int64)
    weight_all_g, dearest, best = 0, 0, -1
    for g in range(len(weight_g)):
        weight_all_g += weight_g[g]
    for i in range(packages):
        dearest += price[last[i]] << fraction_bits
    low, high, middle = 0, 2 * (dearest // max(1, weight_all_g)), 0
    for _ in range(12):
        excess = 0
        bound = toll_bound(weight_g, cost, steps, trial, excess_g)
        for i in range(packages):
            if bound > best:
                toll[i] = middle
            excess += excess_g[i]
        best = max(best, bound)
        if best > limit:
            break
        if excess > 0:
            low = middle
        else:
            high = middle
        middle = (low + high) // 2
        for i in range(packages):
            trial[i] = middle
    return best


@kernel
def better_tolls(weight_g: Ints, cost: Table, steps: Steps, limit: int, toll: Ints) -> int:
    """Better tolls, each its own, by subgradient steps; returns their bound."""
    first, last, cap_g, price = steps
    packages = len(toll)
    excess_g = np.empty(packages, np.int64)
    trial = toll.copy()
    best, scale = -infinite, 1.0
    for _ in range(20):
        bound = toll_bound(weight_g, cost, steps, trial, excess_g)
        if bound > best:
            best = bound
            for i in range(packages):
                toll[i] = trial[i]
        else:
            scale *= 0.7
        square = 0.0
        for i in range(packages):
            square += float(excess_g[i]) * float(excess_g[i])
        if square == 0.0 or best > limit:
            break
        for i in range(packages):
            step = scale * float(limit + 1 - bound) * float(excess_g[i]) / square
            # No toll may be so high that sums of it leave the range of the integers.
            top = float((price[last[i]] << fraction_bits) // max(1, cap_g[first[i]]))
            trial[i] = int(min(top, max(0.0, float(trial[i]) + step)))
    return best
