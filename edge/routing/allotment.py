"""The cheapest plan over few sites: what each of them ships is decided in turn.

A depth-first search gives the sites their kits (``kits``), plans of low bounds first, and places
the groups where the packages may do (``placing``). A kit after which nothing was possible rules
out the dearer ones that hold less.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Sites, kernel
from edge.routing.kits import (
    bound_of,
    cover_tables,
    link_kits,
    list_kits,
    refute,
    split_max,
)
from edge.routing.placing import places_max, sets_max, settle, sum_needs
from edge.routing.relaxation import fraction_bits, infinite
from edge.routing.sites import forbidden

sites_max = 10
"""Sites, at most: there is a table for every set of them."""
kits_max = 1 << 14
"""Kits of all sites, at most."""
packages_most = 12
"""Packages of a plan that is tried, at most."""
cells_log2 = 18
"""Of the tables: units into which the order's weight is divided, times sets of sites."""
levels = 16
late_max = 64
"""Choices of kits whose groups are hard to place, kept for later."""
quick = 1000
"""Steps of a first depth-first search for them, beyond one a group."""


@kernel
def place_kits(
    weight_g: Ints,
    sites: Sites,
    heavy: Ints,
    flat: bool,
    where: Ints,
    step: Ints,
    least: int,
    best: int,
    places: int,
    place: Ints,
    rows: Ints,
    work: Ints,
) -> tuple[int, int]:
    """Cheapest plan whose packages have given steps at most.

    Args:
        weight_g: int64[G].
        sites: the sites.
        heavy: int64[G], the groups, heaviest first.
        flat: whether the groups cost the same wherever they are.
        where: int64[P], site of each package.
        step: int64[P], its step.
        least: what such plans cost at least.
        best: cost to beat.
        places: steps of a depth-first search, beyond one a group.
        place: int64[G], receives the package of each group if a plan is cheaper.
        rows: int64[G], receives the site of each package then.
        work: int64[2], steps done and budget.

    Returns:
        The lower cost, and a scaled bound for the plans that were not settled.
    """
    may, assign, start, cap_g, price = sites
    groups, packages = len(weight_g), len(where)
    cost = np.empty((groups, packages), np.int64)
    first = np.empty(packages, np.int64)
    for p in range(packages):
        first[p] = start[where[p]]
    for g in range(groups):
        for p in range(packages):
            cost[g, p] = forbidden
            if may[where[p], g] and weight_g[g] <= cap_g[step[p]]:
                cost[g, p] = assign[where[p], g]
    caps_g = np.zeros(1 << min(packages, sets_max), np.int64)
    for chosen in range(1, len(caps_g)):
        p = 0
        while not chosen >> p & 1:
            p += 1
        caps_g[chosen] = caps_g[chosen & (chosen - 1)] + cap_g[step[p]]
    work[0] += 2 * groups * packages
    trial, toll = np.empty(groups, np.int64), np.zeros(packages, np.int64)
    found, left = settle(
        weight_g,
        cost,
        heavy,
        (first, step, cap_g, price),
        caps_g,
        toll,
        where,
        flat,
        least << fraction_bits,
        best,
        places,
        trial,
        work,
    )
    if found < best:
        for g in range(groups):
            place[g] = trial[g]
        for p in range(packages):
            rows[p] = where[p]
    return found, left


