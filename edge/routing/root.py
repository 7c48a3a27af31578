"""What branch and bound starts from: a first plan, a first bound, and what may be left out."""

from __future__ import annotations

import numpy as np

from edge.routing.improve import improve, over_limit
from edge.routing.kernel import Ints, Relaxed, Sites, kernel
from edge.routing.relaxation import choose, fraction_bits, infinite, relax
from edge.routing.sites import packages_worth

root_rounds = 6
copies_max = 8
"""Packages on one site in branch and bound, at most."""


@kernel
def new_relaxed(groups: int, sites: int) -> Relaxed:
    """Room for a relaxed problem."""
    return (
        np.empty((groups, sites), np.int64),
        np.empty(sites, np.int64),
        np.empty(sites, np.int64),
        np.empty(groups, np.int64),
    )


@kernel
def search_root(
    weight_g: Ints,
    sites: Sites,
    merged_g: Ints,
    merged: Sites,
    number: Ints,
    packages_max: int,
    heavy: Ints,
    target_g: Ints,
    package: Ints,
    site: Ints,
    slack: Ints,
    intercept: Ints,
    work: Ints,
) -> tuple[int, int]:
    """A first plan, ``package`` and ``site``, and bound, with its slacks and intercepts.

    Returns:
        Cost (``over_limit`` or more: no plan), scaled bound.
    """
    groups, width = len(weight_g), len(sites[0])
    relaxed = new_relaxed(len(merged_g), width)
    merged_pick = np.empty(len(merged_g), np.int64)
    _, own_slack, own_intercept, _ = relaxed
    pick, picked_g = np.empty(groups, np.int64), np.empty(width, np.int64)
    best, bound, limit = infinite, -1, infinite
    for _ in range(root_rounds):
        state = np.zeros(width, np.int64)
        found = relax(merged_g, merged, True, state, target_g, limit, 2, relaxed, work)
        if found > bound:
            bound = found
            for s in range(width):
                slack[s], intercept[s] = own_slack[s], own_intercept[s]
        if bound > limit:
            break
        choose(merged, relaxed, state, merged_pick)
        for g in range(groups):
            pick[g] = merged_pick[number[g]]
        best = improve(weight_g, sites, packages_max, heavy, pick, best, package, site, work)
        if best < over_limit:
            limit = (best - 1) << fraction_bits
        for s in range(width):
            picked_g[s] = 0
        for g in range(groups):
            picked_g[pick[g]] += weight_g[g]
        changed = False
        for s in range(width):
            if picked_g[s] > 0 and target_g[s] != picked_g[s]:
                target_g[s] = picked_g[s]
                changed = True
        if bound > limit or not changed or work[0] > work[1]:
            break
    return best, bound


@kernel
def count_copies(
    weight_g: Ints,
    sites: Sites,
    packages_max: int,
    slack: Ints,
    intercept: Ints,
    bound: int,
    best: int,
    copies: Ints,
) -> int:
    """How many packages a plan below the best cost may have on each site, as ``copies``.

    Returns:
        Scaled bound of the plans with more packages on a site than ``copies_max``.
    """
    may, _, start, cap_g, price = sites
    groups = len(weight_g)
    more, limit = infinite, (best - 1) << fraction_bits
    for s in range(len(may)):
        copies[s] = 0
        reach_g = 0
        for g in range(groups):
            if may[s, g]:
                reach_g += weight_g[g]
        most = min(packages_max, groups)
        most = packages_worth(cap_g, price, start[s], start[s + 1], reach_g, most)
        # The duals pay for the first package less its slack, and for no other.
        least = bound + slack[s]
        while copies[s] < most and least <= limit:
            if copies[s] == copies_max:
                more = min(more, least)
                break
            copies[s] += 1
            least += intercept[s]
    return more
