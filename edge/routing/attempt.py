"""One try at a question: gathered, solved, not yet told."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from edge.network import Ints
from edge.routing import fences
from edge.routing.gather import Asked, Bools, Gathered
from edge.routing.problem import Problem, Solution
from edge.routing.solve import solve

Planned = frozenset[tuple[int, str | None]]
"""Lines, by number; pieces of lines with the node that they come from."""


@dataclass(frozen=True)
class Attempt:
    """What came of one try.

    Attributes:
        gathered: the question as arrays.
        routed: bool[G], groups that some option may ship.
        chosen: int64[C], those that were to be planned.
        problem, solution: of the chosen groups; None where there is no plan.
    """

    gathered: Gathered
    routed: Bools
    chosen: Ints
    problem: Problem | None = None
    solution: Solution | None = None

    @cached_property
    def packages(self) -> list[tuple[int, Ints]]:
        """Option and groups of each package of the plan; none where there is no plan."""
        if self.solution is None:
            return []
        options, package = self.solution.option.tolist(), self.solution.package
        # A package's groups in their order: the sort is stable.
        of_package = self.chosen[np.argsort(package, kind="stable")]
        ends = np.cumsum(np.bincount(package, minlength=len(options))).tolist()
        starts = [0, *ends]
        return [(x, of_package[starts[i] : starts[i + 1]]) for i, x in enumerate(options)]

    @cached_property
    def planned(self) -> Planned:
        """Lines, or pieces of lines, that the plan ships; or has chosen to let wait for stock."""
        found = set()
        lasting = self.gathered.asked.profile.incoming_minor_per_h is not None
        for option, groups in self.packages:
            if option < self.gathered.shelf or lasting:
                found |= {(x.line, x.node_id) for x in self.gathered.wants_of(groups)}
        return frozenset(found)

    @cached_property
    def lines(self) -> frozenset[int]:
        """Lines that are planned with all their pieces."""
        planned, wants = self.planned, self.gathered.asked.question.wants
        out = {want.line for want in wants if (want.line, want.node_id) not in planned}
        return frozenset(line for line, _ in planned) - out

    def whole(self) -> bool:
        """Whether every line is planned."""
        if self.solution is not None and self.routed.all() and not self.gathered.waiting:
            return True
        wants = self.gathered.asked.question.wants
        return self.planned == {(want.line, want.node_id) for want in wants}

    def breakable(self) -> int:
        """Fences whose breaking might ship more: some of them, or all, or none in the end."""
        gathered, planned = self.gathered, self.planned
        question, bits = gathered.asked.question, 0
        out = [
            number
            for number, (want, *_) in enumerate(gathered.groups)
            if (want.line, want.node_id) not in planned
        ]
        if out:
            masks = gathered.masks[: gathered.shelf, out]
            if gathered.asked.profile.split_lines:
                masks = masks & ~fences.of_the_whole  # A piece may do where the whole does not.
            bits = int(np.bitwise_or.reduce(masks[masks <= fences.relaxable], initial=0))
        if self.solution is None:
            bits |= fences.packages_max if self.chosen.size else 0
        if len(question.wants) > 1 and not question.customer.split_allowed:
            bits |= fences.split_allowed
        return bits


def attempt(asked: Asked) -> Attempt:
    """Gather and solve."""
    without: set[tuple[int, int]] = set()
    first: Attempt | None = None
    while True:
        found = _solve(Gathered(asked, without))
        first = first or found
        over = crowded(found)
        if not over:
            return found if found is first else _bounded(found, first)
        without |= over  # Rare: two packages of one node, and room for one. It ends: it grows.


def _bounded(found: Attempt, first: Attempt) -> Attempt:
    """What crowding has led to is no cheaper than the plan without it; that is all we know."""
    if found.solution is None or first.solution is None:
        return found
    # Fewer groups may cost less than all of them.
    bound = first.solution.bound if np.array_equal(found.chosen, first.chosen) else 0
    cost = found.solution.cost
    solution = replace(found.solution, bound=min(bound, cost), optimal=bound >= cost)
    return replace(found, solution=solution)


def _solve(gathered: Gathered) -> Attempt:
    routed = gathered.routed
    (chosen,) = routed.nonzero()
    # What waits will need a package of its own one day: keep room for it.
    packages_max = gathered.packages_max() - (0 if len(chosen) == len(routed) else 1)
    if not chosen.size or packages_max < 1:
        return Attempt(gathered, routed, chosen)
    problem = gathered.problem(chosen, packages_max)
    solution = solve(problem)
    if not isinstance(solution, Solution):
        return Attempt(gathered, routed, chosen)
    return Attempt(gathered, routed, chosen, problem, solution)


def crowded(found: Attempt) -> set[tuple[int, int]]:
    """Nodes, and the groups of what is more than this edge may put into their slot."""
    gathered = found.gathered
    if gathered.board is None:
        return set()
    packages: dict[int, list[tuple[bool, list[int]]]] = {}
    for option, inside in found.packages:
        node = int(gathered.options.node[option])
        if option < gathered.shelf and gathered.slot_of(node) is not None:
            elsewhere = gathered.can[gathered.options.node != node][:, inside].any(axis=0).all()
            packages.setdefault(node, []).append((bool(elsewhere), inside.tolist()))
    slots, nodes = gathered.asked.known.slots, gathered.snapshot.network.nodes
    over: set[tuple[int, int]] = set()
    for node, of_node in packages.items():
        slot = gathered.slot_of(node)
        assert slot is not None, "it was there a moment ago"
        room = slots.share(nodes[node].node_id, slot.sku)
        # The room is for those that can go nowhere else.
        for _, groups in sorted(of_node)[room:]:
            over |= {(node, group) for group in groups}
    return over
