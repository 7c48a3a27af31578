"""Fences: why an option may not ship a group, one bit each.

The lower a bit, the sooner a plan could break that fence: the highest bit of the smallest mask
is what kept a node, or a line, out. What is above `relaxable` nobody can break: what is not on
the shelf cannot be shipped.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge.routing.kernel import Ints, Table, kernel

walk_in = 1 << 0
tier_promise = 1 << 1
required_services = 1 << 2
forbidden_services = 1 << 3
required_nodes = 1 << 4
forbidden_nodes = 1 << 5
area = 1 << 6
goods_class = 1 << 7
carrier_limit = 1 << 8
capacity = 1 << 9
share = 1 << 10
failed_before = 1 << 11
packages_max = 1 << 12
split_allowed = 1 << 13
"""The last two fence in the plan as a whole; no option has them."""

NAMES: Final = (
    "walk_in", "tier_promise", "required_services", "forbidden_services", "required_nodes",
    "forbidden_nodes", "area", "goods_class", "carrier_limit", "capacity", "share",
    "failed_before", "packages_max", "split_allowed",
)  # fmt: skip
"""By bit, the lowest first."""

relaxable: Final = goods_class - 1
"""Fences of options that a plan could break."""
breakable: Final = relaxable | packages_max | split_allowed
"""And those of the plan as a whole."""


def names_of(mask: int) -> list[str]:
    """The fences of a mask."""
    return [name for i, name in enumerate(NAMES) if mask >> i & 1]


def name_of(mask: int) -> str:
    """The fence that keeps an option out first: the hardest of its mask."""
    return NAMES[mask.bit_length() - 1]


@kernel
def fence_masks(
    shares: Table,
    reserve: Ints,
    demand: Ints,
    starts: Ints,
    weight_g: Ints,
    classes: Ints,
    column: Ints,
    limit_g: Ints,
    ability: Ints,
    of_option: Ints,
) -> Table:
    """Why each option may not ship each group: int64[O, G], 0 where it may.

    Args:
        shares: int64[E, C], units of each entry (a SKU within a group) by column.
        reserve: int64[C], units of each SKU that are left for who walks in.
        demand: int64[E], units wanted.
        starts: int64[G + 1], first entry of each group.
        weight_g: int64[G].
        classes: int64[G], bits of the classes of goods.
        column: int64[O], of the shares; where one is repeated in a run, it is looked at once.
        limit_g: int64[O], heaviest package.
        ability: int64[O], bits of the classes that it can take.
        of_option: int64[O], fences that keep the option out whatever it is to ship.
    """
    options, groups = len(column), len(weight_g)
    masks = np.empty((options, groups), np.int64)
    stocked = np.zeros(groups, np.int64)
    for o in range(options):
        c = column[o]
        if o == 0 or c != column[o - 1]:
            for g in range(groups):
                bits = 0
                for e in range(starts[g], starts[g + 1]):
                    if shares[e, c] < demand[e]:
                        bits |= share
                    elif shares[e, c] - reserve[c] < demand[e]:
                        bits |= walk_in
                stocked[g] = bits
        for g in range(groups):
            bits = of_option[o] | stocked[g]
            if weight_g[g] > limit_g[o]:
                bits |= carrier_limit
            if classes[g] & ~ability[o]:
                bits |= goods_class
            masks[o, g] = bits
    return masks
