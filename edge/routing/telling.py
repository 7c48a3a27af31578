"""The answer by name: packages, why nodes are out, why lines wait."""

import hashlib
from typing import cast

import numpy as np

from edge.network import Ints
from edge.routing import fences
from edge.routing.attempt import Attempt
from edge.routing.gather import Gathered
from edge.routing.question import Routed
from edge.routing.relaxing import Clash
from edge.routing.waiting import Waiting
from shared.clock import to_datetime, to_ms
from shared.limits import CANDIDATES_MAX
from shared.parts import (
    Exclusion,
    ExclusionCode,
    FenceName,
    Money,
    Package,
    Plan,
    PlannedLine,
    Shortage,
    ShortageReason,
    Terms,
)

_LATE_S_MAX = 10**9
_REASONS: dict[str, ShortageReason] = {
    "capacity": "capacity", "carrier_limit": "unroutable", "goods_class": "unroutable",
    "failed_before": "share", "share": "share",
}  # fmt: skip
_OF_STOCK = fences.share | fences.walk_in
_NO_CLASH = Clash()


def told(found: Attempt, clash: Clash = _NO_CLASH) -> Routed:
    """The plan and the lines outside of it.

    Args:
        found: what came of the last try.
        clash: what no plan keeps all at once.
    """
    gathered, solution = found.gathered, found.solution
    if solution is None:
        return Routed(None, _shortages(found, {}, clash))
    packages, waiting = _packages(found)
    shortages = _shortages(found, waiting, clash)
    if not packages:
        return Routed(None, shortages)
    profile, network = gathered.asked.profile, gathered.snapshot.network
    split_minor = profile.split_cost_minor * (len(packages) - 1)
    cost = sum(package.cost_minor for package in packages) + split_minor
    # What waits has its part of the cost; how far the whole may be from the best stays.
    gap = solution.cost - solution.bound
    plan = Plan(
        packages=packages,
        cost=Money(minor=cost, currency=network.currency),
        bound_minor=max(cost - gap, 0),
        optimal=solution.optimal,
        profile=profile.version,
        snapshot=_digest(gathered),
        excluded=_exclusions(gathered),
        relaxed=_names(_broken(found)),
        conflict=_names(clash.plan),
        split_minor=split_minor,
        stale=gathered.arrivals.stale() + gathered.asked.known.rates.stale(gathered.asked.now_ms),
    )
    return Routed(plan, shortages)


def _names(mask: int) -> list[FenceName]:
    return cast("list[FenceName]", fences.names_of(mask))


def _broken(found: Attempt) -> int:
    """Fences that the plan breaks, of those that it may, by bit."""
    gathered, solution, bits = found.gathered, found.solution, 0
    assert solution is not None
    if not gathered.asked.relaxed:
        return bits
    for option, groups in found.packages:
        if option < gathered.shelf:
            bits |= int(np.bitwise_or.reduce(gathered.masks[option, groups]))
    # What waits will need a package of its own one day.
    packages = len(solution.option) + (0 if found.routed.all() else 1)
    if packages > gathered.packages_allowed():
        bits |= fences.packages_max
    if packages > 1 and not gathered.asked.question.customer.split_allowed:
        bits |= fences.split_allowed
    return bits & gathered.asked.relaxed


def _packages(found: Attempt) -> tuple[list[Package], dict[int, tuple[Waiting, int]]]:
    """Packages from the shelf; groups that wait, with what for and when that would arrive."""
    gathered = found.gathered
    packages: list[Package] = []
    waiting: dict[int, tuple[Waiting, int]] = {}
    for option, groups in found.packages:
        waits = gathered.waits_for(option)
        if waits is not None:
            profile = gathered.asked.profile
            arrives_ms = gathered.arrivals.promise(option, None, profile.promise_per_mille)[1]
            waiting |= dict.fromkeys(groups.tolist(), (waits, arrives_ms))
            continue
        packages.append(_package(gathered, option, len(packages), groups))
    return packages, waiting


