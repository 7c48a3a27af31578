"""The exact optimum for small orders, by dynamic programming over sets of groups.

A set of groups is a bit mask. First the cheapest package of every set is found, then the
cheapest way to cut the whole order into sets: the package that holds the lowest group of
what is left is chosen, and what is left after it is a smaller case of the same kind
(the set-partition recursion of Held & Karp 1962; about 3^(G-1) / 2 steps). Nothing is
assumed about the shape of the tariffs.

Ties. Of all plans of least cost the answer is the one with the fewest packages, and of
those the one whose list of (option, set as bit mask) in order of packages is
lexicographically smallest. Both recursions respect this order, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

groups_exact_max = 10
"""Up to so many groups an order is solved by this and nothing else."""
groups_possible_max = 14
"""Up to so many it still takes few milliseconds, which ``large`` mostly does without."""
steps_possible_max = 1 << 23
"""Options times sets of groups, likewise."""

# Cost and option, or cost and number of packages, share one integer, so that one
# comparison decides both. Costs stay below 2^42 (problem.plan_cost_max).
option_bits = 16
package_bits = 4
infinite = 1 << 58

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile with the entry that calls it; keeps the type of the function."""
    return cast("Function", njit(function))


def entry(signature: str) -> Callable[[Function], Function]:
    """Compile at import for one signature, or load from the cache."""
    return cast("Callable[[Function], Function]", njit(signature, cache=True))


