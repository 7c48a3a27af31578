"""Which weights a package can have at all, as sets of bits: the sums of some of its groups.

A room of 12 kg is worth less where no groups together weigh more than 11.4 kg. Bit n of a
row of words says that n units can be reached; a unit divides every weight (subset sums by
dynamic programming, Bellman 1957).
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Bits, Ints, Sites, kernel

words_max = 1 << 18
"""Words of all rows of a table; with more, nothing is looked up."""


@kernel
def unit_of(weight_g: Ints) -> int:
    """Greatest common divisor of some weights, 1 if all are 0."""
    unit = 0
    for g in range(len(weight_g)):
        a, b = unit, weight_g[g]
        while b > 0:
            a, b = b, a % b
        unit = a
    return max(1, unit)


@kernel
def add_sums(table: Bits, row: int, units: int) -> None:
    """Every sum of a row may have some units more."""
    words = table.shape[1]
    far = units >> 6
    near, back = np.uint64(units & 63), np.uint64(64 - (units & 63))
    for w in range(words - 1, far - 1, -1):
        more = table[row, w - far] << near
        if units & 63 and w > far:
            more |= table[row, w - far - 1] >> back
        table[row, w] |= more


@kernel
def highest_sum(table: Bits, row: int, units: int) -> int:
    """The highest sum of a row that is not above some units; sum 0 is always there."""
    w = units >> 6
    if w >= table.shape[1]:
        w, bit = table.shape[1] - 1, 63
    else:
        bit = units & 63
    word = table[row, w] << np.uint64(63 - bit)
    found = (w << 6) + bit
    while word == np.uint64(0):
        w -= 1
        word = table[row, w]
        found = (w << 6) + 63
    while not word >> np.uint64(63):
        word <<= np.uint64(1)
        found -= 1
    return int(found)


@kernel
def new_table(rows: int, room: Ints) -> Bits:
    """Rows for sums up to the largest room, each with the sum 0."""
    most = 0
    for i in range(len(room)):
        most = max(most, room[i])
    table = np.zeros((rows, (most >> 6) + 1), np.uint64)
    for row in range(rows):
        table[row, 0] = np.uint64(1)
    return table


@kernel
def sums_after(weight: Ints, mask: Ints, order: Ints, room: Ints) -> Bits:
    """Sums of what is left for each package, before each group is placed and after the last.

    Args:
        weight: int64[G], in units.
        mask: int64[G], set of packages where a group may be.
        order: int64[G], order in which the groups are placed.
        room: int64[P], in units.

    Returns:
        Row ``depth * P + i``: sums of groups ``order[depth:]`` in package i.
    """
    groups, packages = len(order), len(room)
    table = new_table((groups + 1) * packages, room)
    for depth in range(groups - 1, -1, -1):
        g = order[depth]
        for i in range(packages):
            row = depth * packages + i
            for w in range(table.shape[1]):
                table[row, w] = table[row + packages, w]
            if mask[g] >> i & 1 and weight[g] <= room[i]:
                add_sums(table, row, weight[g])
    return table


@kernel
def tighter_steps(weight_g: Ints, sites: Sites, work: Ints) -> tuple[Ints, Ints, Ints]:
    """Steps whose limits are the heaviest packages that some groups make.

    A step that no package pays is left out.

    Args:
        weight_g: int64[G].
        sites: the sites.
        work: int64[2], steps done and budget.

    Returns:
        int64[S + 1] first step of each site, int64[K] weight, int64[K] price.
    """
    may, _, start, cap_g, price = sites
    unit, steps = unit_of(weight_g), 0
    new_start = np.zeros(len(start), np.int64)
    new_cap_g, new_price = np.empty_like(cap_g), np.empty_like(price)
    for s in range(len(may)):
        first, end = start[s], start[s + 1]
        room = np.empty(1, np.int64)
        room[0] = cap_g[end - 1] // unit if end > first else 0
        words = len(weight_g) * ((room[0] >> 6) + 1)
        dense = words > words_max or work[0] + words > work[1]
        table = new_table(1, room[:0] if dense else room)
        lightest_g = room[0] * unit
        for g in range(len(weight_g)):
            if may[s, g]:
                lightest_g = min(lightest_g, weight_g[g])
                if not dense:
                    add_sums(table, 0, weight_g[g] // unit)
                    work[0] += table.shape[1] // 2
        reached_g = lightest_g - 1
        for k in range(first, end):
            top_g = cap_g[k] if dense else unit * highest_sum(table, 0, cap_g[k] // unit)
            if top_g > reached_g:
                new_cap_g[steps], new_price[steps] = top_g, price[k]
                reached_g = top_g
                steps += 1
        new_start[s + 1] = steps
    return new_start, new_cap_g[:steps].copy(), new_price[:steps].copy()
