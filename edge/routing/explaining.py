"""What would have had to be otherwise: what each node that is not in a plan would cost, or lacks.

Pure. A node that could ship something is put into the plan by force: for each group that it may
ship, that group must come from it, and the rest is planned as well as it can be. The cheapest of
these plans is the cheapest that uses the node at all, and what it costs more is what the node
would have to be cheaper by. A node that may ship nothing is told by what is nearest: the group
that the softest fence keeps it from, and what is missing there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, cast

import msgspec
import numpy as np

from edge.explanation import RIVALS_MAX, Explained, Missing, Rival, TermChange, UnitsShort
from edge.network import Ints
from edge.routing import fences
from edge.routing.attempt import Attempt, attempt, crowded
from edge.routing.gather import Asked, Gathered
from edge.routing.known import Known
from edge.routing.problem import Problem, Solution
from edge.routing.question import Question, Routed, Want
from edge.routing.solve import solve
from edge.routing.subset import groups_exact_max
from shared.parts import ExclusionCode, Plan, Terms

NODES_TRIED_MAX: Final = 64
GROUPS_TRIED_MAX: Final = 16
NODES_LARGE_MAX: Final = 10
GROUPS_LARGE_MAX: Final = 4
"""Nodes that are forced into a plan, the likeliest first, and groups of each; the last two
where every solution takes the solver for large orders."""

NEAREST_MAX: Final = 3
"""Nodes that are named for a group that nobody may ship."""

_UNITS: Final = fences.share | fences.walk_in
_HOUR_MS: Final = 3_600_000
_PPM: Final = 1_000_000
_FAR: Final = np.iinfo(np.int64).max


def explain(known: Known, question: Question, now_ms: int, routed: Routed) -> Explained:
    """What would have to change for other nodes to win.

    Args:
        known: what the decision was made by.
        question: what was asked.
        now_ms: when.
        routed: what `route` answered.
    """
    found = attempt(_asked(known, question, now_ms, routed.plan))
    rivals, left_out = _rivals(found)
    return Explained(
        rivals=rivals,
        rivals_left_out=left_out,
        missing=list(_missing(found.gathered)),
        unshipped=list(_unshipped(found)),
    )


def _asked(known: Known, question: Question, now_ms: int, plan: Plan | None) -> Asked:
    """The question as it was solved in the end: with its fences broken, and its lines cut."""
    asked = Asked(known, question, known.profile(question, now_ms), now_ms)
    if plan is None:
        return asked
    parts: dict[int, list[tuple[str, int]]] = {}
    for package in plan.packages:
        for line in package.lines:
            parts.setdefault(line.line, []).append((package.node_id, line.quantity))
    cut = {want.sku for want in question.wants if len(parts.get(want.line, ())) > 1}
    wants: list[Want] = []
    for want in question.wants:
        if want.sku in cut:
            wants += [
                replace(want, quantity=units, group=None, node_id=node_id)
                for node_id, units in parts.get(want.line, ())
            ]
        else:
            wants.append(want)
    relaxed = sum(1 << fences.NAMES.index(name) for name in plan.relaxed)
    return replace(asked, question=replace(question, wants=wants), relaxed=relaxed)


# Nodes that could have shipped something.


def _rivals(found: Attempt) -> tuple[list[Rival], int]:
    """The nearest rivals, and how many others there are."""
    gathered, problem, solution = found.gathered, found.problem, found.solution
    if problem is None or solution is None:
        return [], 0
    nodes = gathered.options.node[: gathered.shelf]
    shipping = solution.option[solution.option < gathered.shelf]
    able = problem.can[: gathered.shelf].any(axis=1)
    others = np.setdiff1d(nodes[able], nodes[shipping])
    if not others.size:
        return [], 0
    dearer = _dearer(gathered, problem)
    of_node = {node: dearer[nodes == node].min(axis=0) for node in others.tolist()}
    order = sorted(of_node, key=lambda node: (int(of_node[node].min()), node))
    small = len(problem.weight_g) <= groups_exact_max
    nodes_max, groups_max = (
        (NODES_TRIED_MAX, GROUPS_TRIED_MAX) if small else (NODES_LARGE_MAX, GROUPS_LARGE_MAX)
    )
    cut = any(group[0].node_id is not None for group in gathered.groups)
    own = _terms(found, problem, solution)
    rivals = []
    for node in order[:nodes_max]:
        near = of_node[node]
        groups = [x for x in np.argsort(near, kind="stable").tolist() if near[x] < _FAR]
        forced = [_forced(found, problem, node, group) for group in groups[:groups_max]]
        plans = [plan for plan in forced if plan is not None]
        if plans:
            best = min(plans, key=lambda plan: plan.cost)
            exact = len(groups) <= groups_max and not cut and solution.optimal
            exact = exact and all(plan.optimal for plan in plans)
            rivals.append(_rival(found, problem, node, best, exact, own))
    rivals.sort(key=lambda rival: rival.more_minor)
    return rivals[:RIVALS_MAX], len(others) - min(len(rivals), RIVALS_MAX)


def _dearer(gathered: Gathered, problem: Problem) -> Ints:
    """int64[O, G] by how much each group, shipped alone, costs more than by its cheapest option.

    Only to know which nodes to try first.
    """
    shelf = gathered.shelf
    steps, prices = (
        problem.step_g[problem.tariff[:shelf]],
        problem.step_price[problem.tariff[:shelf]],
    )
    alone: Ints = np.full((shelf, len(problem.weight_g)), _FAR)
    for group, weight_g in enumerate(problem.weight_g.tolist()):
        can = problem.can[:shelf, group]
        step = np.argmax(steps >= weight_g, axis=1)[:, None]
        price = np.take_along_axis(prices, step, axis=1)[:, 0]
        cost = problem.fixed[:shelf] + price + problem.assign[:shelf, group]
        if can.any():
            alone[can, group] = cost[can] - cost[can].min()
    return alone


def _forced(found: Attempt, problem: Problem, node: int, group: int) -> Solution | None:
    """The cheapest plan in which a node ships a group from the shelf; None where there is none."""
    gathered = found.gathered
    here = gathered.options.node == node
    here[gathered.shelf :] = False
    can = problem.can.copy()
    can[~here, group] = False
    while True:
        solution = solve(replace(problem, can=can))
        if not isinstance(solution, Solution):
            return None
        over = crowded(replace(found, solution=solution))
        if not over:
            return solution
        # As the router does it: what is too much for a slot finds its node shut.
        place = {int(number): at for at, number in enumerate(found.chosen)}
        for full, number in over:
            can[gathered.base.rows[full], place[number]] = False


def _terms(found: Attempt, problem: Problem, solution: Solution) -> dict[str, int]:
    """What a plan costs by term, what waits included."""
    total = dict.fromkeys(Terms.__struct_fields__, 0)
    gathered = found.gathered
    for option, groups in replace(found, solution=solution).packages:
        terms = gathered.terms(option, groups, int(gathered.weight_g[groups].sum()))
        for name in Terms.__struct_fields__:
            total[name] += getattr(terms, name)
    total["split_minor"] = problem.split_cost * (len(solution.option) - 1)
    return total


def _rival(
    found: Attempt, problem: Problem, node: int, plan: Solution, exact: bool, own: dict[str, int]
) -> Rival:
    assert found.solution is not None
    gathered = found.gathered
    network = gathered.snapshot.network
    numbers = [
        number
        for number, option in enumerate(plan.option.tolist())
        if option < gathered.shelf and gathered.options.node[option] == node
    ]
    inside = found.chosen[np.flatnonzero(np.isin(plan.package, numbers))]
    more = plan.cost - found.solution.cost
    theirs = _terms(found, problem, plan)
    changed = [name for name in own if own[name] != theirs[name]]
    changed.sort(key=lambda name: -abs(own[name] - theirs[name]))
    others = dict.fromkeys(gathered.options.node[plan.option].tolist())
    return Rival(
        node_id=network.nodes[node].node_id,
        lines=sorted({want.line for want in gathered.wants_of(inside)}),
        services=[
            gathered.snapshot.service_id(int(gathered.options.service[plan.option[number]]))
            for number in numbers
        ],
        others=[network.nodes[other].node_id for other in others if other != node],
        more_minor=more,
        fall_minor=max(more // len(numbers) + 1, 0),
        exact=exact,
        terms=[
            TermChange(
                term=name.removesuffix("_minor"), plan_minor=own[name], rival_minor=theirs[name]
            )
            for name in changed
        ],
    )


# Nodes that could ship nothing.


def _missing(gathered: Gathered) -> Iterator[Missing]:
    """Every node that no option lets ship anything, in the network's order."""
    masks = gathered.masks[: gathered.shelf] & ~gathered.asked.relaxed
    for node, of in enumerate(gathered.snapshot.network.nodes):
        rows = gathered.base.rows.get(node)
        if rows is None:
            yield Missing(node_id=of.node_id, code=_out_of_reach(gathered, node))
        elif masks[rows].all():
            groups = range(len(gathered.groups))
            group = min(groups, key=lambda group: _far(gathered, node, group))
            yield _lacking(gathered, node, group)