@kernel
def cheapest_packages(
    weight_g: NDArray[np.int64],
    can: NDArray[np.bool_],
    assign: NDArray[np.int64],
    fixed: NDArray[np.int64],
    tariff: NDArray[np.int64],
    step_g: NDArray[np.int64],
    step_price: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Cheapest package of every set: int64[2^G] of ``cost << option_bits | option``.

    Entries at or above ``infinite`` mean that no option can ship the set.
    """
    groups, tariffs, size = len(weight_g), len(step_g), 1 << len(weight_g)
    # Options in order of tariff, so that a tariff's prices are looked up once; options
    # that can ship nothing are left out.
    end = np.zeros(tariffs + 1, np.int64)
    whole = np.zeros(len(fixed), np.int64)  # the set of all groups that an option can ship
    alike = np.empty(len(fixed), np.bool_)  # whether it costs the same whatever it ships
    for o in range(len(fixed)):
        assigned = 0
        for g in range(groups):
            whole[o] |= can[o, g] << g
            assigned |= assign[o, g]
        alike[o] = assigned == 0
        end[tariff[o] + 1] += whole[o] > 0
    for t in range(tariffs):
        end[t + 1] += end[t]
    order = np.empty(end[tariffs], np.int64)
    place = end.copy()
    for o in range(len(fixed)):
        if whole[o]:
            order[place[tariff[o]]] = o
            place[tariff[o]] += 1

    best = np.full(size, infinite, np.int64)
    price = np.empty(size, np.int64)
    sums = np.empty(size, np.int64)
    load_g = np.zeros(size, np.int64)
    for g in range(groups):
        half = 1 << g
        for chosen in range(half):
            load_g[half + chosen] = load_g[chosen] + weight_g[g]
    for t in range(tariffs):
        if end[t] == end[t + 1]:
            continue
        # Every loop over sets below is one that the compiler turns into vector code.
        price[:] = infinite
        for k in range(step_g.shape[1] - 1, -1, -1):
            bound_g, step = step_g[t, k], step_price[t, k] << option_bits
            for chosen in range(size):
                if load_g[chosen] <= bound_g:
                    price[chosen] = step
        for i in range(end[t], end[t + 1]):
            o = order[i]
            own = (fixed[o] << option_bits) + o
            if alike[o]:
                for chosen in range(len(best)):
                    offered = infinite if chosen & ~whole[o] else own + price[chosen]
                    best[chosen] = min(best[chosen], offered)
                continue
            sums[0] = own
            for g in range(groups):
                more = assign[o, g] << option_bits if can[o, g] else infinite
                half = 1 << g
                without, with_g = sums[:half], sums[half : 2 * half]
                for chosen in range(len(without)):
                    with_g[chosen] = without[chosen] + more
            for chosen in range(len(best)):
                best[chosen] = min(best[chosen], sums[chosen] + price[chosen])
    return best


@kernel
def cut(
    part: NDArray[np.int64],
    option: NDArray[np.int64],
    rest: NDArray[np.int64],
    value: NDArray[np.int64],
    first: NDArray[np.int64],
) -> None:
    """Cut every set that can be left over, and the whole order, at its lowest group.

    Args:
        part: int64[2^G], ``cost << package_bits | 1`` of every set as one package.
        option: int64[2^G], option of that package.
        rest: int64[2^G], value of what is left after the first package. The same array
            as ``value`` if the number of packages does not matter.
        value: int64[2^G], result: value of the best cut.
        first: int64[2^G], result: the first package of the best cut.
    """
    whole = len(part) - 1
    for index in range(1, len(part) // 2 + 1):
        # What is left never holds group 0, which is in the first package.
        left = 2 * index if 2 * index < whole else whole
        lowest = left & -left
        others = left ^ lowest
        lower_value, lower_first = infinite, 0
        sub = others
        while True:
            chosen = sub | lowest
            total = part[chosen] + rest[left ^ chosen]
            # Sets come in falling order, so among equal options the last one wins.
            if total < lower_value or (
                total == lower_value and lower_first and option[chosen] <= option[lower_first]
            ):
                lower_value, lower_first = total, chosen
            if sub == 0:
                break
            sub = (sub - 1) & others
        value[left], first[left] = lower_value, lower_first


@entry(
    "Tuple((int64, int64[::1], int64[::1]))(int64[::1], boolean[:, ::1], int64[:, ::1],"
    "int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64, int64)",
)
def subset_plan(
    weight_g: NDArray[np.int64],
    can: NDArray[np.bool_],
    assign: NDArray[np.int64],
    fixed: NDArray[np.int64],
    tariff: NDArray[np.int64],
    step_g: NDArray[np.int64],
    step_price: NDArray[np.int64],
    split_cost: int,
    packages_max: int,
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Cheapest plan of a problem with at most ``groups_possible_max`` groups.

    Args: the fields of ``Problem``.

    Returns:
        Cost (-1 if there is no plan), package of each group int64[G], option of each
        package int64[P].
    """
    groups = len(weight_g)
    size = 1 << groups
    best = cheapest_packages(weight_g, can, assign, fixed, tariff, step_g, step_price)
    part = np.full(size, infinite, np.int64)
    option = np.zeros(size, np.int64)
    for chosen in range(1, size):
        if best[chosen] < infinite:
            part[chosen] = (((best[chosen] >> option_bits) + split_cost) << package_bits) + 1
            option[chosen] = best[chosen] & ((1 << option_bits) - 1)

    value = np.full(size, infinite, np.int64)
    value[0] = 0
    first = np.zeros((groups + 1, size), np.int64)
    level = 0
    cut(part, option, value, value, first[0])
    if value[size - 1] < infinite and value[size - 1] % (1 << package_bits) > packages_max:
        # Only now does the number of packages matter: one layer for "at most n".
        rest = np.full(size, infinite, np.int64)
        rest[0] = 0
        for n in range(1, packages_max + 1):
            level = n
            cut(part, option, rest, value, first[n])
            rest, value = value, rest
            value[0] = 0
        rest, value = value, rest

    package = np.full(groups, -1, np.int64)
    if value[size - 1] >= infinite:
        return -1, package, option[:0]
    cost = (value[size - 1] >> package_bits) - split_cost
    packages = 0
    plan_option = np.empty(groups, np.int64)
    left = size - 1
    while left:
        chosen = first[level, left]
        level = max(level - 1, 0)
        for g in range(groups):
            if chosen >> g & 1:
                package[g] = packages
        plan_option[packages] = option[chosen]
        packages += 1
        left ^= chosen
    return cost, package, plan_option[:packages]
