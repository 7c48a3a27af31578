"""Groups that no bound can tell apart become one.

Groups that may be on the same sites, and cost the same on all of them, differ in weight alone.
A bound that may divide them is the same for all of them as one group of their weights together;
only where packages are filled is each of them looked at again.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Sites, kernel

sites_merged_max = 62
"""Sites of a group are compared as bits of one integer; with more, nothing is merged."""


@kernel
def number_merged(sites: Sites, number: Ints) -> int:
    """The merged group of each group, as ``number`` int64[G]; returns how many there are."""
    may, assign, _, _, _ = sites
    width, groups = may.shape
    merged, mask_of = 0, np.empty(groups, np.int64)
    for g in range(groups):
        mask, cheapest, dearest = 0, -1, -1
        if width <= sites_merged_max:
            for s in range(width):
                if may[s, g]:
                    mask |= 1 << s
                    cheapest = assign[s, g] if cheapest < 0 else min(cheapest, assign[s, g])
                    dearest = max(dearest, assign[s, g])
        number[g] = merged
        if cheapest < dearest or mask == 0:
            mask_of[merged] = -1  # alone
            merged += 1
            continue
        for other in range(merged):
            if mask_of[other] == mask:
                number[g] = other
                break
        if number[g] == merged:
            mask_of[merged] = mask
            merged += 1
    return merged


@kernel
def merge_groups(weight_g: Ints, sites: Sites, number: Ints, merged: int) -> tuple[Ints, Sites]:
    """Weights of the merged groups, and the sites with these groups."""
    may, assign, start, cap_g, price = sites
    width, groups = may.shape
    if merged == groups:
        return weight_g.copy(), sites
    weight_all_g = np.zeros(merged, np.int64)
    may_all = np.zeros((width, merged), np.bool_)
    assign_all = np.zeros((width, merged), np.int64)
    for g in range(groups):
        weight_all_g[number[g]] += weight_g[g]
        for s in range(width):
            if may[s, g]:
                may_all[s, number[g]] = True
                assign_all[s, number[g]] += assign[s, g]
    return weight_all_g, (may_all, assign_all, start, cap_g, price)
