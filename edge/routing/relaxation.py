"""A lower bound for the plans that use given sites, by dual ascent.

The steps of a site are replaced by a line on or below them. The problem becomes an
uncapacitated facility location problem: open sites at the line's intercept, assign groups at
their cost plus the line's slope times their weight. Its bound comes from dual ascent and
dual adjustment (Erlenkotter, "A dual-based procedure for uncapacitated facility location",
Operations Research 26, 1978). Bounds are in units of 2^-fraction_bits, all integer.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Relaxed, Sites, Table, kernel

fraction_bits = 18
infinite = 1 << 61
closed, maybe, opened = -1, 0, 1


@kernel
def slope_of(cap_g: Ints, price: Ints, first: int, end: int, target_g: int) -> int:
    """Slope of the line under steps first..end - 1 that is highest at a weight.

    A walk along their lower convex hull. The intercept stays positive, so that the line is
    below the price of several packages, too.
    """
    most = infinite
    for k in range(first, end):
        if cap_g[k] > 0:
            most = min(most, (price[k] << fraction_bits) // cap_g[k])
    if most == infinite:
        return 0
    if target_g > cap_g[end - 1]:
        return most
    i, slope = first, 0
    while i + 1 < end and cap_g[i] < target_g:
        slope, after = infinite, i
        for k in range(i + 1, end):
            chord = ((price[k] - price[i]) << fraction_bits) // (cap_g[k] - cap_g[i])
            if chord <= slope:
                slope, after = chord, k
        i = after
    return max(0, min(slope, most))


@kernel
def set_line(
    weight_g: Ints, sites: Sites, s: int, target_g: int, cost: Table, intercept: Ints
) -> None:
    """A site's line that is high at a weight: ``cost`` int64[S, G], ``intercept`` int64[S]."""
    may, assign, start, cap_g, price = sites
    slope = slope_of(cap_g, price, start[s], start[s + 1], target_g)
    intercept[s] = infinite
    for k in range(start[s], start[s + 1]):
        intercept[s] = min(intercept[s], (price[k] << fraction_bits) - slope * cap_g[k])
    for g in range(len(weight_g)):
        cost[s, g] = infinite
        if may[s, g]:
            cost[s, g] = (assign[s, g] << fraction_bits) + slope * weight_g[g]


@kernel
def raise_dual(cost: Table, slack: Ints, dual: Ints, g: int, share: int) -> int:
    """Raise the dual of a group by 1/share of what the slacks allow; returns by how much."""
    before, top = dual[g], infinite
    for s in range(len(slack)):
        top = min(top, max(cost[g, s], before) + slack[s])
    if top <= before:
        return 0
    raised = before + (top - before + share - 1) // share
    for s in range(len(slack)):
        slack[s] -= max(0, raised - max(cost[g, s], before))
    dual[g] = raised
    return int(raised - before)


@kernel
def adjust_duals(relaxed: Relaxed, missing: int, work: Ints) -> int:
    """Lower one dual to free slack that lets others rise by more; returns the gain."""
    cost, slack, _, dual = relaxed
    groups, sites = cost.shape
    slack_before, dual_before = np.empty(sites, np.int64), np.empty(groups, np.int64)
    total = 0
    work[0] += groups * sites // 4
    for g in range(groups):
        if work[0] > work[1]:
            break
        before, lower, payments = dual[g], 0, 0
        for s in range(sites):
            if cost[g, s] < before:
                lower = max(lower, cost[g, s])
                payments += slack[s] == 0
        if payments < 2:
            continue
        work[0] += groups * sites // 2
        for h in range(groups):
            dual_before[h] = dual[h]
        for s in range(sites):
            slack_before[s] = slack[s]
            slack[s] += max(0, before - max(cost[g, s], lower))
        dual[g] = lower
        gain = lower - before
        for h in range(groups):
            if h != g:
                gain += raise_dual(cost, slack, dual, h, 1)
        gain += raise_dual(cost, slack, dual, g, 1)
        if gain < 0:
            for h in range(groups):
                dual[h] = dual_before[h]
            for s in range(sites):
                slack[s] = slack_before[s]
        total += max(0, gain)
        if total >= missing:
            break
    return total


