"""Plans for large orders, with a proven bound.

Options become sites (``sites``), groups that no bound can tell apart become one (``merging``).
A first plan (``improve``) and bound (``relaxation``) leave out most sites (``root``); among many
sites better ones are looked for (``interchange``). Limits come down to what groups can weigh
(``reach``), and the whole weight must be carried (``covering``). Branch and bound over the other
sites (``search``) ends at small sets of them, which are solved exactly (``chosen``, ``placing``).
What it does not prove over few sites is settled by the packages that each of them gets
(``allotment``, ``kits``). What decides is integer, and the budget counts elementary steps, so the
answer is the same on every machine.
"""

from __future__ import annotations

import numpy as np

from edge.routing.allotment import sites_max, solve_kits
from edge.routing.chosen import chosen_max, solve_chosen
from edge.routing.covering import cover_bound
from edge.routing.improve import over_limit
from edge.routing.interchange import better_sites
from edge.routing.kernel import Ints, Sites
from edge.routing.merging import merge_groups, number_merged
from edge.routing.problem import Infeasible, Problem, Solution
from edge.routing.reach import tighter_steps
from edge.routing.relaxation import fraction_bits
from edge.routing.root import count_copies, search_root
from edge.routing.search import search
from edge.routing.sites import needless_sites, sites_of, steps_of

root_share = 4
"""One part in so many of the work goes into a first plan and bound."""
first_share = 8
"""What one part in so many of the work does not prove is looked at by other means."""
glance_share = 64
"""One part in so many of the work goes into better sites before branch and bound."""
cell_work = 3
"""Steps that sites take for each option and group."""
tree_work = 1024
"""Steps for a site and group without which branch and bound does not come far."""


