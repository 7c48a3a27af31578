"""Kits: the packages that one site may get together, and bounds by them.

A kit is a set of packages on one site, each with its step. What a set of sites must carry,
because its groups may be nowhere else, must fit the packages on it (Hall's condition), and costs
at least what the cheapest packages there cost that hold it together (the covering knapsack of
``covering``, for every set of sites).
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Sites, Table, kernel
from edge.routing.relaxation import infinite
from edge.routing.sites import pairs_worth, steps_paired_max

split_max = 6
"""Sets of so many sites are cut in every way for their bounds."""


@kernel
def cover_tables(sites: Sites, order: Ints, unit_g: int, units: int, counted: bool) -> Table:
    """Least price of packages that hold some units together, by set of sites.

    Args:
        sites: the sites.
        order: int64[S], the site of each bit.
        unit_g: grams of a unit.
        units: of the whole order.
        counted: count packages instead.

    Returns:
        int64[2^S, units + 1].
    """
    _, _, start, cap_g, price = sites
    width = len(order)
    cover = np.full((1 << width, units + 1), infinite, np.int64)
    for chosen in range(1 << width):
        cover[chosen, 0] = 0
        if chosen == 0:
            continue
        high = 0
        while chosen >> high > 1:
            high += 1
        before, now = cover[chosen ^ (1 << high)], cover[chosen]
        s = order[high]
        for need in range(1, units + 1):
            now[need] = before[need]
        # Packages of one site more, the dearest that holds no more left out.
        last = -1
        for k in range(start[s + 1] - 1, start[s] - 1, -1):
            cost = 1 if counted else price[k]
            if last >= 0 and cost >= last:
                continue
            last = cost
            cap = min(units, -(-cap_g[k] // unit_g))
            for need in range(1, units + 1):
                rest = now[need - cap] if need > cap else 0
                now[need] = min(now[need], rest + cost)
    return cover


@kernel
def list_kits(
    sites: Sites,
    s: int,
    reach_g: int,
    packages_max: int,
    cost_max: int,
    begin: int,
    kits: Table,
) -> int:
    """Kits of a site that may pay, by cost; returns the end of the list, -1 if it has no room.

    Args:
        sites: the sites.
        s: the site.
        reach_g: all that it may ship.
        packages_max: of a kit.
        cost_max: of a kit.
        begin: first place in the list.
        kits: int64[N, 5], receives cost, weight, packages, last step, the kit without that one.
    """
    _, _, start, cap_g, price = sites
    first, last = start[s], start[s + 1]
    if last - first > steps_paired_max:
        return -1
    pays = pairs_worth(cap_g, price, first, last, reach_g)
    end, kit = begin + 1, begin
    for i in range(5):
        kits[begin, i] = 0
    while kit < end:
        for k in range(first if kit == begin else kits[kit, 3], last):
            cost = kits[kit, 0] + price[k]
            if cost > cost_max or kits[kit, 2] == packages_max:
                continue
            lightest_g = cap_g[k - 1] + 1 if k > first else 0
            other, pay = kit, True
            while other != begin and pay:
                step = kits[other, 3]
                lightest_g += cap_g[step - 1] + 1 if step > first else 0
                pay = pays[step - first, k - first] == 1
                other = kits[other, 4]
            if not pay or lightest_g > reach_g:
                continue
            if end == len(kits):
                return -1
            kits[end, 0], kits[end, 1] = cost, kits[kit, 1] + cap_g[k]
            kits[end, 2], kits[end, 3], kits[end, 4] = kits[kit, 2] + 1, k, kit
            end += 1
        kit += 1
    return end


@kernel
def bound_of(cover: Table, need_g: Ints, unit_g: int, width: int, least: Ints) -> int:
    """What some sites cost at least for what each set of them must carry.

    Args:
        cover: see ``cover_tables``.
        need_g: int64[2^S].
        unit_g: grams of a unit.
        width: the first so many sites.
        least: int64[2^S], receives the bound of every set.
    """
    least[0] = 0
    for chosen in range(1, 1 << width):
        bound = cover[chosen, max(0, -(-need_g[chosen] // unit_g))]
        if width <= split_max:
            part = (chosen - 1) & chosen
            while part > chosen ^ part:
                bound = max(bound, least[part] + least[chosen ^ part])
                part = (part - 1) & chosen
        else:
            for i in range(width):
                if chosen >> i & 1:
                    bound = max(bound, least[chosen ^ (1 << i)] + least[1 << i])
        least[chosen] = bound
    return int(least[(1 << width) - 1])


@kernel
def refute(kits: Table, kit: int, refuted_g: Ints) -> None:
    """Note that a kit is of no use; one that is dearer, holds less and has no fewer is neither.

    ``refuted_g`` int64[N + 1]: heaviest of such kits with so many packages, or fewer.
    """
    for count in range(kits[kit, 2], len(refuted_g)):
        refuted_g[count] = max(refuted_g[count], kits[kit, 1])


@kernel
def link_kits(kits: Table, by_cost: Ints, first: int, end: int, after: Ints) -> None:
    """``after`` receives the next kit by cost that holds more, or has fewer packages."""
    for here in range(end - 1, first - 1, -1):
        kit, there = by_cost[here], here + 1
        while there < end:
            other = by_cost[there]
            if kits[other, 1] > kits[kit, 1] or kits[other, 2] < kits[kit, 2]:
                break
            there = after[there]
        after[here] = there
