"""Plans for large orders, with a proven bound, by branch and bound.

**Bound.** For an option, the tariff's steps lo..hi are replaced by a line ``a + b * w``
that lies on or below them. The problem becomes an uncapacitated facility location
problem: open options at ``fixed + a + toll``, assign groups at ``assign + b * w``. Its
bound is found by dual ascent and dual adjustment (Erlenkotter, "A dual-based procedure
for uncapacitated facility location", Operations Research 26, 1978). Several packages on
one option do no harm: ``b`` is kept so low that ``b * w`` never exceeds what a package of
weight ``w`` costs, so further packages cost at least their part of the line.

**Branching.** An option has a range of steps: no package on it is above step hi, and at
least one is at step lo or above (lo = -1: perhaps none; hi = -1: closed). A branch cuts
the range of the option that adds most to the gap; cutting at -1 opens or closes it.

**Plans.** Every relaxed solution is packed under the true tariffs and improved by moving
groups and by moving, merging and dissolving packages.

Everything is integer; the bound is in units of 2^-fraction_bits, and the budget counts
elementary steps, so the answer is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

fraction_bits = 18
infinite = 1 << 61
over_limit = 1 << 42  # more than any plan costs (problem.plan_cost_max)
forbidden = 1 << 46  # more still; thousands of them fit an int64
nodes_max = 1024
node_cells_max = 1 << 23
ascent_rounds = 10
line_work = 400  # steps that fitting one line is worth, measured
row_work = 200  # and the start of a pass over one row of options
adjust_rounds = 3
root_rounds_max = 12

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile with the entry that calls it; keeps the type of the function."""
    return cast("Function", njit(function))


def entry(signature: str) -> Callable[[Function], Function]:
    """Compile at import for one signature, or load from the cache."""
    return cast("Callable[[Function], Function]", njit(signature, cache=True))


class Case(NamedTuple):
    """The fields of ``Problem``, for some of its options."""

    weight_g: Ints
    can: Flags
    assign: Ints
    fixed: Ints
    tariff: Ints
    step_g: Ints
    step_price: Ints
    split_cost: int
    packages_max: int


class Plan(NamedTuple):
    """A plan under improvement; packages are the first ``size[0]`` entries.

    ``sums[p, o]`` is the assignment cost of package p on option o, at least
    ``forbidden`` if the option cannot ship one of its groups. ``work`` is the work done
    and the budget.
    """

    package: Ints
    option: Ints
    load_g: Ints
    members: Ints
    sums: Ints
    size: Ints
    work: Ints


@kernel
def price_of(case: Case, o: int, load_g: int) -> int:
    """Price and fixed cost of a package on an option, ``forbidden`` if too heavy."""
    t = case.tariff[o]
    for k in range(case.step_g.shape[1]):
        if load_g <= case.step_g[t, k]:
            return int(case.step_price[t, k] + case.fixed[o])
    return forbidden


@kernel
def package_cost(case: Case, plan: Plan, p: int, o: int) -> int:
    """Cost of package p if it were on option o."""
    if plan.sums[p, o] >= forbidden:
        return forbidden
    return int(plan.sums[p, o] + price_of(case, o, plan.load_g[p]))


@kernel
def splits_cost(case: Case, packages: int) -> int:
    """Split cost of a number of packages; those over the limit cost ``over_limit`` each."""
    return case.split_cost * (packages - 1) + over_limit * max(0, packages - case.packages_max)


@kernel
def shift(case: Case, plan: Plan, g: int, p: int, sign: int) -> None:
    """Put group g into package p (sign 1) or take it out (sign -1)."""
    plan.load_g[p] += sign * case.weight_g[g]
    plan.members[p] += sign
    for o in range(len(case.fixed)):
        plan.sums[p, o] += sign * (case.assign[o, g] if case.can[o, g] else forbidden)
    if sign > 0:
        plan.package[g] = p
    plan.work[0] += len(case.fixed)


@kernel
def open_package(plan: Plan, o: int) -> int:
    """Number of a new empty package on an option."""
    p = plan.size[0]
    plan.option[p], plan.load_g[p], plan.members[p] = o, 0, 0
    plan.sums[p, :] = 0
    plan.size[0] += 1
    return int(p)