@kernel
def relax(
    weight_g: Ints,
    sites: Sites,
    several: bool,
    state: Ints,
    target_g: Ints,
    limit: int,
    rounds: int,
    relaxed: Relaxed,
    work: Ints,
) -> int:
    """Lower bound of the plans that a node allows, ``infinite`` if there is none.

    Args:
        weight_g: int64[G].
        sites: the sites.
        several: whether a site may have several packages.
        state: int64[S], closed, maybe or opened; what must open is opened.
        target_g: int64[S], weight at which a site's line should be high.
        limit: above this the bound need not be improved.
        rounds: of adjustment, at most.
        relaxed: receives the relaxed problem and its duals.
        work: int64[2], steps done and budget.
    """
    may, assign, start, cap_g, price = sites
    cost, slack, intercept, dual = relaxed
    groups = len(weight_g)
    forced_g = np.zeros(len(may), np.int64)
    for g in range(groups):
        only, ways = -1, 0
        for s in range(len(may)):
            if may[s, g] and state[s] != closed:
                only, ways = s, ways + 1
        if ways == 0:
            return infinite
        if ways == 1:
            forced_g[only] += weight_g[g]
            state[only] = opened
    bound = 0
    for s in range(len(may)):
        slack[s], intercept[s] = infinite, infinite
        if state[s] == closed:
            for g in range(groups):
                cost[g, s] = infinite
            continue
        first, end = start[s], start[s + 1]
        while not several and first < end and cap_g[first] < forced_g[s]:
            first += 1
        if first == end:
            return infinite
        slope = slope_of(cap_g, price, first, end, target_g[s])
        for k in range(first, end):
            intercept[s] = min(intercept[s], (price[k] << fraction_bits) - slope * cap_g[k])
        for g in range(groups):
            cost[g, s] = infinite
            if may[s, g]:
                cost[g, s] = (assign[s, g] << fraction_bits) + slope * weight_g[g]
        slack[s] = intercept[s]
        if state[s] == opened:
            slack[s] = 0
            bound += intercept[s]
        work[0] += 4 * (end - first)
    for g in range(groups):
        dual[g] = infinite
        for s in range(len(may)):
            dual[g] = min(dual[g], cost[g, s])
        bound += dual[g]
    for share in (6, 3, 2, 1, 1):
        for g in range(groups):
            bound += raise_dual(cost, slack, dual, g, share)
    work[0] += 8 * groups * len(may)
    for _ in range(rounds):
        if bound > limit:
            break
        gain = adjust_duals(relaxed, limit - bound + 1, work)
        bound += gain
        if gain == 0:
            break
    return int(bound)


@kernel
def choose(sites: Sites, relaxed: Relaxed, state: Ints, pick: Ints) -> None:
    """Sites for the groups by complementary slackness, as ``pick`` int64[G]."""
    may, _, _, _, _ = sites
    cost, slack, _, dual = relaxed
    groups, used = len(pick), np.zeros(len(may), np.int64)
    for s in range(len(may)):
        used[s] = state[s] == opened
    for only in (1, len(may)):
        for g in range(groups):
            tight, best = 0, -1
            for s in range(len(may)):
                if slack[s] == 0 and cost[g, s] <= dual[g]:
                    tight += 1 + used[s] * len(may)
                    if best < 0 or cost[g, s] < cost[g, best]:
                        best = s
            if 0 < tight <= only:
                used[best] = 1
    for g in range(groups):
        pick[g] = -1
        for only in (1, 0):
            for s in range(len(may)):
                better = pick[g] < 0 or cost[g, s] < cost[g, pick[g]]
                if may[s, g] and used[s] >= only and better:
                    pick[g] = s
            if pick[g] >= 0:
                break
