"""Options that differ only in price become one site; sites that no plan needs are dropped.

A node with several services is one place: which of them a package takes follows from its
weight. What a package costs on a site is a step function: step k, from ``start[s]`` up to
before ``start[s + 1]``, holds above ``cap_g[k - 1]`` up to ``cap_g[k]`` at ``price[k]``,
fixed and split cost included. The last cap is the heaviest package that is possible.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Flags, Ints, Sites, Table, kernel

steps_paired_max = 128
forbidden = 1 << 46  # more than any plan costs; thousands of them fit an int64


@kernel
def price_of(sites: Sites, s: int, load_g: int) -> int:
    """Cost of a package of a weight on a site, ``forbidden`` if it is too heavy."""
    _, _, start, cap_g, price = sites
    for k in range(start[s], start[s + 1]):
        if load_g <= cap_g[k]:
            return int(price[k])
    return forbidden


@kernel
def sites_of(
    weight_g: Ints, can: Flags, assign: Table, limit_g: Ints, order: Ints, may: Flags, cost: Table
) -> Ints:
    """Site of each option, -1 if it can ship nothing.

    Options that ship the same groups at the same cost are one site. What is only too heavy
    for one of them makes no difference: the steps say so.

    Args:
        weight_g: int64[G].
        can: bool[O, G].
        assign: int64[O, G].
        limit_g: int64[O], heaviest package of each option.
        order: int64[O], the options by falling limit.
        may: bool[O, G], all false, receives what each site may ship.
        cost: int64[O, G], receives at what cost.
    """
    options, groups = can.shape
    site, sites = np.empty(options, np.int64), 0
    for o in order:
        site[o] = -1
        for s in range(sites):
            same = True
            for g in range(groups):
                if weight_g[g] <= limit_g[o] and (
                    can[o, g] != may[s, g] or (can[o, g] and assign[o, g] != cost[s, g])
                ):
                    same = False
                    break
            if same:
                site[o] = s
                break
        if site[o] < 0:
            for g in range(groups):
                if can[o, g] and weight_g[g] <= limit_g[o]:
                    may[sites, g], cost[sites, g] = True, assign[o, g]
                    site[o] = sites
            if site[o] == sites:
                sites += 1
    return site


@kernel
def steps_of(
    weight_g: Ints,
    may: Flags,
    members: Ints,
    begin: Ints,
    base: Ints,
    tariff: Ints,
    step_g: Table,
    step_price: Table,
    start: Ints,
    cap_g: Ints,
    price: Ints,
) -> None:
    """Steps of all sites, as ``start``, ``cap_g`` and ``price``.

    Args:
        weight_g: int64[G].
        may: bool[S, G].
        members: int64[O], the options by site, those of site s from ``begin[s]`` on.
        begin: int64[S + 1].
        base: int64[O], what a package on the option costs beside its tariff.
        tariff: int64[O].
        step_g: int64[T, K].
        step_price: int64[T, K].
        start: int64[S + 1], receives the first step of each site.
        cap_g: int64[O * K], receives the steps' upper weights.
        price: int64[O * K], receives their prices.
    """
    width = step_g.shape[1]
    end = 0
    for s in range(len(may)):
        start[s] = end
        reach_g = 0
        for g in range(may.shape[1]):
            if may[s, g]:
                reach_g += weight_g[g]
        step = np.zeros(begin[s + 1] - begin[s], np.int64)
        now_g = -1
        while now_g < reach_g:
            next_g, lowest = reach_g + 1, forbidden
            for i in range(len(step)):
                o = members[begin[s] + i]
                while step[i] < width and 0 <= step_g[tariff[o], step[i]] <= now_g:
                    step[i] += 1
                if step[i] < width and step_g[tariff[o], step[i]] >= 0:
                    next_g = min(next_g, min(reach_g, step_g[tariff[o], step[i]]))
                    lowest = min(lowest, base[o] + step_price[tariff[o], step[i]])
            if next_g > reach_g:
                break
            if end > start[s] and price[end - 1] == lowest:
                end -= 1
            now_g, cap_g[end], price[end] = next_g, next_g, lowest
            end += 1
    start[len(may)] = end


@kernel
def pairs_worth(cap_g: Ints, price: Ints, first: int, end: int, reach_g: int) -> Table:
    """int64[K, K], 1 for two steps of a site whose packages can pay beside each other.

    They pay if one package cannot carry as much for no more. ``reach_g`` is all that the site
    may ship.
    """
    steps = end - first
    pays = np.zeros((steps, steps), np.int64)
    for i in range(steps):
        k, dearest = first, 0
        lightest_g = cap_g[first + i - 1] + 1 if i > 0 else 0
        for j in range(steps):
            both_g = min(cap_g[first + i] + cap_g[first + j], reach_g)
            while k < end and (k == first or cap_g[k - 1] < both_g):
                dearest = max(dearest, price[k])
                k += 1
            both_pay = cap_g[end - 1] < both_g or dearest > price[first + i] + price[first + j]
            light_g = cap_g[first + j - 1] + 1 if j > 0 else 0
            if both_pay and lightest_g + light_g <= reach_g:
                pays[i, j] = 1
    return pays


@kernel
def packages_worth(cap_g: Ints, price: Ints, first: int, end: int, reach_g: int, most: int) -> int:
    """How many packages on a site can pay, at most ``most``.

    Several pay only if each pair does, so their steps are among those that pay with enough of
    the others.
    """
    steps = end - first
    if steps > steps_paired_max:
        return most
    pays = pairs_worth(cap_g, price, first, end, reach_g)
    times = np.empty(steps, np.int64)
    for i in range(steps):
        lightest_g = cap_g[first + i - 1] + 1 if i > 0 else 0
        times[i] = 1
        if pays[i, i]:
            times[i] = min(most, reach_g // max(1, lightest_g))
    packages, left = 1, np.empty(steps, np.int64)
    for i in range(steps):
        left[i] = 1
    while packages < most:
        # Leave out the steps that pay with too few of those left for one package more.
        some, changed = True, True
        while changed:
            some, changed = False, False
            for i in range(steps):
                others = times[i] - 1
                for j in range(steps):
                    if j != i:
                        others += left[j] * pays[i, j] * times[j]
                if left[i] and others < packages:
                    left[i], changed = 0, True
                some = some or left[i] > 0
        if not some:
            break
        packages += 1
    return packages


@kernel
def is_needless(sites: Sites, s: int, other: int) -> bool:
    """Whether another site ships all that this one ships, never for more."""
    may, assign, start, cap_g, price = sites
    for g in range(may.shape[1]):
        if may[s, g] and (not may[other, g] or assign[other, g] > assign[s, g]):
            return False
    i = start[other]
    for k in range(start[s], start[s + 1]):
        # All of the other's steps that overlap this one.
        while i < start[other + 1] and price[i] <= price[k] and cap_g[i] < cap_g[k]:
            i += 1
        if i == start[other + 1] or price[i] > price[k]:
            return False
    return True


@kernel
def needless_sites(sites: Sites) -> Ints:
    """int64[S], 1 for the sites that others make needless."""
    may, _, _, _, _ = sites
    gone, some = np.zeros(len(may), np.int64), np.zeros(len(may), np.int64)
    for s in range(len(may)):
        for g in range(min(may.shape[1], 62)):
            some[s] |= np.int64(may[s, g]) << g
    for s in range(len(may)):
        for other in range(len(may)):
            if other == s or gone[other] or some[s] & ~some[other]:
                continue
            if is_needless(sites, s, other):
                gone[s] = 1
                break
    return gone
