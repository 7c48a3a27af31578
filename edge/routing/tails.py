"""Distributions, told by quantiles, made into the rows that `lateness` looks up in.

The sum of two independent durations is their convolution: the narrower of the two is put on a
lattice, each lattice point with the mass of the bin about it, and the other's distribution
function is summed over it with these weights. Between the lattice's points the line is straight:
a moment is right to within a bin. All of it in integers (parts per million), so that the rows,
and plans, are the same on every machine.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Table, Tails, kernel
from edge.routing.lateness import bins, edges, middle, one_ppm, starts, step_bits


@kernel
def chance_ppm(spread: Ints, levels: Ints, x: int) -> int:
    """P(duration <= x), parts per million.

    Args:
        spread: minutes at the levels, ascending.
        levels: parts per million, ascending from 0 to all.
        x: minutes.
    """
    if x < spread[0]:
        return 0
    last = len(spread) - 1
    if x >= spread[last]:
        return one_ppm
    i = 0
    while spread[i + 1] <= x:
        i += 1
    rise = levels[i + 1] - levels[i]
    return int(levels[i] + rise * (x - spread[i]) // (spread[i + 1] - spread[i]))


@kernel
def tabulated(ones: Table, others: Table, levels: Ints) -> Tails:
    """The rows of sums of durations, see `lateness`.

    Args:
        ones: int64[R, L], one duration of each row: minutes at the levels.
        others: likewise, the other.
        levels: int64[L], parts per million.
    """
    rows, last = len(ones), len(levels) - 1
    table = np.empty((rows, edges + 2 * (bins + 1)), np.int32)
    below = np.empty(bins + 1, np.int64)
    mass = np.empty(bins + 2, np.int64)
    late = np.empty(bins + 1, np.int64)
    for r in range(rows):
        narrow, wide = ones[r], others[r]
        if narrow[last] - narrow[0] > wide[last] - wide[0]:
            narrow, wide = wide, narrow
        reach = narrow[last] - narrow[0]
        bits = 0
        while bins << bits < reach + wide[last] - wide[0]:
            bits += 1
        step = 1 << bits
        points = (reach + step - 1) // step + 1
        upto = 0
        for k in range(points):
            next_upto = chance_ppm(narrow, levels, narrow[0] + k * step + step // 2)
            if k == points - 1:
                next_upto = one_ppm
            mass[k] = next_upto - upto
            upto = next_upto
        for i in range(bins + 1):
            below[i] = chance_ppm(wide, levels, wide[0] + i * step)
        half = bins
        for i in range(bins + 1):
            total = 0
            for k in range(min(i + 1, points)):
                total += mass[k] * below[i - k]
            late[i] = one_ppm - total // one_ppm
            if late[i] <= one_ppm // 2:
                half = min(half, i)
        table[r, starts] = narrow[0] + wide[0]
        table[r, step_bits] = bits
        table[r, middle] = narrow[0] + wide[0] + half * step
        beyond = 0  # in millionths of a second
        for i in range(bins, -1, -1):
            if i < bins:
                beyond += (late[i] + late[i + 1]) * step * 30  # a trapezoid
            table[r, edges + 2 * i] = late[i]
            table[r, edges + 2 * i + 1] = beyond // one_ppm
    return table
