"""A bound for orders of many packages: what it costs at least to carry all the weight.

Which group may be where is forgotten; what remains is the covering knapsack: any packages
whose limits together hold the order (dynamic programming, Gilmore & Gomory 1966). Where stock
is plentiful that is nearly the whole problem, and the lines of ``relaxation`` are not.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Sites, kernel
from edge.routing.relaxation import fraction_bits, infinite
from edge.routing.sites import forbidden

units = 512
"""Parts into which the order's weight is divided; limits are rounded up to whole ones."""


@kernel
def cover_bound(weight_g: Ints, sites: Sites, work: Ints) -> int:
    """Scaled bound of all plans.

    Args:
        weight_g: int64[G].
        sites: the sites.
        work: int64[2], steps done and budget.
    """
    may, assign, _, cap_g, price = sites
    weight_all_g, least = 0, 0
    for g in range(len(weight_g)):
        weight_all_g += weight_g[g]
        lowest = forbidden
        for s in range(len(may)):
            if may[s, g]:
                lowest = min(lowest, assign[s, g])
        least += lowest
    unit_g = max(1, -(-weight_all_g // units))
    need = -(-weight_all_g // unit_g)
    # The cheapest package that holds a number of units, or more.
    cheapest = np.full(need + 1, infinite, np.int64)
    for k in range(len(cap_g)):
        cap = min(need, -(-cap_g[k] // unit_g))
        cheapest[cap] = min(cheapest[cap], price[k])
    caps, count = np.empty(need + 1, np.int64), 0
    dearer = infinite
    for cap in range(need, -1, -1):
        if cheapest[cap] < dearer:
            dearer = cheapest[cap]
            caps[count] = cap
            count += 1
    cost = np.empty(need + 1, np.int64)
    cost[0] = dearer
    for cover in range(1, need + 1):
        cost[cover] = infinite
        for i in range(count):
            cap = caps[i]
            rest = cost[cover - cap] if cap < cover else 0
            cost[cover] = min(cost[cover], rest + cheapest[cap])
    work[0] += need * count
    return int((least + cost[need]) << fraction_bits)