def _unshipped(found: Attempt) -> Iterator[Missing]:
    """Of every group that nobody may ship, the nodes that come nearest to it."""
    gathered = found.gathered
    shipped = gathered.can[: gathered.shelf].any(axis=0)
    for group in np.flatnonzero(~shipped).tolist():
        nodes = sorted(gathered.base.rows, key=lambda node: (_far(gathered, node, group), node))
        for node in nodes[:NEAREST_MAX]:
            yield _lacking(gathered, node, group)


def _masks(gathered: Gathered, node: int, group: int) -> Ints:
    """What keeps each of a node's options from a group."""
    return gathered.masks[gathered.base.rows[node], group] & ~gathered.asked.relaxed


def _far(gathered: Gathered, node: int, group: int) -> tuple[int, int]:
    """How far a node is from shipping a group: its softest fence, then units."""
    short = _short(gathered, node, group)
    return int(_masks(gathered, node, group).min()), sum(
        x.wanted - x.held + x.kept_back for x in short
    )


def _out_of_reach(gathered: Gathered, node: int) -> ExclusionCode:
    snapshot, question = gathered.snapshot, gathered.asked.question
    if not snapshot.open[node]:
        return "closed"
    if question.fulfilment.kind != "delivery":
        return "not_chosen_by_customer"
    if question.destination and not snapshot.serves(node, question.destination.region):
        return "area"
    return "no_lane"


