"""Groups into packages whose steps are given.

All but what the groups cost is then known. What is left is a generalised assignment problem:
few packages with room, a cost for each group in each, and a depth-first search in which each
set of packages must keep room for the groups that may go nowhere else (Hall's condition).
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Steps, Table, kernel
from edge.routing.reach import highest_sum, sums_after, unit_of
from edge.routing.relaxation import fraction_bits, infinite
from edge.routing.sites import forbidden
from edge.routing.tolls import better_tolls

places_max = 8_000
"""Steps of one depth-first search, if it may take all the work that is left."""
sets_max = 7
"""Room is compared with need for all sets of this many packages."""
words_max = 1 << 16
"""Of the table of sums that a search looks ahead in."""


@kernel
def sum_needs(weight_g: Ints, mask: Ints, need_g: Ints) -> None:
    """``need_g`` int64[2^n]: weight of the groups that must be in each set of packages."""
    for chosen in range(len(need_g)):
        need_g[chosen] = 0
    for g in range(len(mask)):
        if mask[g] < len(need_g):
            need_g[mask[g]] += weight_g[g]
    half = 1
    while half < len(need_g):
        for chosen in range(len(need_g)):
            if chosen & half:
                need_g[chosen] += need_g[chosen ^ half]
        half *= 2


@kernel
def place_groups(
    weight_g: Ints,
    cost: Table,
    mask: Ints,
    order: Ints,
    room_g: Ints,
    slack_g: Ints,
    toll: Ints,
    alike: Ints,
    spare: int,
    scaled_spare: int,
    places: int,
    place: Ints,
    work: Ints,
) -> int:
    """Put the groups into packages with some room each, at less than the spare cost.

    Args:
        weight_g: int64[G].
        cost: int64[G, P], ``forbidden`` where it may not be.
        mask: int64[G], set of packages that may hold a group.
        order: int64[G], order in which the groups are placed.
        room_g: int64[P], room of each package.
        slack_g: int64[2^n], room of each set of the first packages beyond what must be in it.
        toll: int64[P].
        alike: int64[P], packages with the same number are the same site.
        spare: the groups may cost less than this over the least they can.
        scaled_spare: the same for the bound with tolls.
        places: steps, at most, beyond one a group.
        place: int64[G], receives the package of each group.
        work: int64[1].

    Returns:
        1 if placed, 0 if that is impossible, -1 if it is not known.
    """
    groups, packages = cost.shape
    tried = np.zeros((groups + 1, packages), np.int64)
    least = np.empty(groups, np.int64)
    least_toll = np.empty(groups, np.int64)
    for g in range(groups):
        least[g], least_toll[g] = infinite, infinite
        for i in range(packages):
            if cost[g, i] < forbidden:
                least[g] = min(least[g], cost[g, i])
                value = (cost[g, i] << fraction_bits) + toll[i] * weight_g[g]
                least_toll[g] = min(least_toll[g], value)
    over, over_toll, forced = 0, 0, 0
    while forced < groups and mask[order[forced]] & (mask[order[forced]] - 1) == 0:
        g, i = order[forced], 0
        while mask[g] >> i > 1:
            i += 1
        place[g] = i
        room_g[i] -= weight_g[g]
        over += cost[g, i] - least[g]
        over_toll += (cost[g, i] << fraction_bits) + toll[i] * weight_g[g] - least_toll[g]
        if room_g[i] < 0 or not mask[g]:
            return 0
        forced += 1
    if over >= spare or over_toll >= scaled_spare:
        return 0
    unit = unit_of(weight_g)
    room, weight = np.empty(packages, np.int64), np.empty(groups, np.int64)
    waste_max, top = 0, 0
    for i in range(packages):
        room[i] = room_g[i] // unit
        waste_max += room[i]
        top = max(top, room[i])
    for g in range(groups):
        weight[g] = weight_g[g] // unit
    for depth in range(forced, groups):
        waste_max -= weight[order[depth]]
    if waste_max < 0:
        return 0
    # What is left is known for the last groups; the first ones can reach nearly everything.
    known = max(forced, groups - words_max * places // places_max // (packages * ((top >> 6) + 1)))
    sums = sums_after(weight, mask, order[known:], room)
    work[0] += 3 * sums.size
    depth, fresh = forced, True
    for _ in range(places + groups):
        if depth == groups:
            return 1
        work[0] += 8 * packages
        g = order[depth]
        best, best_value, best_left = -1, infinite, -1
        dead = False
        if fresh and depth >= known:
            work[0] += 8 * packages
            waste = 0
            for i in range(packages):
                free = room_g[i] // unit
                waste += free - highest_sum(sums, (depth - known) * packages + i, free)
            dead = waste > waste_max
            work[0] += waste >> 4  # words of 64 bits, looked at one by one
        for i in range(packages):
            if dead or tried[depth, i] or room_g[i] < weight_g[g] or not mask[g] >> i & 1:
                continue
            value = (cost[g, i] << fraction_bits) + toll[i] * weight_g[g] - least_toll[g]
            if over + cost[g, i] - least[g] >= spare or over_toll + value >= scaled_spare:
                continue
            if value > best_value:
                continue
            left = room_g[i]
            bit = 1 << i
            if bit < len(slack_g):
                work[0] += len(slack_g) - bit
                for chosen in range(bit, len(slack_g)):
                    if chosen & bit and mask[g] & ~chosen:
                        left = min(left, slack_g[chosen])
            if left >= weight_g[g] and (value < best_value or left > best_left):
                best, best_value, best_left = i, value, left
        moved, sign = best, -1
        if best >= 0:
            for i in range(packages):
                if alike[i] == alike[best] and room_g[i] == room_g[best]:
                    tried[depth, i] = 1
                tried[depth + 1, i] = 0
            tried[depth, best] = 1
            place[g] = best
            depth += 1
            fresh = True
        else:
            fresh = False
            if depth == forced:
                return 0
            depth -= 1
            g = order[depth]
            moved, sign = place[g], 1
        room_g[moved] += sign * weight_g[g]
        over -= sign * (cost[g, moved] - least[g])
        value = (cost[g, moved] << fraction_bits) + toll[moved] * weight_g[g] - least_toll[g]
        over_toll -= sign * value
        for chosen in range(1 << moved, len(slack_g)):
            if chosen >> moved & 1 and mask[g] & ~chosen:
                slack_g[chosen] += sign * weight_g[g]
    return -1


@kernel
def narrow(
    weight_g: Ints,
    cost: Table,
    heavy: Ints,
    toll: Ints,
    spare: int,
    scaled_spare: int,
    mask: Ints,
    order: Ints,
) -> None:
    """Leave out what costs a group more than there is to spare.

    ``mask`` int64[G] receives the packages left, ``order`` int64[G] the groups, those with
    fewest packages first, the heaviest first among them.
    """
    groups, packages = cost.shape
    ways = np.zeros(groups, np.int64)
    for g in range(groups):
        low, low_toll, mask[g] = infinite, infinite, 0
        for i in range(packages):
            if cost[g, i] < forbidden:
                low = min(low, cost[g, i])
                low_toll = min(low_toll, (cost[g, i] << fraction_bits) + toll[i] * weight_g[g])
        for i in range(packages):
            value = (cost[g, i] << fraction_bits) + toll[i] * weight_g[g] - low_toll
            if cost[g, i] < forbidden and cost[g, i] - low < spare and value < scaled_spare:
                mask[g] |= 1 << i
                ways[g] += 1
    end = 0
    for count in range(1, packages + 1):
        for g in heavy:
            if ways[g] == count:
                order[end] = g
                end += 1


@kernel
def heaviest_first(mask: Ints, heavy: Ints, order: Ints) -> None:
    """Order the groups by weight alone, but those first that have one package left."""
    end = 0
    for forced in range(2):
        for g in heavy:
            if (mask[g] & (mask[g] - 1) == 0) == (forced == 0):
                order[end] = g
                end += 1


@kernel
def settle(
    weight_g: Ints,
    cost: Table,
    heavy: Ints,
    steps: Steps,
    caps_g: Ints,
    toll: Ints,
    alike: Ints,
    flat: bool,
    bound: int,
    best: int,
    places: int,
    place: Ints,
    work: Ints,
) -> tuple[int, int]:
    """Cheapest plan whose packages have given steps at most.

    Args:
        weight_g: int64[G].
        cost: int64[G, P], ``forbidden`` where it may not be.
        heavy: int64[G], the groups, heaviest first.
        steps: the packages' steps; their last ones are those they may have at most.
        caps_g: int64[2^n], weight that each set of the first packages can hold.
        toll: int64[P], tolls that are good for any steps.
        alike: int64[P], packages with the same number are the same site.
        flat: whether the groups cost the same wherever they are.
        bound: scaled bound of such plans.
        best: cost to beat.
        places: steps of a depth-first search, beyond one a group.
        place: int64[G], receives the package of each group.
        work: int64[2], steps done and budget.

    Returns:
        The lower of ``best`` and the cost, ``place`` being the plan then; a scaled bound of
        what was not settled.
    """
    first, step, cap_g, price = steps
    groups, packages = cost.shape
    own_toll, room_g, load_g = toll.copy(), np.empty(packages, np.int64), toll.copy()
    slack_g, need_g = np.empty(len(caps_g), np.int64), np.empty(len(caps_g), np.int64)
    mask, order = np.empty(groups, np.int64), np.empty(groups, np.int64)
    trial = np.empty(groups, np.int64)
    least, least_toll, cap_all_g = 0, 0, 0
    if not flat:
        work[0] += 50 * groups * packages
        limit = (best - 1) << fraction_bits
        bound = max(
            bound, better_tolls(weight_g, cost, (step, step, cap_g, price), limit, own_toll)
        )
        if bound > limit:
            return best, infinite
    for g in range(groups):
        low, low_toll = infinite, infinite
        for i in range(packages):
            if cost[g, i] < forbidden:
                low = min(low, cost[g, i])
                value = (cost[g, i] << fraction_bits) + own_toll[i] * weight_g[g]
                low_toll = min(low_toll, value)
        least += low
        least_toll += low_toll
        cap_all_g -= weight_g[g]
    lowest = own_toll[0]
    for i in range(packages):
        lowest = min(lowest, own_toll[i])
        least += price[step[i]]
        least_toll += (price[step[i]] << fraction_bits) - own_toll[i] * cap_g[step[i]]
        cap_all_g += cap_g[step[i]]
    # All caps are paid back, also what must stay empty.
    least_toll += lowest * cap_all_g
    bound = max(bound, max(least << fraction_bits, least_toll))
    while bound <= (best - 1) << fraction_bits:
        for i in range(packages):
            room_g[i] = cap_g[step[i]]
            load_g[i] = -1
        spare, scaled_spare = best - least, (best << fraction_bits) - least_toll
        narrow(weight_g, cost, heavy, own_toll, spare, scaled_spare, mask, order)
        sum_needs(weight_g, mask, need_g)
        work[0] += 6 * groups * packages + 8 * len(need_g)
        for chosen in range(len(caps_g)):
            slack_g[chosen] = caps_g[chosen] - need_g[chosen]
            if slack_g[chosen] < 0:
                return best, infinite
        found = -1
        for turn in range(2):
            if found >= 0:
                break
            if turn == 1:
                heaviest_first(mask, heavy, order)
                for i in range(packages):
                    room_g[i] = cap_g[step[i]]
                for chosen in range(len(caps_g)):
                    slack_g[chosen] = caps_g[chosen] - need_g[chosen]
            found = place_groups(
                weight_g,
                cost,
                mask,
                order,
                room_g,
                slack_g,
                own_toll,
                alike,
                spare,
                scaled_spare,
                places if turn == 1 else min(places, places_max // 8),
                trial,
                work,
            )
        if found < 1:
            return best, infinite if found == 0 else bound
        total = 0
        for g in range(groups):
            total += cost[g, trial[g]]
            load_g[trial[g]] = max(0, load_g[trial[g]]) + weight_g[g]
        for i in range(packages):
            if load_g[i] >= 0:
                k = first[i]
                while cap_g[k] < load_g[i]:
                    k += 1
                total += price[k]
        if total >= best:
            # Lighter is dearer here, which the steps as upper limits do not say.
            return best, bound
        best = total
        for g in range(groups):
            place[g] = trial[g]
    return best, infinite