@kernel
def remove_package(plan: Plan, p: int) -> None:
    """Remove an empty package; the last one takes its number."""
    last = plan.size[0] - 1
    plan.option[p], plan.load_g[p] = plan.option[last], plan.load_g[last]
    plan.members[p] = plan.members[last]
    plan.sums[p, :] = plan.sums[last, :]
    for g in range(len(plan.package)):
        if plan.package[g] == last:
            plan.package[g] = p
    plan.size[0] = last


@kernel
def pack(case: Case, plan: Plan, pick: Ints, heavy: Ints) -> None:
    """Packages for an assignment of groups to options: heaviest first into the first fit."""
    plan.size[0] = 0
    for g in heavy:
        o, p = pick[g], 0
        while p < plan.size[0] and (
            plan.option[p] != o or price_of(case, o, plan.load_g[p] + case.weight_g[g]) >= forbidden
        ):
            p += 1
        if p == plan.size[0]:
            open_package(plan, o)
        shift(case, plan, g, p, 1)


@kernel
def plan_cost(case: Case, plan: Plan) -> int:
    """Cost of the plan; ``over_limit`` or more if it breaks a limit."""
    cost = splits_cost(case, plan.size[0])
    for p in range(plan.size[0]):
        cost += package_cost(case, plan, p, plan.option[p])
    return cost


@kernel
def merge(case: Case, plan: Plan) -> bool:
    """Move a package to another option, or two into one, if that is cheaper."""
    options = len(case.fixed)
    p = 0
    changed = False
    while p < plan.size[0]:
        q = p
        while q < plan.size[0]:
            plan.work[0] += options
            if plan.work[0] > plan.work[1]:
                return False
            now = package_cost(case, plan, p, plan.option[p])
            load_g = plan.load_g[p]
            if q > p:
                load_g += plan.load_g[q]
                now += package_cost(case, plan, q, plan.option[q])
                now += splits_cost(case, plan.size[0]) - splits_cost(case, plan.size[0] - 1)
            best = -1
            for o in range(options):
                cost = plan.sums[p, o] + (plan.sums[q, o] if q > p else 0)
                if cost + case.fixed[o] < now:
                    cost += price_of(case, o, load_g)
                    if cost < now:
                        now, best = cost, o
            if best >= 0:
                changed = True
                plan.option[p] = best
                if q > p:
                    for g in range(len(plan.package)):
                        if plan.package[g] == q:
                            plan.package[g] = p
                    plan.load_g[p] = load_g
                    plan.members[p] += plan.members[q]
                    plan.sums[p, :] += plan.sums[q, :]
                    remove_package(plan, q)
                    continue
            q += 1
        p += 1
    return changed


@kernel
def move(case: Case, plan: Plan) -> bool:
    """Move a group to another package, or to a package of its own, if that is cheaper."""
    options = len(case.fixed)
    changed = False
    for g in range(len(plan.package)):
        p, w = plan.package[g], case.weight_g[g]
        home = plan.option[p]
        saved = price_of(case, home, plan.load_g[p]) + case.assign[home, g]
        packages = plan.size[0]
        if plan.members[p] == 1:
            saved += splits_cost(case, packages) - splits_cost(case, packages - 1)
        else:
            saved -= price_of(case, home, plan.load_g[p] - w)
        best, target, fresh = 0, -1, -1
        for q in range(packages):
            o = plan.option[q]
            if q != p and case.can[o, g]:
                cost = price_of(case, o, plan.load_g[q] + w) - price_of(case, o, plan.load_g[q])
                if cost + case.assign[o, g] - saved < best:
                    best, target = cost + case.assign[o, g] - saved, q
        if plan.members[p] > 1:
            extra = splits_cost(case, packages + 1) - splits_cost(case, packages) - saved
            for o in range(options):
                if case.can[o, g] and case.fixed[o] + case.assign[o, g] + extra < best:
                    cost = price_of(case, o, w) + case.assign[o, g] + extra
                    if cost < best:
                        best, fresh = cost, o
            plan.work[0] += options
        plan.work[0] += 4 * packages
        if best < 0:
            changed = True
            if fresh >= 0:
                target = open_package(plan, fresh)
            shift(case, plan, g, p, -1)
            shift(case, plan, g, target, 1)
            if plan.members[p] == 0:
                remove_package(plan, p)
    return changed


