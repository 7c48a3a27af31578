"""Fences: why an option may not ship a group, one bit each.

The lower a bit, the sooner a plan could break that fence: the highest bit of the smallest mask
is what kept a node, or a line, out. What is above `relaxable` nobody can break: what is not on
the shelf cannot be shipped.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge.routing.kernel import Flags, Ints, Table, kernel

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
everything = (1 << 14) - 1

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


of_the_whole: Final = share | carrier_limit
"""Fences that keep a line out and may let a piece of it pass."""


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
    heaviest_g, any_class = 0, 0
    for g in range(groups):
        heaviest_g = max(heaviest_g, weight_g[g])
        any_class |= classes[g]
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
            masks[o, g] = of_option[o] | stocked[g]
        if heaviest_g > limit_g[o] or any_class & ~ability[o]:
            for g in range(groups):
                if weight_g[g] > limit_g[o]:
                    masks[o, g] |= carrier_limit
                if classes[g] & ~ability[o]:
                    masks[o, g] |= goods_class
    return masks


@kernel
def allowed(masks: Table, relaxed: int) -> tuple[Flags, Ints]:
    """Where no fence is left: bool[O, G], and how many options each group has, int64[G].

    Args:
        masks: int64[O, G].
        relaxed: fences that count for nothing.
    """
    options, groups = masks.shape
    can = np.empty((options, groups), np.bool_)
    count = np.zeros(groups, np.int64)
    for o in range(options):
        for g in range(groups):
            can[o, g] = masks[o, g] & ~relaxed == 0
            count[g] += can[o, g]
    return can, count


@kernel
def least_masks(masks: Table, first: Ints, relaxed: int) -> Ints:
    """What keeps nodes out: int64[K], the smallest mask of any option of each for any group.

    Args:
        masks: int64[O, G], the options of a node follow each other.
        first: int64[K + 1], first option of each node, and the end.
        relaxed: fences that count for nothing.
    """
    least = np.empty(len(first) - 1, np.int64)
    for k in range(len(least)):
        least[k] = everything
        for o in range(first[k], first[k + 1]):
            for g in range(masks.shape[1]):
                least[k] = min(least[k], masks[o, g] & ~relaxed)
    return least
