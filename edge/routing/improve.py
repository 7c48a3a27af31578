"""Plans from a choice of sites, made better by local search.

A plan is ``package`` int64[G] and ``site`` int64[P], the packages numbered without gaps.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Sites, Table, kernel
from edge.routing.sites import forbidden, price_of

over_limit = 1 << 42  # more than any plan costs (problem.plan_cost_max)


@kernel
def pack(
    weight_g: Ints,
    sites: Sites,
    heavy: Ints,
    pick: Ints,
    package: Ints,
    site: Ints,
    load_g: Ints,
) -> int:
    """Put every group on its site, heaviest first into the first package that holds it."""
    _, _, start, cap_g, _ = sites
    packages = 0
    for g in heavy:
        s, p = pick[g], 0
        limit_g = cap_g[start[s + 1] - 1] - weight_g[g]
        while p < packages and (site[p] != s or load_g[p] > limit_g):
            p += 1
        if p == packages:
            site[p], load_g[p] = s, 0
            packages += 1
        load_g[p] += weight_g[g]
        package[g] = p
    return packages


@kernel
def sums_of(sites: Sites, package: Ints, packages: int) -> Table:
    """Assignment cost of every package on every site, ``forbidden`` or more if impossible."""
    may, assign, _, _, _ = sites
    sums = np.zeros((packages, len(may)), np.int64)
    for s in range(len(may)):
        for g in range(len(package)):
            sums[package[g], s] += assign[s, g] if may[s, g] else forbidden
    return sums


@kernel
def plan_cost(sums: Table, sites: Sites, site: Ints, load_g: Ints, packages_max: int) -> int:
    """Cost of a plan, plus ``over_limit`` for each package over the limit."""
    cost = over_limit * max(0, len(sums) - packages_max)
    for p in range(len(sums)):
        cost += sums[p, site[p]] + price_of(sites, site[p], load_g[p])
    return int(cost)


@kernel
def merge(
    sums: Table,
    sites: Sites,
    packages_max: int,
    package: Ints,
    site: Ints,
    load_g: Ints,
    work: Ints,
) -> int:
    """Move packages to other sites and join two where that is cheaper; returns how many stay."""
    _, _, start, cap_g, _ = sites
    packages, width = len(sums), len(start) - 1
    p = 0
    while p < packages:
        q = p
        while q < packages and work[0] < work[1]:
            work[0] += 8 + 2 * width
            joint_g = load_g[p] + (load_g[q] if q > p else 0)
            now = sums[p, site[p]] + price_of(sites, site[p], load_g[p])
            if q > p:
                now += sums[q, site[q]] + price_of(sites, site[q], load_g[q])
                now += over_limit if packages > packages_max else 0
            target = -1
            for s in range(width):
                cost = sums[p, s] + (sums[q, s] if q > p else 0)
                if cost < now and joint_g <= cap_g[start[s + 1] - 1]:
                    cost += price_of(sites, s, joint_g)
                    if cost < now:
                        now, target = cost, s
            if target >= 0:
                site[p] = target
                if q > p:
                    packages -= 1
                    load_g[p], load_g[q], site[q] = joint_g, load_g[packages], site[packages]
                    for s in range(width):
                        sums[p, s] += sums[q, s]
                        sums[q, s] = sums[packages, s]
                    for g in range(len(package)):
                        if package[g] == q:
                            package[g] = p
                        elif package[g] == packages:
                            package[g] = q
                    continue
            q += 1
        p += 1
    return packages


@kernel
def move(
    weight_g: Ints,
    sites: Sites,
    packages_max: int,
    package: Ints,
    site: Ints,
    load_g: Ints,
    packages: int,
) -> int:
    """Move single groups to other or new packages while that is cheaper.

    Returns:
        How many packages there are then, -1 if nothing was moved.
    """
    may, assign, _, _, _ = sites
    changed = False
    for g in range(len(package)):
        p, w = package[g], weight_g[g]
        home = site[p]
        saved = price_of(sites, home, load_g[p]) + assign[home, g]
        alone = load_g[p] == w
        for h in range(len(package)):
            alone = alone and (package[h] != p or h == g)
        if not alone:
            saved -= price_of(sites, home, load_g[p] - w)
        elif packages > packages_max:
            saved += over_limit
        best, target, to = saved, -1, -1
        for q in range(packages):
            s = site[q]
            if q != p and may[s, g]:
                cost = assign[s, g] + price_of(sites, s, load_g[q] + w)
                cost -= price_of(sites, s, load_g[q])
                if cost < best:
                    best, target, to = cost, q, s
        extra = over_limit if packages >= packages_max else 0
        for s in range(len(may)):
            if not alone and may[s, g] and assign[s, g] + extra < best:
                cost = assign[s, g] + extra + price_of(sites, s, w)
                if cost < best:
                    best, target, to = cost, packages, s
        if target < 0:
            continue
        changed = True
        if target == packages:
            site[target], load_g[target] = to, 0
            packages += 1
        package[g] = target
        load_g[target] += w
        load_g[p] -= w
        if alone:
            packages -= 1
            site[p], load_g[p] = site[packages], load_g[packages]
            for h in range(len(package)):
                if package[h] == packages:
                    package[h] = p
    return packages if changed else -1


@kernel
def improve(
    weight_g: Ints,
    sites: Sites,
    packages_max: int,
    heavy: Ints,
    pick: Ints,
    best: int,
    best_package: Ints,
    best_site: Ints,
    work: Ints,
) -> int:
    """Pack a choice of sites and improve the plan until nothing helps or the work is done.

    Args: see ``relaxation.relax``; ``work[1]`` is the budget. A plan that costs less than ``best``
    goes to ``best_package`` and ``best_site``.

    Returns:
        The lower cost, ``over_limit`` or more if the plan has too many packages.
    """
    groups, width = len(weight_g), len(sites[0])
    package, site = np.empty(groups, np.int64), np.empty(groups + 1, np.int64)
    load_g = np.zeros(groups + 1, np.int64)
    packages = pack(weight_g, sites, heavy, pick, package, site, load_g)
    sums = sums_of(sites, package, packages)
    while work[0] < work[1]:
        work[0] += groups * (8 * packages + 4 * width)
        moved = move(weight_g, sites, packages_max, package, site, load_g, packages)
        if moved >= 0:
            packages = moved
            sums = sums_of(sites, package, packages)
        before = packages
        packages = merge(sums, sites, packages_max, package, site, load_g, work)
        if packages < before:
            sums = sums_of(sites, package, packages)
        elif moved < 0:
            break
    cost = plan_cost(sums, sites, site, load_g, packages_max)
    if cost < best:
        for g in range(groups):
            best_package[g], best_site[g] = package[g], site[g]
    return min(cost, best)