@kernel
def dissolve(case: Case, plan: Plan) -> bool:
    """Spread the groups of a package over the others, if that is cheaper."""
    groups = len(plan.package)
    load_g = np.empty(groups, np.int64)
    target = np.empty(groups, np.int64)
    for p in range(plan.size[0]):
        packages = plan.size[0]
        saved = package_cost(case, plan, p, plan.option[p])
        saved += splits_cost(case, packages) - splits_cost(case, packages - 1)
        load_g[:packages] = plan.load_g[:packages]
        for g in range(groups):
            if plan.package[g] != p:
                continue
            best, w = saved, case.weight_g[g]
            target[g] = -1
            for q in range(packages):
                o = plan.option[q]
                if q != p and case.can[o, g]:
                    cost = case.assign[o, g] - price_of(case, o, load_g[q])
                    cost += price_of(case, o, load_g[q] + w)
                    if cost < best:
                        best, target[g] = cost, q
            plan.work[0] += 4 * packages
            saved -= best
            if target[g] < 0 or saved <= 0:
                saved = 0
                break
            load_g[target[g]] += w
        if saved > 0:
            for g in range(groups):
                if plan.package[g] == p:
                    shift(case, plan, g, p, -1)
                    shift(case, plan, g, target[g], 1)
            remove_package(plan, p)
            return True
    return False


@kernel
def improve(case: Case, plan: Plan) -> None:
    """Local search until nothing helps or the budget is spent."""
    while plan.work[0] < plan.work[1] and (
        move(case, plan) or merge(case, plan) or dissolve(case, plan)
    ):
        pass


class Relaxation(NamedTuple):
    """A facility location problem and its dual, in units of 2^-fraction_bits.

    Options are closed by a cost of ``infinite``. ``reach_g[o]`` is the weight of all
    groups that the option can ship; no package on it is heavier.
    """

    cost: Ints  # [G, O] assignment cost, slope of the line included
    intercept: Ints  # [O] opening cost: fixed cost, toll and intercept of the line
    slope: Ints  # [O] per gram
    slack: Ints  # [O] opening cost that the duals do not pay yet
    dual: Ints  # [G]
    reach_g: Ints  # [O]
    work: Ints


