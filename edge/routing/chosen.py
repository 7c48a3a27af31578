"""The cheapest plan with at most one package on each of a few chosen sites.

Every choice of steps for the packages has a bound; those that may beat the best plan known
are settled (``placing``), those with the lowest bounds first.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Sites, Table, kernel
from edge.routing.placing import places_max, sets_max, settle, sum_needs
from edge.routing.relaxation import fraction_bits, infinite
from edge.routing.sites import forbidden
from edge.routing.tolls import better_tolls, common_toll

chosen_max = 12
"""Packages, at most."""
chosen_work = 16_000
"""Steps for a set of sites beside those that grow with the problem."""


@kernel
def set_up(weight_g: Ints, sites: Sites, rows: Ints, cost: Table, mask: Ints, first: Ints) -> bool:
    """Costs, masks and first steps of packages on some sites; whether a plan is possible.

    Args:
        weight_g: int64[G].
        sites: the sites.
        rows: int64[P], the site of each package.
        cost: int64[G, P], receives costs, ``forbidden`` where a group may not be.
        mask: int64[G], receives the set of packages where it may be.
        first: int64[P], receives the lowest step that holds what must be in the package.
    """
    may, assign, start, cap_g, _ = sites
    groups, packages = cost.shape
    forced_g = np.zeros(packages, np.int64)
    possible = True
    for g in range(groups):
        mask[g], last = 0, 0
        for i in range(packages):
            cost[g, i] = forbidden
            if may[rows[i], g]:
                cost[g, i] = assign[rows[i], g]
                mask[g] |= 1 << i
                last = i
        if mask[g] == 1 << last:
            forced_g[last] += weight_g[g]
        possible = possible and mask[g] > 0
    for i in range(packages):
        first[i] = start[rows[i]]
        while first[i] < start[rows[i] + 1] and cap_g[first[i]] < forced_g[i]:
            first[i] += 1
        possible = possible and first[i] < start[rows[i] + 1]
    return bool(possible)


@kernel
def solve_chosen(
    weight_g: Ints,
    sites: Sites,
    merged_g: Ints,
    merged: Sites,
    heavy: Ints,
    alike: Ints,
    rows: Ints,
    best: int,
    share: int,
    pick: Ints,
    work: Ints,
) -> tuple[int, int]:
    """Cheapest plan with at most one package on each of some sites.

    Args:
        weight_g: int64[G].
        sites: the sites.
        merged_g: int64[M], weights of the merged groups.
        merged: the sites with the merged groups.
        heavy: int64[G], the groups, heaviest first.
        alike: int64[S], those with the same number are the same site.
        rows: int64[P], the sites that may have a package.
        best: cost to beat.
        share: this may take 1 / share of the work that is left.
        pick: int64[G], receives the site of each group if a plan is cheaper.
        work: int64[2], steps done and budget.

    Returns:
        The lower cost, and a scaled bound for the plans that were not settled.
    """
    _, _, start, cap_g, price = sites
    groups, packages = len(weight_g), len(rows)
    sets = min(packages, sets_max)
    own_cost = np.empty((groups, packages), np.int64)
    cost = np.empty((len(merged_g), packages), np.int64)
    need_g = np.empty(1 << sets, np.int64)
    first = np.empty(packages, np.int64)
    work[0] += chosen_work + 8 * groups * packages + (sets << sets)
    unsettled = infinite
    mask = np.empty(groups, np.int64)
    set_up(weight_g, sites, rows, own_cost, mask, first)
    if not set_up(merged_g, merged, rows, cost, mask[: len(merged_g)], first):
        return best, unsettled
    sum_needs(merged_g, mask[: len(merged_g)], need_g)
    # The steps of the chosen sites by themselves.
    begin = np.zeros(packages + 1, np.int64)
    for i in range(packages):
        begin[i + 1] = begin[i] + start[rows[i] + 1] - first[i]
    cap = np.empty(begin[packages], np.int64)
    value = np.empty(begin[packages], np.int64)
    kind = np.empty(packages, np.int64)
    for i in range(packages):
        kind[i] = alike[rows[i]]
        for k in range(begin[i + 1] - begin[i]):
            cap[begin[i] + k], value[begin[i] + k] = cap_g[first[i] + k], price[first[i] + k]
    toll = np.zeros(packages, np.int64)
    last = np.empty(packages, np.int64)
    limit = (best - 1) << fraction_bits
    work[0] += 24 * (len(merged_g) * packages + begin[packages])
    for i in range(packages):
        first[i] = begin[i]
        last[i] = begin[i + 1] - 1
    steps = (first, last, cap, value)
    bound = common_toll(merged_g, cost, steps, limit, toll)
    flat = True
    for g in range(len(merged_g)):
        cheapest, dearest = forbidden, 0
        for i in range(packages):
            if cost[g, i] < forbidden:
                cheapest, dearest = min(cheapest, cost[g, i]), max(dearest, cost[g, i])
        flat = flat and cheapest == dearest
    if bound <= limit:
        bound = better_tolls(merged_g, cost, steps, limit, toll)
    if bound > limit:
        return best, unsettled
    least, least_toll, weight_all_g = 0, 0, 0
    for g in range(len(merged_g)):
        low, low_toll = infinite, infinite
        for i in range(packages):
            if cost[g, i] < forbidden:
                low = min(low, cost[g, i])
                low_toll = min(low_toll, (cost[g, i] << fraction_bits) + toll[i] * merged_g[g])
        least += low
        least_toll += low_toll
        weight_all_g += merged_g[g]
    # What the packages from i on cost at least, and carry at most.
    rest = np.zeros((packages + 1, 3), np.int64)
    rest[packages, 0], rest[packages, 1] = least, least_toll
    for i in range(packages - 1, -1, -1):
        low, low_toll = infinite, infinite
        for k in range(begin[i], begin[i + 1]):
            low = min(low, value[k])
            low_toll = min(low_toll, (value[k] << fraction_bits) - toll[i] * cap[k])
        rest[i, 0], rest[i, 1] = rest[i + 1, 0] + low, rest[i + 1, 1] + low_toll
        rest[i, 2] = rest[i + 1, 2] + cap[begin[i + 1] - 1]
    done = np.zeros((packages + 1, 3), np.int64)
    caps_g = np.zeros(1 << sets, np.int64)
    step = first.copy()
    place = np.empty(groups, np.int64)
    until = work[0] + (work[1] - work[0]) // share
    # Plans in order of their bounds, roughly: up to a level first, then up to the next.
    below, level = -infinite, bound
    for part in (8, 4, 2, 1):
        limit = (best - 1) << fraction_bits
        if level > limit or work[0] > until:
            break
        below, level = level if part < 8 else -infinite, level + (limit - level) // part
        i = 0
        while i >= 0:
            k = step[i]
            if k == begin[i + 1] or work[0] > until:
                step[i] = begin[i]
                i -= 1
                continue
            step[i] += 1
            work[0] += 4
            done[i + 1, 0] = done[i, 0] + value[k]
            done[i + 1, 1] = done[i, 1] + (value[k] << fraction_bits) - toll[i] * cap[k]
            done[i + 1, 2] = done[i, 2] + cap[k]
            lowest = (done[i + 1, 0] + rest[i + 1, 0]) << fraction_bits
            lowest = max(lowest, done[i + 1, 1] + rest[i + 1, 1])
            if lowest > min(level, (best - 1) << fraction_bits):
                continue
            fits = done[i + 1, 2] + rest[i + 1, 2] >= weight_all_g
            if i < sets:
                work[0] += 1 << i >> 2  # four at a time
                for chosen in range(1 << i, 2 << i):
                    caps_g[chosen] = caps_g[chosen ^ (1 << i)] + cap[k]
                    fits = fits and caps_g[chosen] >= need_g[chosen]
            if not fits:
                continue
            if i + 1 < packages:
                i += 1
                continue
            if lowest <= below:
                continue
            for j in range(packages):
                last[j] = step[j] - 1
            before = best
            best, left = settle(
                weight_g,
                own_cost,
                heavy,
                steps,
                caps_g,
                toll,
                kind,
                flat,
                lowest,
                best,
                places_max if share == 1 else places_max // 8,
                place,
                work,
            )
            unsettled = min(unsettled, left)
            if best < before:
                for g in range(groups):
                    pick[g] = rows[place[g]]
        if work[0] > until:
            unsettled = min(unsettled, max(bound, below))
            break
    return best, unsettled
