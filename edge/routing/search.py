"""Branch and bound over which sites have a package."""

from __future__ import annotations

import numpy as np

from edge.routing.chosen import chosen_max, solve_chosen
from edge.routing.improve import over_limit
from edge.routing.kernel import Flags, Ints, Sites, Table, kernel
from edge.routing.relaxation import choose, closed, fraction_bits, infinite, maybe, opened, relax
from edge.routing.root import new_relaxed
from edge.routing.sites import price_of

close_bits = 7
"""The search ends early once no bound can rise and 1 / 2^close_bits is left to win."""
node_work = 8000
"""Steps of a node beside those that grow with the problem."""
node_cells_max = 1 << 21
nodes_max = 4096


@kernel
def packages_needed(may: Flags, state: Ints, scarce: Ints) -> int:
    """Packages that a node's plans have at least: groups that no two share a site."""
    packages, taken = 0, np.zeros(len(may), np.int64)
    for s in range(len(may)):
        if state[s] == opened:
            taken[s] = 1
            packages += 1
    for g in scarce:
        free = True
        for s in range(len(may)):
            free = free and not (may[s, g] and taken[s])
        if free:
            packages += 1
            for s in range(len(may)):
                if may[s, g] and state[s] != closed:
                    taken[s] = 1
    return packages


@kernel
def picked_cost(weight_g: Ints, sites: Sites, packages_max: int, pick: Ints, picked_g: Ints) -> int:
    """Cost of the plan with one package on each site picked; ``picked_g`` receives weights."""
    assign = sites[1]
    cost, packages = 0, 0
    for s in range(len(assign)):
        picked_g[s] = -1
    for g in range(len(pick)):
        cost += assign[pick[g], g]
        picked_g[pick[g]] = max(0, picked_g[pick[g]]) + weight_g[g]
    for s in range(len(assign)):
        if picked_g[s] >= 0:
            cost += price_of(sites, s, picked_g[s])
            packages += 1
    return int(cost + over_limit * max(0, packages - packages_max))


@kernel
def store(
    states: Table, targets: Table, bounds: Ints, node: int, state: Ints, target: Ints, bound: int
) -> None:
    """Put a node into the list."""
    bounds[node] = bound
    for s in range(len(state)):
        states[node, s], targets[node, s] = state[s], target[s]


@kernel
def take(states: Table, targets: Table, bounds: Ints, nodes: int, state: Ints, target: Ints) -> int:
    """Take the most promising of some nodes out of the list; returns its bound.

    Short of room it is the newest one instead: the search dives.
    """
    node = nodes - 1
    if 2 * nodes < len(bounds):
        for other in range(nodes):
            if bounds[other] < bounds[node]:
                node = other
    bound, bounds[node] = bounds[node], bounds[nodes - 1]
    for s in range(len(state)):
        state[s], states[node, s] = states[node, s], states[nodes - 1, s]
        target[s], targets[node, s] = targets[node, s], targets[nodes - 1, s]
    return int(bound)