def _package(gathered: Gathered, option: int, number: int, groups: Ints) -> Package:
    deadline = gathered.asked.question.fulfilment.deadline
    deadline_ms = None if deadline is None else to_ms(deadline)
    promise = gathered.arrivals.promise(
        option, deadline_ms, gathered.asked.profile.promise_per_mille
    )
    late_ms = 0 if deadline_ms is None else max(0, promise.arrives_ms - deadline_ms)
    options, node = gathered.options, int(gathered.options.node[option])
    weight_g = int(gathered.weight_g[groups].sum())
    terms = gathered.terms(option, groups, weight_g)
    slot = gathered.slot_of(node)
    carbon_g = options.carbon_g[option] + options.carbon_g_per_kg[option] * weight_g // 1_000
    return Package(
        package=number,
        node_id=gathered.snapshot.network.nodes[node].node_id,
        service_id=gathered.snapshot.service_id(int(options.service[option])),
        lines=[
            PlannedLine(line=want.line, sku=want.sku, quantity=want.quantity)
            for want in gathered.wants_of(groups)
        ],
        cost_minor=cost_of(terms),
        ready_at=to_datetime(int(gathered.ready_ms[option])),
        arrives_at=to_datetime(promise.arrives_ms),
        edd_at=to_datetime(promise.edd_ms),
        on_time_per_mille=promise.on_time_per_mille,
        late_s=min(late_ms // 1000, _LATE_S_MAX),
        slot=None if slot is None else slot.sku,
        terms=terms,
        carbon_g=int(carbon_g),
    )


def cost_of(terms: Terms) -> int:
    """What a package costs: its terms add up."""
    return sum(getattr(terms, name) for name in Terms.__struct_fields__)


def _shortages(
    found: Attempt, waiting: dict[int, tuple[Waiting, int]], clash: Clash
) -> list[Shortage]:
    """Every line outside the plan, and the first thing that kept it out."""
    gathered = found.gathered
    solved = found.solution is not None
    waits: list[Shortage] = []
    # Central keeps for an order what its lines name, and nothing else: were a line silent once
    # it is held, its units would go to others while the next one is fetched, and so on.
    every = np.arange(len(gathered.groups))
    room = gathered.packages_max()
    whole = len(every) > 1 and room == 1  # All of it needs one node.
    all_at = _candidates(gathered, every, lacking=_OF_STOCK) if whole else []
    for number, group in enumerate(gathered.groups):
        if solved and found.routed[number] and number not in waiting:
            continue
        awaited = waiting.get(number)
        clashing = [want.line in clash.lines for want in group]
        reason = _reason(found, number, awaited, clash.waiting if any(clashing) else 0)
        alone = every[[number]]
        nodes = all_at
        if not whole:
            held = _candidates(gathered, alone, lacking=0)
            nodes = held or _candidates(gathered, alone, lacking=_OF_STOCK)
        if awaited is not None and reason in ("incoming", "share"):
            node_id = gathered.snapshot.network.nodes[awaited[0].node].node_id
            nodes = (
                [node_id]
                if reason == "incoming"
                else [node_id, *(x for x in nodes if x != node_id)][:CANDIDATES_MAX]
            )
        first = min(want.line for want in (gathered.asked.question.wants if whole else group))
        for want, clashes in zip(group, clashing, strict=True):
            own = reason
            if reason == "share" and _anywhere(gathered, want.sku):
                own = "ship_together"  # What it is to ship with is somewhere else.
            waits.append(
                Shortage(
                    line=want.line,
                    sku=want.sku,
                    quantity=want.quantity,
                    reason=own,
                    nodes=nodes,
                    group=first if nodes and room > 0 else -1,
                    expected_at=None if awaited is None else to_datetime(awaited[0].until_ms),
                    expected_per_mille=(
                        None if awaited is None else awaited[0].release_per_mille[number]
                    ),
                    promised_at=None if awaited is None else to_datetime(awaited[1]),
                    conflict=_names(clash.waiting if clashes else 0),
                )
            )
    return sorted(waits, key=lambda shortage: shortage.line)


def _reason(
    found: Attempt, group: int, awaited: tuple[Waiting, int] | None, conflict: int
) -> ShortageReason:
    """The first thing that keeps a group out; `fenced` where fences clash over it."""
    gathered = found.gathered
    masks = gathered.masks[: gathered.shelf, group] & ~gathered.asked.relaxed
    if not masks.size:
        return "unroutable"
    least = int(masks.min())
    if least == 0:
        if awaited is not None:
            return "incoming"
        return "fenced" if conflict & ~fences.packages_max else "packages_max"
    if least <= fences.relaxable:
        return "fenced"
    return _REASONS[fences.name_of(least)]


def _anywhere(gathered: Gathered, sku: str) -> bool:
    """Whether some node in reach has enough of a SKU, be it without the rest of its group."""
    entry = gathered.skus.index(sku)
    nodes = gathered.base.options.node[gathered.fenced & fences.failed_before == 0]
    return bool((gathered.shares[entry, nodes] >= gathered.demand[entry]).any())


def _candidates(gathered: Gathered, groups: Ints, *, lacking: int) -> list[str]:
    """Nodes that could ship some groups in one package but for some fences, the cheapest first.

    Not those that have enough and keep it for who walks in: central need not look for more there.
    """
    snapshot, options = gathered.snapshot, gathered.base.options
    masks = gathered.masks[: gathered.shelf, groups] & ~gathered.asked.relaxed
    kept = (masks & _OF_STOCK == fences.walk_in).any(axis=1)
    masks = np.bitwise_or.reduce(masks, axis=1)
    weight_g = gathered.weight_g[groups].sum()
    light = snapshot.limit_g[options.tariff] >= weight_g
    able = np.flatnonzero((masks & ~lacking == 0) & light & ~kept)
    if not able.size:
        return []
    tariff = options.tariff[able]
    step = np.argmax(snapshot.step_g[tariff] >= weight_g, axis=1)
    price = snapshot.step_price[tariff, step] + gathered.fixed[able]
    if gathered.rejection is not None:
        price = price + gathered.rejection[np.ix_(able, groups)].sum(axis=1)
    found: dict[int, None] = {}
    for at in np.argsort(price, kind="stable").tolist():
        found[int(options.node[able[at]])] = None
        if len(found) == CANDIDATES_MAX:
            break
    return [snapshot.network.nodes[node].node_id for node in found]


def _exclusions(gathered: Gathered) -> list[Exclusion]:
    """Why each node that is in no option for any group is out."""
    snapshot, question = gathered.snapshot, gathered.asked.question
    base = gathered.base
    masks = fences.least_masks(gathered.masks[: gathered.shelf], base.first, gathered.asked.relaxed)
    (out,) = masks.nonzero()
    least = dict(zip(base.nodes[out].tolist(), masks[out].tolist(), strict=True))
    found = []
    for i in sorted([*least, *base.elsewhere]):
        node, mask = snapshot.network.nodes[i], least.get(i)
        code: ExclusionCode
        if mask is not None:
            code = cast("ExclusionCode", fences.name_of(mask))
        elif not snapshot.open[i]:
            code = "closed"
        elif question.fulfilment.kind != "delivery":
            code = "not_chosen_by_customer"
        elif question.destination and not snapshot.serves(i, question.destination.region):
            code = "area"
        else:
            code = "no_lane"
        found.append(Exclusion(node_id=node.node_id, code=code))
    return found


def _digest(gathered: Gathered) -> str:
    """Hash over every input that is not in the question itself."""
    asked = gathered.asked
    digest = hashlib.blake2b(gathered.snapshot.digest, digest_size=16)
    digest.update(asked.known.rates.digest)
    if asked.known.rules is not None:
        digest.update(asked.known.rules.digest)
    digest.update(asked.now_ms.to_bytes(8, "big", signed=True))
    digest.update(asked.question.packages_used.to_bytes(8, "big"))
    digest.update(",".join(sorted(asked.question.failed)).encode())
    digest.update(gathered.shares.tobytes())
    if gathered.rejection is not None:  # Mostly nothing has failed, and it is the largest input.
        digest.update(gathered.rejection.tobytes())
    for x in gathered.waiting:
        digest.update(repr((x.node, x.until_ms, x.release_per_mille)).encode())
        digest.update(x.masks.tobytes())
    if gathered.board is not None:
        digest.update(gathered.slot_ms.tobytes())
    if gathered.congestion is not None:
        digest.update(gathered.congestion.tobytes())
    return digest.hexdigest()