@kernel
def solve_kits(
    weight_g: Ints,
    sites: Sites,
    merged_g: Ints,
    merged: Sites,
    packages_max: int,
    heavy: Ints,
    best: int,
    place: Ints,
    rows: Ints,
    work: Ints,
) -> tuple[int, int]:
    """Cheapest plan over few sites.

    Args:
        weight_g: int64[G].
        sites: the sites, ``sites_max`` at most.
        merged_g: int64[M], weights of the merged groups.
        merged: the sites with the merged groups.
        packages_max: packages of a plan, at most.
        heavy: int64[G], the groups, heaviest first.
        best: cost to beat.
        place: int64[G], receives the package of each group if a plan is cheaper.
        rows: int64[G], receives the site of each package then.
        work: int64[2], steps done and budget.

    Returns:
        The lower cost, and a scaled bound for the plans that were not settled.
    """
    may, assign, _, cap_g, _ = merged
    width = len(may)
    full = (1 << width) - 1
    # The sites that may carry least get their kits first.
    reach_g = np.zeros(width, np.int64)
    for s in range(width):
        for g in range(len(merged_g)):
            if may[s, g]:
                reach_g[s] += merged_g[g]
    order = np.argsort(-reach_g, kind="mergesort")
    mask, least_assign, weight_all_g = np.zeros(len(merged_g), np.int64), 0, 0
    flat = True
    for g in range(len(merged_g)):
        lowest, highest = forbidden, 0
        for j in range(width):
            if may[order[j], g]:
                mask[g] |= 1 << j
                lowest = min(lowest, assign[order[j], g])
                highest = max(highest, assign[order[j], g])
        least_assign += lowest
        weight_all_g += merged_g[g]
        flat = flat and lowest == highest
    need_g = np.empty((width + 1, 1 << width), np.int64)
    least = np.zeros((width + 1, 1 << width), np.int64)
    sum_needs(merged_g, mask, need_g[0])
    units = 1 << min(12, cells_log2 - width)
    unit_g = max(1, -(-weight_all_g // units))
    cover = cover_tables(merged, order, unit_g, units, False)
    counts = cover_tables(merged, order, unit_g, units, True)
    work[0] += units * (2 + len(cap_g) // width) << width
    limit = best - 1 - least_assign
    root = bound_of(cover, need_g[0], unit_g, width, least[0])
    count_least = np.zeros(1 << width, np.int64)
    if root > limit or bound_of(counts, need_g[0], unit_g, width, count_least) > packages_max:
        return best, infinite
    kits = np.empty((kits_max, 5), np.int64)
    begin = np.zeros(width + 1, np.int64)
    for j in range(width):
        others = least[0, full ^ (1 << j)]
        begin[j + 1] = list_kits(
            merged, order[j], reach_g[order[j]], packages_max, limit - others, begin[j], kits
        )
        if begin[j + 1] < 0:
            return best, (root + least_assign) << fraction_bits
    work[0] += 100 * begin[width]
    by_cost = np.empty(begin[width], np.int64)
    for j in range(width):
        by_cost[begin[j] : begin[j + 1]] = begin[j] + np.argsort(
            kits[begin[j] : begin[j + 1], 0], kind="mergesort"
        )
    after = np.empty(begin[width], np.int64)
    for j in range(width):
        link_kits(kits, by_cost, begin[j], begin[j + 1], after)
    at, done = np.zeros(width + 1, np.int64), np.zeros((width + 1, 2), np.int64)
    unsettled, below, level = infinite, -1, root - 1
    where = np.empty((late_max + 1, packages_most), np.int64)
    step, late = np.empty_like(where), 0
    costs, counts_of = np.empty(late_max + 1, np.int64), np.empty(late_max + 1, np.int64)
    reached = np.zeros(width, np.int64)
    refuted_g = np.empty((width, packages_most + 1), np.int64)
    # Plans up to a level first, then up to the next. The search starts again at each level, so the
    # levels keep their distance while that is cheap.
    rise, spent = 1 + (limit - root) // levels, 0
    while level < best - least_assign:
        rise = 2 * rise if spent > (work[1] - work[0]) // 64 else rise
        level, spent = min(level + rise, best - 1 - least_assign), work[0]
        i, at[0], reached[0] = 0, begin[width - 1], 0
        refuted_g[0, :] = -1
        while i >= 0:
            j = width - 1 - i
            half = 1 << j
            level = min(level, best - 1 - least_assign)
            if work[0] > work[1]:
                break
            if at[i] == begin[j + 1]:
                i -= 1
                if i >= 0 and not reached[i + 1]:
                    refute(kits, by_cost[at[i] - 1], refuted_g[i])
                elif i >= 0:
                    reached[i] = 1
                continue
            here = at[i]
            kit = by_cost[here]
            work[0] += 4
            if kits[kit, 1] <= refuted_g[i, min(kits[kit, 2], packages_most)]:
                at[i] = after[here]
                continue
            at[i] += 1
            cost, count = done[i, 0] + kits[kit, 0], done[i, 1] + kits[kit, 2]
            work[0] += 16
            if cost + least[i, half - 1] > level:
                at[i] = begin[j + 1]
                continue
            more = max(need_g[i, half - 1], need_g[i, 2 * half - 1] - kits[kit, 1])
            lowest = cost + cover[half - 1, max(0, -(-more // unit_g))]
            if count > packages_max or lowest > level:
                refute(kits, kit, refuted_g[i])
                at[i] = after[here]
                continue
            work[0] += half
            for chosen in range(half):
                more = need_g[i, chosen + half] - kits[kit, 1]
                need_g[i + 1, chosen] = max(need_g[i, chosen], more)
            possible = need_g[i + 1, 0] <= 0
            if possible:
                work[0] += j * half if j > split_max else 3**j // 2
                lowest = cost + bound_of(cover, need_g[i + 1], unit_g, j, least[i + 1])
                possible = lowest <= level
            if possible:
                work[0] += j * half if j > split_max else 3**j // 2
                fewest = count + bound_of(counts, need_g[i + 1], unit_g, j, count_least)
                possible = fewest <= packages_max
            if not possible:
                refute(kits, kit, refuted_g[i])
                at[i] = after[here]
                continue
            done[i + 1, 0], done[i + 1, 1] = cost, count
            if j > 0:
                i += 1
                at[i], reached[i], refuted_g[i, :] = begin[j - 1], 0, -1
                continue
            reached[i] = 1
            if cost <= below:
                continue
            if count > packages_most or late == late_max:
                unsettled = min(unsettled, (cost + least_assign) << fraction_bits)
                continue
            packages = 0
            for depth in range(width):
                j = width - 1 - depth
                kit = by_cost[at[depth] - 1]
                while kit != begin[j]:
                    where[late, packages], step[late, packages] = order[j], kits[kit, 3]
                    packages += 1
                    kit = kits[kit, 4]
            costs[late], counts_of[late] = cost + least_assign, packages
            best, left = place_kits(
                weight_g,
                sites,
                heavy,
                flat,
                where[late, :packages],
                step[late, :packages],
                costs[late],
                best,
                quick,
                place,
                rows,
                work,
            )
            late += left < infinite
        spent = work[0] - spent
        if work[0] > work[1]:
            least_left = max(root, below + 1) + least_assign
            unsettled = min(unsettled, least_left << fraction_bits)
            break
        below = level
        if level == best - 1 - least_assign:
            break
    # What was hard to place is tried again, with all the work that is left.
    for n in np.argsort(costs[:late], kind="mergesort"):
        left = costs[n] << fraction_bits
        if work[0] <= work[1] and costs[n] < best:
            best, left = place_kits(
                weight_g,
                sites,
                heavy,
                flat,
                where[n, : counts_of[n]],
                step[n, : counts_of[n]],
                costs[n],
                best,
                places_max,
                place,
                rows,
                work,
            )
        unsettled = min(unsettled, left)
    return best, unsettled