@kernel
def search(
    weight_g: Ints,
    sites: Sites,
    merged_g: Ints,
    merged: Sites,
    number: Ints,
    packages_max: int,
    heavy: Ints,
    scarce: Ints,
    alike: Ints,
    target_g: Ints,
    best: int,
    bound: int,
    share: int,
    pick: Ints,
    work: Ints,
) -> tuple[int, int]:
    """Branch and bound, best bound first.

    Args:
        weight_g: int64[G].
        sites: the sites, each for one package at most.
        merged_g: int64[M], weights of the merged groups.
        merged: the sites with the merged groups.
        number: int64[G], merged group of each group.
        packages_max: packages of a plan, at most.
        heavy: int64[G], the groups, heaviest first.
        scarce: int64[M], the merged groups, those with fewest sites first.
        alike: int64[S], those with the same number are the same site, next to each other.
        target_g: int64[S], weight at which a site's line should be high.
        best: cost to beat.
        bound: scaled bound of all plans.
        share: one set of sites may take 1 / share of the work that is left.
        pick: int64[G], receives the site of each group if a plan is cheaper.
        work: int64[2], steps done and budget.

    Returns:
        Lowest cost, scaled bound.
    """
    may, _, _, _, _ = merged
    groups, width = len(merged_g), len(may)
    room = max(4, min(nodes_max, node_cells_max // (2 * width)))
    states = np.empty((room, width), np.int64)
    targets = np.empty((room, width), np.int64)
    bounds = np.empty(room, np.int64)
    state, target = np.zeros(width, np.int64), np.empty(width, np.int64)
    store(states, targets, bounds, 0, state, target_g, bound)
    relaxed = new_relaxed(groups, width)
    _, slack, _, _ = relaxed
    relaxed_pick, picked_g = np.empty(groups, np.int64), np.empty(width, np.int64)
    unsettled = infinite
    nodes = 1
    while nodes > 0 and work[0] < work[1]:
        parent = take(states, targets, bounds, nodes, state, target)
        nodes -= 1
        limit = (best - 1) << fraction_bits
        work[0] += node_work + nodes + 8 * width
        if parent > limit:
            continue
        if parent >= unsettled and unsettled > limit - (limit >> close_bits):
            # No bound can get better, and no plan much.
            store(states, targets, bounds, nodes, state, target, parent)
            nodes += 1
            break
        if packages_max < len(weight_g):
            work[0] += groups * width
            if packages_needed(may, state, scarce) > packages_max:
                continue
        own = relax(merged_g, merged, False, state, target, limit, 1, relaxed, work)
        if own > limit:
            continue
        packages = 0
        for s in range(width):
            packages += state[s] == opened
            if state[s] == maybe and own + slack[s] > limit:
                state[s] = closed
        if packages > packages_max:
            continue
        if packages == packages_max:
            for s in range(width):
                state[s] = opened if state[s] == opened else closed
        choose(merged, relaxed, state, relaxed_pick)
        found = picked_cost(merged_g, merged, packages_max, relaxed_pick, picked_g)
        if found < best:
            best = found
            for g in range(len(weight_g)):
                pick[g] = relaxed_pick[number[g]]
        branch = -1
        for s in range(width):
            if picked_g[s] > 0:
                target[s] = picked_g[s]
                most = branch < 0 or picked_g[s] > picked_g[branch]
                if state[s] == maybe and slack[s] == 0 and most:
                    branch = s
        proven = max(own, parent)
        if branch >= 0:
            while branch > 0 and alike[branch - 1] == alike[branch] and state[branch - 1] == maybe:
                branch -= 1
            if nodes + 2 > room:
                unsettled = min(unsettled, proven)
                continue
            state[branch] = opened
            store(states, targets, bounds, nodes, state, target, proven)
            for s in range(branch, width):
                if alike[s] == alike[branch]:
                    state[s] = closed
            store(states, targets, bounds, nodes + 1, state, target, proven)
            nodes += 2
            continue
        # The relaxed plan uses opened sites alone: settle them, then those and one more.
        rows, packages = np.empty(packages, np.int64), 0
        for s in range(width):
            if state[s] == opened:
                rows[packages] = s
                packages += 1
        if len(rows) <= chosen_max:
            best, left = solve_chosen(
                weight_g, sites, merged_g, merged, heavy, alike, rows, best, share, pick, work
            )
            unsettled = min(unsettled, max(proven, left))
        elif proven <= (best - 1) << fraction_bits:
            unsettled = min(unsettled, proven)
        for s in range(width):
            if state[s] != maybe:
                continue
            if s > 0 and alike[s - 1] == alike[s] and state[s - 1] != opened:
                state[s] = closed
                continue
            if nodes == room:
                unsettled = min(unsettled, proven)
                break
            state[s] = opened
            least = max(proven, own + slack[s])
            store(states, targets, bounds, nodes, state, target, least)
            state[s] = closed
            nodes += 1
    bound = unsettled
    for node in range(nodes):
        bound = min(bound, bounds[node])
    return best, bound
