"""One try at a question: gathered, solved, not yet told."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from edge.network import Ints
from edge.routing import fences
from edge.routing.gather import Asked, Bools, Gathered
from edge.routing.problem import Problem, Solution
from edge.routing.solve import solve


@dataclass(frozen=True, slots=True)
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

    def planned(self) -> frozenset[tuple[int, str | None]]:
        """Lines, or pieces of lines, that the plan ships; or has chosen to let wait for stock."""
        found = set()
        if self.solution is not None:
            lasting = self.gathered.asked.profile.incoming_minor_per_h is not None
            for number, option in enumerate(self.solution.option.tolist()):
                if option < self.gathered.shelf or lasting:
                    inside = self.chosen[np.flatnonzero(self.solution.package == number)]
                    found |= {(x.line, x.node_id) for x in self.gathered.wants_of(inside)}
        return frozenset(found)

    def whole(self) -> bool:
        """Whether every line is planned."""
        if self.solution is not None and self.routed.all() and not self.gathered.waiting:
            return True
        wants = self.gathered.asked.question.wants
        return self.planned() == {(want.line, want.node_id) for want in wants}

    def breakable(self) -> int:
        """Fences whose breaking might ship more: some of them, or all, or none in the end."""
        gathered = self.gathered
        question, bits = gathered.asked.question, 0
        if not self.routed.all():
            masks = gathered.masks[:, ~self.routed]
            bits = int(np.bitwise_or.reduce(masks[masks <= fences.relaxable], initial=0))
        if self.solution is None:
            bits |= fences.packages_max if self.chosen.size else 0
        if len(question.wants) > 1 and not question.customer.split_allowed:
            bits |= fences.split_allowed
        return bits


def attempt(asked: Asked) -> Attempt:
    """Gather and solve."""
    crowded: set[int] = set()
    while True:
        gathered = Gathered(asked, crowded)
        found = _solve(gathered)
        over = _crowded(found)
        if not over:
            return found
        crowded |= over  # Rare: two packages of one node, and room for one. It ends: it grows.


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


def _crowded(found: Attempt) -> set[int]:
    """Nodes that get more packages than this edge may put into their slot."""
    gathered = found.gathered
    if found.solution is None or gathered.board is None:
        return set()
    shelf = found.solution.option[found.solution.option < gathered.shelf]
    taken = Counter(gathered.options.node[shelf].tolist())
    slots, nodes = gathered.asked.known.slots, gathered.snapshot.network.nodes
    return {
        node
        for node, packages in taken.items()
        if (slot := gathered.slot_of(node)) is not None
        and packages > slots.share(nodes[node].node_id, slot.sku)
    }
