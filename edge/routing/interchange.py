"""Better choices among many sites, by local search.

With a line for each site's steps (``relaxation``) a plan is a choice of sites: each group goes to
the cheapest of them. One site is added, dropped or exchanged while that helps (Teitz & Bart 1968,
in the way of Whitaker 1983), then some are exchanged blindly and the search goes on from there.
What is found becomes a plan by ``improve``, which knows the steps.
"""

from __future__ import annotations

import numpy as np

from edge.routing.improve import improve, over_limit
from edge.routing.kernel import Ints, Sites, Table, kernel
from edge.routing.relaxation import fraction_bits, infinite, set_line

missing = 1 << 50
"""Scaled cost of a group that no chosen site may ship."""
kicks_max = 1024
kicked_max = 3
"""Sites that are exchanged blindly."""
line_work = 400
worthy = 32
"""A choice whose lines are not one part in so many below the best plan is not made into one."""


@kernel
def best_two(cost: Table, chosen: Ints, nearest: Table) -> int:
    """Cheapest chosen site of each group; returns what all groups cost.

    Args:
        cost: int64[S, G], scaled, ``infinite`` where a group may not be.
        chosen: int64[N], the chosen sites.
        nearest: int64[3, G], receives the place in ``chosen`` (-1: none), what the group costs
            there, and what it costs on the next best.
    """
    groups, total = cost.shape[1], 0
    for g in range(groups):
        nearest[0, g], nearest[1, g], nearest[2, g] = -1, missing, missing
    for i in range(len(chosen)):
        s = chosen[i]
        for g in range(groups):
            if cost[s, g] < nearest[1, g]:
                nearest[0, g], nearest[2, g], nearest[1, g] = i, nearest[1, g], cost[s, g]
            elif cost[s, g] < nearest[2, g]:
                nearest[2, g] = cost[s, g]
    for g in range(groups):
        total += nearest[1, g]
    return int(total)


@kernel
def interchange(cost: Table, intercept: Ints, packages_max: int, chosen: Ints, work: Ints) -> Ints:
    """Add, drop or exchange one site while that is cheaper.

    Args:
        cost: int64[S, G], scaled, ``infinite`` where a group may not be.
        intercept: int64[S], scaled cost of choosing a site.
        packages_max: sites to choose, at most.
        chosen: int64[N], the chosen sites.
        work: int64[2], steps done and budget.

    Returns:
        The sites chosen then.
    """
    width, groups = cost.shape
    nearest = np.empty((3, groups), np.int64)
    sites, count = np.empty(max(packages_max, len(chosen)) + 1, np.int64), len(chosen)
    inside = np.zeros(width, np.bool_)
    for i in range(count):
        sites[i] = chosen[i]
        inside[chosen[i]] = True
    loss = np.empty(len(sites), np.int64)
    while work[0] < work[1]:
        best_two(cost, sites[:count], nearest)
        work[0] += groups * (count + width) + count * width
        # Too many sites: the one goes that is missed least.
        best, enter, leave = -infinite if count > packages_max else 0, -1, -1
        for s in range(-1, width):
            if s >= 0 and inside[s]:
                continue
            gain = 0 if s < 0 else -intercept[s]
            for i in range(count):
                loss[i] = -intercept[sites[i]]
            for g in range(groups):
                now = missing if s < 0 else min(missing, cost[s, g])
                if now < nearest[1, g]:
                    gain += nearest[1, g] - now
                elif nearest[0, g] >= 0:
                    loss[nearest[0, g]] += min(nearest[2, g], now) - nearest[1, g]
            if s >= 0 and count < packages_max and gain > best:
                best, enter, leave = gain, s, -1
            for i in range(count):
                if gain - loss[i] > best and (s < 0 or count <= packages_max):
                    best, enter, leave = gain - loss[i], s, i
        if enter < 0 and leave < 0:
            break
        if leave >= 0:
            inside[sites[leave]] = False
            count -= 1
            sites[leave] = sites[count]
        if enter >= 0:
            inside[enter] = True
            sites[count] = enter
            count += 1
    return sites[:count].copy()


@kernel
def better_sites(
    weight_g: Ints,
    sites: Sites,
    packages_max: int,
    heavy: Ints,
    target_g: Ints,
    package: Ints,
    site: Ints,
    best: int,
    work: Ints,
) -> int:
    """Better plans than a first one.

    Args:
        weight_g: int64[G].
        sites: the sites.
        packages_max: packages of a plan, at most.
        heavy: int64[G], the groups, heaviest first.
        target_g: int64[S], weight at which a site's line should be high.
        package: int64[G], the plan's package of each group; receives a cheaper plan.
        site: int64[G], the site of each package, likewise.
        best: the plan's cost.
        work: int64[2], steps done and budget.

    Returns:
        The lower cost.
    """
    groups, width = len(weight_g), len(sites[0])
    cost, intercept = np.empty((width, groups), np.int64), np.empty(width, np.int64)
    pick, picked_g = np.empty(groups, np.int64), np.empty(width, np.int64)
    nearest = np.empty((3, groups), np.int64)
    for g in range(groups):
        pick[g] = site[package[g]]
    best = improve(weight_g, sites, packages_max, heavy, pick, best, package, site, work)
    kept = np.unique(site[: package.max() + 1])
    work[0] += width * (groups + line_work)
    for s in range(width):
        set_line(weight_g, sites, s, target_g[s], cost, intercept)
    draw, kept_least = 1, infinite
    for kick in range(kicks_max):
        chosen = kept.copy()
        for _ in range(min(kick, kicked_max)):
            draw = draw * 1103515245 % (1 << 31) + 12345
            chosen[(draw >> 8) % len(chosen)] = (draw >> 16) % width
        chosen = np.unique(chosen)
        for _ in range(2):
            chosen = interchange(cost, intercept, packages_max, chosen, work)
            least = best_two(cost, chosen, nearest)
            for s in chosen:
                least += intercept[s]
            if best >= over_limit and least < kept_least:
                kept, kept_least = chosen, least  # no plan yet: what comes nearest to one
            # The lines are below the steps: some choices need not be tried.
            possible = work[0] < work[1] and least < (best - best // worthy) << fraction_bits
            for g in range(groups):
                possible = possible and nearest[0, g] >= 0
                pick[g] = chosen[nearest[0, g]]
            if not possible:
                break
            found = improve(weight_g, sites, packages_max, heavy, pick, best, package, site, work)
            if found < best:
                best = found
                kept = np.unique(site[: package.max() + 1])
            for s in range(width):
                picked_g[s] = 0
            for g in range(groups):
                picked_g[pick[g]] += weight_g[g]
            for s in range(width):
                if picked_g[s] > 0 and picked_g[s] != target_g[s]:
                    target_g[s] = picked_g[s]
                    work[0] += groups + line_work
                    set_line(weight_g, sites, s, target_g[s], cost, intercept)
        if work[0] >= work[1]:
            break
    return best