def large_plan(problem: Problem, work_max: int) -> Solution | Infeasible:
    """Plan and bound for a problem of any size.

    Args:
        problem: What to decide.
        work_max: Budget of elementary steps.
    """
    weight_g, packages_max = problem.weight_g, problem.packages_max
    groups = len(weight_g)
    site_of, every = _sites(problem)
    if not every[0].any(axis=0).all():
        return Infeasible(proved=True, method="large")
    kept = np.flatnonzero(needless_sites(every) == 0)
    sites = _take(every, kept)
    if packages_max * int(sites[3].max()) < int(weight_g.sum()):
        return Infeasible(proved=True, method="large")

    done = min(cell_work * problem.can.size, work_max // 2)
    work = np.array([done, done + work_max // root_share])
    heavy = np.argsort(-weight_g, kind="stable")
    target_g, limit_g = sites[0] @ weight_g, sites[3][sites[2][1:] - 1]
    if weight_g.sum() <= 2 * limit_g.max():
        # Few packages: a line that is right for one of them is better than one for many.
        target_g = np.minimum(target_g, limit_g)
    number = np.empty(groups, np.int64)
    merged_g, merged = merge_groups(weight_g, sites, number, number_merged(sites, number))
    package, pick = np.empty(groups, np.int64), np.empty(groups, np.int64)
    slack, intercept = np.empty(len(kept), np.int64), np.empty(len(kept), np.int64)
    cost, bound = search_root(
        weight_g,
        sites,
        merged_g,
        merged,
        number,
        packages_max,
        heavy,
        target_g,
        package,
        pick,
        slack,
        intercept,
        work,
    )
    few, searched = len(kept) <= sites_max, tree_work * len(kept) * groups <= work_max
    if not few and bound <= (cost - 1) << fraction_bits:
        work[1] = work_max - work_max // first_share
        if searched:
            work[1] = work[0] + work_max // glance_share
        cost = better_sites(
            weight_g, sites, packages_max, heavy, target_g.copy(), package, pick, cost, work
        )
    pick, cost = pick[package], min(cost, over_limit)
    used = np.unique(pick)
    if bound < cost << fraction_bits and cost < over_limit and len(used) <= chosen_max:
        # The sites of that plan are often the best ones, but not its groups' places.
        alike, before = np.arange(len(kept)), cost
        work[1] = work[0] + work_max // first_share
        cost, _ = solve_chosen(
            weight_g, sites, merged_g, merged, heavy, alike, used, cost, 4, pick, work
        )
        if cost < before:
            package = pick
    work[1] = work_max
    relaxed_bound = bound  # the slacks belong to this one
    if bound <= (cost - 1) << fraction_bits:
        work[1] = work[0] + work_max // first_share
        steps = tighter_steps(weight_g, sites, work)
        work[1] = work_max
        sites, merged = (*sites[:2], *steps), (*merged[:2], *steps)
        bound = max(bound, cover_bound(weight_g, sites, work))
    if bound <= (cost - 1) << fraction_bits and work[0] < work_max:
        copies = np.empty(len(kept), np.int64)
        more = count_copies(
            weight_g, sites, packages_max, slack, intercept, relaxed_bound, cost, copies
        )
        rows = np.repeat(np.arange(len(kept)), copies if searched else 0)
        searched = searched and tree_work * len(rows) * groups <= 4 * work_max
        some, some_merged = _take(sites, rows), _take(merged, rows)
        scarce = np.argsort(some_merged[0].sum(axis=0), kind="stable")
        # What a small share of the work leaves open may be settled by all that is left.
        for share in (first_share, 1):
            before, place = cost, np.empty(groups, np.int64)
            work[1] = work[0] + (work_max - work[0]) // share
            if searched:
                cost, found = search(
                    weight_g,
                    some,
                    merged_g,
                    some_merged,
                    number,
                    packages_max,
                    heavy,
                    scarce,
                    rows,
                    target_g[rows],
                    cost,
                    bound,
                    4 if share > 1 else 1,
                    place,
                    work,
                )
                bound = max(bound, min(found, more))
                if cost < before:
                    package, pick = place, rows[place]
            if share > 1 and few and bound <= (cost - 1) << fraction_bits:
                before, place, site = cost, np.empty(groups, np.int64), np.empty(groups, np.int64)
                work[1] = work_max
                cost, found = solve_kits(
                    weight_g,
                    sites,
                    merged_g,
                    merged,
                    packages_max,
                    heavy,
                    cost,
                    place,
                    site,
                    work,
                )
                bound = max(bound, found)
                if cost < before:
                    package, pick = place, site[place]
            if share > 1 and not few and bound <= (cost - 1) << fraction_bits:
                package, site = (
                    np.unique(package, return_inverse=True)[1],
                    np.empty(groups, np.int64),
                )
                site[package] = pick
                work[1] = (work[0] + work_max) // 2
                cost = better_sites(
                    weight_g, sites, packages_max, heavy, target_g.copy(), package, site, cost, work
                )
                pick = site[package]
            if bound > (cost - 1) << fraction_bits or work[0] >= work_max:
                break
    if cost >= over_limit:
        return Infeasible(proved=bound > (cost - 1) << fraction_bits, method="large")

    # Packages are numbered by their first group.
    _, firsts, inverse = np.unique(package, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(firsts))[inverse]
    option = np.empty(len(firsts), np.int64)
    for p, first in enumerate(np.sort(firsts)):
        load_g = int(weight_g[number == p].sum())
        option[p] = _cheapest(problem, np.flatnonzero(site_of == kept[pick[first]]), load_g)
    bound = min(cost, max(0, -(-bound >> fraction_bits))) - problem.split_cost
    cost -= problem.split_cost
    return Solution(number, option, cost, max(0, bound), bound == cost, method="large")


def _sites(problem: Problem) -> tuple[Ints, Sites]:
    """Site of each option, -1 if it can ship nothing, and the sites."""
    options, groups = problem.can.shape
    may, assign = np.zeros((options, groups), np.bool_), np.zeros((options, groups), np.int64)
    limit_g = problem.step_g.max(axis=1, initial=-1)[problem.tariff]
    order = np.argsort(-limit_g, kind="stable")
    site_of = sites_of(problem.weight_g, problem.can, problem.assign, limit_g, order, may, assign)
    sites = int(site_of.max(initial=-1)) + 1
    may, assign = may[:sites], assign[:sites]
    members = np.argsort(site_of, kind="stable")
    begin = np.searchsorted(site_of[members], np.arange(sites + 1))
    start = np.empty(sites + 1, np.int64)
    cap_g = np.empty(options * problem.step_g.shape[1], np.int64)
    price = np.empty(len(cap_g), np.int64)
    base = problem.fixed + problem.split_cost
    tables = problem.tariff, problem.step_g, problem.step_price
    steps_of(problem.weight_g, may, members, begin, base, *tables, start, cap_g, price)
    return site_of, (may, assign, start, cap_g[: start[-1]], price[: start[-1]])


def _take(sites: Sites, rows: Ints) -> Sites:
    """Some of the sites; one may be there several times."""
    may, assign, start, cap_g, price = sites
    lengths = np.diff(start)[rows]
    begin = np.concatenate(([0], np.cumsum(lengths)))
    steps = np.arange(begin[-1]) + np.repeat(start[rows] - begin[:-1], lengths)
    return may[rows], assign[rows], begin, cap_g[steps], price[steps]


def _cheapest(problem: Problem, options: Ints, load_g: int) -> int:
    """The cheapest of a site's options for a package, the first of equals."""
    tariff = problem.tariff[options]
    fits = problem.step_g[tariff] >= load_g
    cost = problem.fixed[options] + problem.step_price[tariff, fits.argmax(axis=1)]
    return int(options[np.where(fits.any(axis=1), cost, over_limit).argmin()])