@kernel
def fit_line(
    case: Case, o: int, lo: int, hi: int, reach_g: int, target_g: int, toll: int
) -> tuple[int, int]:
    """Opening cost and slope of a line on or below the tariff's steps lo..hi.

    Of all such lines it is the highest at ``target_g``, but for rounding, which is
    always down: the slope is chosen first, and the opening cost is exact for it.
    """
    t = case.tariff[o]
    bound_g, price = case.step_g[t], case.step_price[t]
    base = case.fixed[o] + toll
    slope = infinite
    for k in range(hi + 1):
        weight_g = min(bound_g[k], reach_g)
        if weight_g > 0:
            slope = min(slope, ((base + price[k]) << fraction_bits) // weight_g)
    if slope == infinite:
        slope = 0
    lo = max(lo, 0)
    target_g = min(target_g, reach_g)
    if target_g <= min(bound_g[hi], reach_g):
        # The lower convex hull at the target: the lowest chord across it.
        lowest, chord_slope = infinite, 0
        for j in range(lo, hi + 1):
            right_g = min(bound_g[j], reach_g)
            if right_g < target_g:
                continue
            for i in range(lo, j):
                left_g = min(bound_g[i], reach_g)
                if left_g < target_g and left_g < right_g:
                    chord = ((price[j] - price[i]) << fraction_bits) // (right_g - left_g)
                    height = (price[i] << fraction_bits) + chord * (target_g - left_g)
                    if height < lowest:
                        lowest, chord_slope = height, chord
            if bound_g[j] >= reach_g:
                break
        slope = min(slope, max(chord_slope, 0))
    opening = infinite
    for k in range(lo, hi + 1):
        weight_g = min(bound_g[k], reach_g)
        opening = min(opening, ((base + price[k]) << fraction_bits) - slope * weight_g)
    return opening, slope


@kernel
def raise_dual(cost: Ints, slack: Ints, dual: int, share: int) -> int:
    """Raise the dual of a group by 1/share of what the slacks allow."""
    top = infinite
    for o in range(len(cost)):
        top = min(top, max(cost[o], dual) + slack[o])
    if top <= dual:
        return dual
    raised = dual + (top - dual + share - 1) // share
    for o in range(len(cost)):
        slack[o] -= max(0, raised - max(cost[o], dual))
    return raised


@kernel
def adjust_duals(r: Relaxation, gap_max: int) -> None:
    """Lower one dual to free slack that lets others rise by more (Erlenkotter 1978)."""
    groups, options = r.cost.shape
    slack, dual = r.slack.copy(), r.dual.copy()
    for _ in range(adjust_rounds):
        gained = 0
        for g in range(groups):
            before = r.dual[g]
            payments, lower = 0, 0
            for o in range(options):
                if r.cost[g, o] < before:
                    lower = max(lower, r.cost[g, o])
                    payments += r.slack[o] == 0
            r.work[0] += options
            if payments < 2:
                continue
            slack[:], dual[:] = r.slack, r.dual
            for o in range(options):
                r.slack[o] += max(0, before - max(r.cost[g, o], lower))
            r.dual[g] = lower
            gain = lower - before
            for h in range(groups + 1):
                i = h if h < groups else g
                if h != g:
                    was = r.dual[i]
                    r.dual[i] = raise_dual(r.cost[i], r.slack, was, 1)
                    gain += r.dual[i] - was
            r.work[0] += groups * (options + row_work)
            if gain < 0:
                r.slack[:], r.dual[:] = slack, dual
            else:
                gained += gain
        gap_max -= gained
        if gained == 0 or gap_max < 0 or r.work[0] > r.work[1]:
            break


@kernel
def relax(
    case: Case, r: Relaxation, may: Flags, lo: Ints, hi: Ints, target_g: Ints, toll: int, limit: int
) -> int:
    """Lower bound of a node's plans, packages priced at ``toll`` each; fills ``r``.

    Args:
        case: The problem.
        r: Receives lines, costs and duals.
        may: bool[O, G], assignments that the node allows.
        lo: int64[O], lower end of the steps.
        hi: int64[O], upper end of the steps.
        target_g: int64[O], weight at which the line of an option should be highest.
        toll: Price of a package.
        limit: Above this the bound need not be improved.
    """
    groups, options = r.cost.shape
    bound = 0
    for o in range(options):
        r.slack[o] = infinite
        if hi[o] < 0:
            r.cost[:, o] = infinite
            continue
        r.work[0] += line_work
        a, b = fit_line(case, o, lo[o], hi[o], r.reach_g[o], target_g[o], toll)
        r.intercept[o], r.slope[o] = a, b
        limit_g = case.step_g[case.tariff[o], hi[o]]
        for g in range(groups):
            if may[o, g] and case.weight_g[g] <= limit_g:
                r.cost[g, o] = (case.assign[o, g] << fraction_bits) + b * case.weight_g[g]
            else:
                r.cost[g, o] = infinite
        r.slack[o] = 0 if lo[o] >= 0 else a
        if lo[o] >= 0:
            bound += a
    for g in range(groups):
        r.dual[g] = r.cost[g].min()
        if r.dual[g] >= infinite:
            return infinite
    for share in range(ascent_rounds, 0, -1):
        for g in range(groups):
            r.dual[g] = raise_dual(r.cost[g], r.slack, r.dual[g], share)
    r.work[0] += (ascent_rounds + 3) * groups * (options + row_work)
    if bound + r.dual.sum() <= limit:
        adjust_duals(r, limit - bound - r.dual.sum())
    return int(bound + r.dual.sum())


@kernel
def choose(r: Relaxation, lo: Ints, hi: Ints, pick: Ints) -> int:
    """Options for the groups by complementary slackness; returns how many are open."""
    groups, options = r.cost.shape
    opened = lo >= 0
    for only in (1, options):
        for g in range(groups):
            tight, best = 0, -1
            for o in range(options):
                if r.slack[o] == 0 and r.cost[g, o] <= r.dual[g] and hi[o] >= 0:
                    if opened[o]:
                        tight = options + 1
                    tight += 1
                    if best < 0 or r.cost[g, o] < r.cost[g, best]:
                        best = o
            if tight <= only:
                opened[best] = True
    for g in range(groups):
        pick[g] = -1
        for o in range(options):
            if opened[o] and (pick[g] < 0 or r.cost[g, o] < r.cost[g, pick[g]]):
                pick[g] = o
    r.work[0] += 3 * groups * (options + row_work)
    return int(opened.sum())


@kernel
def branch(
    case: Case, r: Relaxation, single: Flags, lo: Ints, hi: Ints, pick: Ints, toll: int
) -> tuple[int, int, int]:
    """The option that adds most to the gap, and where to cut.

    Returns:
        Option (-1 if no cut can close the gap), group to cut by (-1: cut the steps), last
        step of the lower half.
    """
    groups, options = r.cost.shape
    choices = np.zeros(groups, np.int64)
    for g in range(groups):
        choices[g] = (r.cost[g] < infinite).sum()
    best, option, group, step = -1, -1, -1, 0
    for o in range(options):
        if hi[o] < 0 or r.slack[o] > 0:
            continue
        load_g, overpaid, heaviest = 0, 0, -1
        for g in range(groups):
            if pick[g] != o:
                overpaid += max(0, r.dual[g] - r.cost[g, o])
                continue
            load_g += case.weight_g[g]
            if choices[g] > 1 and (heaviest < 0 or case.weight_g[g] > case.weight_g[heaviest]):
                heaviest = g
        bound_g = case.step_g[case.tariff[o]]
        k = 0
        while k <= hi[o] and load_g > bound_g[k]:
            k += 1
        price = case.step_price[case.tariff[o], min(k, hi[o])] + case.fixed[o] + toll
        rounding = (price << fraction_bits) - r.intercept[o] - r.slope[o] * load_g
        over = k > hi[o]
        if over:
            rounding = (price << fraction_bits) // 2
        gap = overpaid + max(0, rounding)
        cut = -1
        if not over and (rounding > overpaid or lo[o] >= 0):
            cut = k - 1 if k - 1 >= lo[o] else k
        by_group = (over and single[o]) or not lo[o] <= cut < hi[o]
        if gap > best and gap > 0 and not (by_group and heaviest < 0):
            best, option, step = gap, o, cut
            group = heaviest if by_group else -1
    return option, group, step


@kernel
def step_of(case: Case, o: int, load_g: int) -> int:
    """The option's step for a weight; one past the last column if too heavy."""
    for k in range(case.step_g.shape[1]):
        if load_g <= case.step_g[case.tariff[o], k]:
            return k
    return int(case.step_g.shape[1])


@kernel
def propagate(case: Case, r: Relaxation, single: Flags, may: Flags, lo: Ints, hi: Ints) -> bool:
    """Draw what follows from a node's limits; False if it has no plan.

    A group with one option left is on it. A single package that carries what must be on
    it has no room for what is too heavy beside it, and its step lies between the weight
    it must and the weight it may carry.
    """
    options, groups = may.shape
    forced_g = np.empty(options, np.int64)
    forced = np.full(groups, -1, np.int64)
    changed = True
    while changed:
        changed = False
        forced_g[:] = -1
        for g in range(groups):
            last, count = -1, 0
            for o in range(options):
                if may[o, g] and hi[o] >= 0:
                    last, count = o, count + 1
            if count == 0:
                return False
            if count == 1:
                forced[g] = last
                forced_g[last] = max(0, forced_g[last]) + case.weight_g[g]
        r.work[0] += 2 * groups * (options + row_work)
        for o in range(options):
            if hi[o] < 0:
                continue
            room_g = case.step_g[case.tariff[o], hi[o]]
            if single[o]:
                room_g -= max(0, forced_g[o])
                if room_g < 0:
                    return False
            reach_g, some = 0, False
            for g in range(groups):
                if may[o, g] and forced[g] != o and case.weight_g[g] > room_g:
                    may[o, g] = False
                    changed = True
                if may[o, g]:
                    reach_g += case.weight_g[g]
                    some = True
            r.reach_g[o] = reach_g
            hi[o] = min(hi[o], step_of(case, o, reach_g)) if some else -1
            if forced_g[o] >= 0:
                lo[o] = max(lo[o], step_of(case, o, forced_g[o]) if single[o] else 0)
            if lo[o] > hi[o]:
                return False
    return True


@kernel
def is_single(case: Case, o: int, hi: int, reach_g: int) -> bool:
    """Whether a second package on the option can never pay: one carries as much for less."""
    t = case.tariff[o]
    if case.step_g[t, hi] < reach_g:
        return False
    for i in range(hi + 1):
        for j in range(i + 1):
            both_g = min(case.step_g[t, i] + case.step_g[t, j], reach_g)
            dearest = case.step_price[t, : step_of(case, o, both_g) + 1].max()
            apart = case.step_price[t, i] + case.step_price[t, j]
            if dearest > apart + case.fixed[o] + case.split_cost:
                return False
    return True


@kernel
def drop_dear(r: Relaxation, may: Flags, hi: Ints, bound: int, limit: int) -> None:
    """Forbid what would lift the bound above the limit (reduced cost fixing)."""
    options, groups = may.shape
    for o in range(options):
        if hi[o] >= 0 and bound + r.slack[o] > limit:
            hi[o] = -1
        for g in range(groups):
            if hi[o] < 0 or bound + r.slack[o] + max(0, r.cost[g, o] - r.dual[g]) > limit:
                may[o, g] = False


@kernel
def keep_better(case: Case, plan: Plan, best: Ints, option: Ints, cost: int) -> int:
    """Remember the plan if it is allowed and cheaper than ``cost``; the lower cost."""
    found = plan_cost(case, plan)
    if found < min(cost, over_limit):
        best[:] = plan.package
        option[: plan.size[0]] = plan.option[: plan.size[0]]
        return found
    return cost


@kernel
def new_plan(groups: int, options: int, work: Ints) -> Plan:
    """An empty plan with room for every group in a package of its own, and one spare."""
    room = groups + 1
    return Plan(
        np.zeros(groups, np.int64),
        np.zeros(room, np.int64),
        np.zeros(room, np.int64),
        np.zeros(room, np.int64),
        np.empty((room, options), np.int64),
        np.zeros(1, np.int64),
        work,
    )


@kernel
def new_relaxation(groups: int, reach_g: Ints, work: Ints) -> Relaxation:
    """Room for the relaxations of one problem."""
    options = len(reach_g)
    return Relaxation(
        np.empty((groups, options), np.int64),
        np.zeros(options, np.int64),
        np.zeros(options, np.int64),
        np.zeros(options, np.int64),
        np.zeros(groups, np.int64),
        reach_g,
        work,
    )


@kernel
def search(
    case: Case,
    r: Relaxation,
    single: Flags,
    hi: Ints,
    target_g: Ints,
    extra: int,
    bound: int,
    cost: int,
    package: Ints,
    option: Ints,
    heavy: Ints,
) -> tuple[int, int]:
    """Branch and bound, best bound first. Returns the lowest cost and the bound."""
    options, groups = case.can.shape
    work = r.work
    room = max(3, min(nodes_max, node_cells_max // (options * (groups + 24))))
    lows = np.empty((room, options), np.int64)
    highs = np.empty((room, options), np.int64)
    targets = np.empty((room, options), np.int64)
    allowed = np.empty((room, options, groups), np.bool_)
    bounds = np.empty(room, np.int64)
    lows[0, :], highs[0, :], targets[0, :], bounds[0] = -1, hi, target_g, bound
    allowed[0] = case.can
    nodes = 1
    plan = new_plan(groups, options, work)
    pick = np.empty(groups, np.int64)
    toll = case.split_cost + extra
    constant = (case.split_cost + extra * case.packages_max) << fraction_bits
    unresolved = infinite
    while nodes > 0 and work[0] < work[1]:
        # Short of room the search dives: the newest node instead of the most promising.
        node = np.argmin(bounds[:nodes]) if 2 * nodes < room else nodes - 1
        limit = (cost - 1) << fraction_bits
        parent = bounds[node]
        work[0] += 2 * groups * (options + row_work)
        if parent > limit:
            nodes -= 1
            lows[node], highs[node], targets[node] = lows[nodes], highs[nodes], targets[nodes]
            allowed[node], bounds[node] = allowed[nodes], bounds[nodes]
            continue
        lo, hi, target_g = lows[node].copy(), highs[node].copy(), targets[node].copy()
        may = allowed[node].copy()
        nodes -= 1
        lows[node], highs[node], targets[node] = lows[nodes], highs[nodes], targets[nodes]
        allowed[node], bounds[node] = allowed[nodes], bounds[nodes]
        if not propagate(case, r, single, may, lo, hi):
            continue
        relaxed = relax(case, r, may, lo, hi, target_g, toll, limit + constant) - constant
        if relaxed > limit:
            continue
        choose(r, lo, hi, pick)
        pack(case, plan, pick, heavy)
        if plan_cost(case, plan) < cost + (cost >> 3) or cost > over_limit >> 1:
            improve(case, plan)
            cost = keep_better(case, plan, package, option, cost)
        drop_dear(r, may, hi, relaxed, (cost - 1) << fraction_bits)
        relaxed = max(relaxed, parent)
        o, group, step = branch(case, r, single, lo, hi, pick, toll)
        if o < 0 or nodes + 2 > room:
            unresolved = min(unresolved, relaxed)
            continue
        for g in range(groups):
            target_g[pick[g]] = 0
        for g in range(groups):
            target_g[pick[g]] += case.weight_g[g]
        for half in range(2):
            lows[nodes], highs[nodes], targets[nodes] = lo, hi, target_g
            allowed[nodes], bounds[nodes] = may, relaxed
            if group >= 0:
                if half == 0:
                    allowed[nodes, o, group] = False
                else:
                    allowed[nodes, :, group] = False
                    allowed[nodes, o, group] = True
            elif half == 0:
                highs[nodes, o] = step
            else:
                lows[nodes, o] = step + 1
            nodes += 1
    bound = unresolved
    for node in range(nodes):
        bound = min(bound, bounds[node])
    return cost, bound


@entry(
    "Tuple((int64, int64, int64[::1], int64[::1]))(int64[::1], boolean[:, ::1], int64[:, ::1],"
    "int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64, int64, int64)",
)
def large_plan(
    weight_g: Ints,
    can: Flags,
    assign: Ints,
    fixed: Ints,
    tariff: Ints,
    step_g: Ints,
    step_price: Ints,
    split_cost: int,
    packages_max: int,
    work_max: int,
) -> tuple[int, int, Ints, Ints]:
    """Plan and bound for a problem of any size.

    Args: the fields of ``Problem``, and the work budget in elementary steps.

    Returns:
        Cost (-1: no plan), bound (without a plan: -1 if none exists, 0 if none was
        found), package of each group int64[G], option of each package int64[P].
    """
    groups, options = len(weight_g), len(fixed)
    work = np.zeros(2, np.int64)
    work[1] = work_max
    package = np.full(groups, -1, np.int64)
    option = np.zeros(groups + 1, np.int64)
    can = can.copy()
    reach_g = np.zeros(options, np.int64)
    hi = np.full(options, -1, np.int64)
    shippable = np.zeros(groups, np.bool_)
    dearest = np.zeros(groups, np.int64)
    worst_package = 0
    for o in range(options):
        bound_g = step_g[tariff[o]]
        last = len(bound_g) - 1
        while last >= 0 and bound_g[last] < 0:
            last -= 1
        for g in range(groups):
            can[o, g] = can[o, g] and last >= 0 and weight_g[g] <= bound_g[last]
            if can[o, g]:
                shippable[g] = True
                dearest[g] = max(dearest[g], assign[o, g])
                reach_g[o] += weight_g[g]
                hi[o] = last
        for k in range(hi[o] + 1):
            worst_package = max(worst_package, fixed[o] + step_price[tariff[o], k])
            if bound_g[k] >= reach_g[o]:
                hi[o] = k
                break
    if not shippable.all():
        return -1, -1, package, option[:0]
    case = Case(weight_g, can, assign, fixed, tariff, step_g, step_price, split_cost, packages_max)
    # Every plan costs less than this, so it is the limit until a plan is found.
    nothing = groups * (worst_package + split_cost) + dearest.sum() + 1
    cost = nothing
    heavy = np.argsort(-weight_g, kind="mergesort")
    plan = new_plan(groups, options, work)
    r = new_relaxation(groups, reach_g, work)
    pick = np.empty(groups, np.int64)
    lo = np.full(options, -1, np.int64)
    target_g = reach_g.copy()
    # A price on every package, repaid for packages_max of them, keeps the bound valid
    # and makes it feel the limit (a Lagrange multiplier, found by bisection).
    extra, low, high, best_extra = 0, 0, -1, 0
    extra_max = min(nothing, (1 << 42) // groups)
    bound = -1
    for _ in range(root_rounds_max):
        limit = (cost - 1) << fraction_bits
        constant = (split_cost + extra * packages_max) << fraction_bits
        relaxed = relax(case, r, can, lo, hi, target_g, split_cost + extra, limit + constant)
        relaxed -= constant
        if relaxed > bound:
            bound, best_extra = relaxed, extra
        if bound > limit:
            break
        opened = choose(r, lo, hi, pick)
        pack(case, plan, pick, heavy)
        improve(case, plan)
        cost = keep_better(case, plan, package, option, cost)
        drop_dear(r, can, hi, relaxed, (cost - 1) << fraction_bits)
        picked_g = np.zeros(options, np.int64)
        for g in range(groups):
            picked_g[pick[g]] += weight_g[g]
        changed = False
        for g in range(groups):
            changed = changed or target_g[pick[g]] != picked_g[pick[g]]
            target_g[pick[g]] = picked_g[pick[g]]
        if opened > packages_max:
            low = extra
        elif extra > 0:
            high = extra
        if low > 0 or opened > packages_max or high > 0:
            before = extra
            if high < 0:
                extra = min(extra_max, max(4 * extra, cost // groups + 1))
            else:
                extra = (low + high) // 2
            if extra == before:
                break
        elif not changed or work[0] > work_max:
            break
    if bound <= (cost - 1) << fraction_bits and work[0] < work_max:
        # An option that may need several packages is there twice: one package, the rest.
        left = np.flatnonzero(hi >= 0)
        single = np.array([is_single(case, int(o), hi[o], reach_g[o]) for o in left])
        keep = np.concatenate((left, left[~single]))
        single = np.concatenate((np.ones(len(left), np.bool_), single[~single]))
        part = Case(
            weight_g,
            can[keep],
            assign[keep],
            fixed[keep],
            tariff[keep],
            step_g,
            step_price,
            split_cost,
            packages_max,
        )
        kept = np.zeros(groups + 1, np.int64)
        part_r = new_relaxation(groups, reach_g[keep], work)
        before = cost
        cost, bound = search(
            part,
            part_r,
            single,
            hi[keep],
            target_g[keep],
            best_extra,
            bound,
            cost,
            package,
            kept,
            heavy,
        )
        if cost < before:
            for p in range(groups):
                option[p] = keep[kept[p]]
    if cost == nothing:
        return -1, -1 if bound > (cost - 1) << fraction_bits else 0, package, option[:0]
    # Packages are numbered by their first group.
    number = np.full(groups + 1, -1, np.int64)
    ordered = np.empty(groups, np.int64)
    packages = 0
    for g in range(groups):
        if number[package[g]] < 0:
            number[package[g]] = packages
            ordered[packages] = option[package[g]]
            packages += 1
        package[g] = number[package[g]]
    proven = max(0, -(-bound >> fraction_bits))
    return cost, min(cost, proven), package, ordered[:packages]