def _lacking(gathered: Gathered, node: int, group: int) -> Missing:
    """What keeps a node from a group."""
    rows, masks = gathered.base.rows[node], _masks(gathered, node, group)
    option = rows.start + int(np.argmin(masks))
    mask = int(masks.min())
    missing = Missing(
        node_id=gathered.snapshot.network.nodes[node].node_id,
        code=cast("ExclusionCode", fences.name_of(mask)),
        lines=sorted({want.line for want in gathered.groups[group]}),
        kept_by=fences.names_of(mask),
        short=_short(gathered, node, group) if mask & _UNITS else [],
    )
    if mask & fences.goods_class:
        missing = msgspec.structs.replace(missing, classes=_classes(gathered, group, option))
    if mask & fences.carrier_limit:
        missing = msgspec.structs.replace(
            missing,
            weight_g=int(gathered.weight_g[group]),
            limit_g=int(gathered.base.limit_g[rows].max()),
        )
    if mask & fences.tier_promise:
        promise = gathered.tier_promise()
        assert promise is not None
        late_ppm, _ = gathered.arrivals.lateness(
            gathered.asked.now_ms + promise.within_h * _HOUR_MS
        )
        best = (_PPM - int(late_ppm[rows].min())) // 1_000
        missing = msgspec.structs.replace(missing, on_time_per_mille=best)
    slot = gathered.slot_of(node)
    if mask & fences.capacity and slot is not None:
        missing = msgspec.structs.replace(missing, slot=slot.sku)
    return missing


def _short(gathered: Gathered, node: int, group: int) -> list[UnitsShort]:
    reserve = int(gathered.asked.known.stock.reserve[node])
    if gathered.asked.question.fulfilment.kind == "carry_out":
        reserve = 0
    found = []
    for entry in range(int(gathered.starts[group]), int(gathered.starts[group + 1])):
        wanted, held = int(gathered.demand[entry]), int(gathered.shares[entry, node])
        kept_back = min(reserve, held)
        if held - kept_back < wanted:
            sku = gathered.skus[entry]
            found.append(UnitsShort(sku=sku, wanted=wanted, held=held, kept_back=kept_back))
    return found


def _classes(gathered: Gathered, group: int, option: int) -> list[str]:
    """Classes of a group's goods that an option cannot take."""
    network = gathered.snapshot.network
    products = {gathered.snapshot.sku_ix[want.sku] for want in gathered.groups[group]}
    needed = {name for product in products for name in network.products[product].classes}
    able = set(network.nodes[int(gathered.options.node[option])].abilities)
    service = int(gathered.options.service[option])
    if service >= 0:
        able &= set(network.services[service].abilities)
    return sorted(needed - able)
