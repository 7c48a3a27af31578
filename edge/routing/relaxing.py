"""When no plan keeps every fence: which of them clash, and which are broken best.

Fences are tried by keeping some of those that matter and breaking all others. The smallest set
that leaves something out which could be shipped otherwise is the conflict. The best way out of
it breaks as few fences as possible; of those ways, the one whose worst fence is the least bad by
the profile's list, then the cheapest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from edge.routing import fences
from edge.routing.attempt import Attempt
from edge.routing.gather import Asked
from edge.routing.splitting import tried
from edge.routing.subset import groups_exact_max

ATTEMPTS_MAX: Final = 64
ATTEMPTS_CUT_MAX: Final = 16
ATTEMPTS_LARGE_MAX: Final = 4
"""Tries at one question; at one whose lines are cut, in many ways at each try; and at one whose
every try takes the solver for large orders."""


class Clash(NamedTuple):
    """Fences that no plan keeps all at once, by bit; 0: none.

    Attributes:
        plan: because of which the plan breaks some.
        waiting: because of which lines wait.
        lines: that wait because of these.
    """

    plan: int = 0
    waiting: int = 0
    lines: frozenset[int] = frozenset()


class Relaxation:
    """What could be broken for the sake of a plan, after a first try has left lines out.

    Args:
        asked: the question.
        first: the try with every fence kept.
    """

    def __init__(self, asked: Asked, first: Attempt) -> None:
        """See the class."""
        self._asked = asked
        self._first = first
        self._known: dict[int, Attempt] = {0: first}
        self._matter = 0
        self._most = first.lines
        self._left = ATTEMPTS_MAX
        if breakable := first.breakable():
            most = tried(replace(asked, relaxed=fences.breakable))
            if most.lines > self._most:
                wants = len(most.gathered.asked.question.wants)
                if wants > len(asked.question.wants):
                    self._left = ATTEMPTS_CUT_MAX
                if wants > groups_exact_max:
                    self._left = ATTEMPTS_LARGE_MAX
                bits = int(np.bitwise_or.reduce(most.gathered.masks, axis=None))
                self._matter = bits & fences.relaxable | breakable | fences.packages_max
                self._known[self._matter] = most
                self._most = most.lines

    @property
    def helps(self) -> bool:
        """Whether breaking anything would ship more."""
        return bool(self._matter)

    def clash(self, found: Attempt) -> Clash:
        """Why an answer breaks fences, and why it leaves out what breaking more would ship."""
        planned, before = found.lines & self._most, self._first.lines
        lines = self._most - planned
        return Clash(
            plan=0 if planned <= before else self._conflict(planned),
            waiting=self._conflict(lines) if lines else 0,
            lines=lines,
        )

    def _conflict(self, wanted: frozenset[int]) -> int:
        """The smallest set of fences that cannot all be kept if these lines are to ship.

        Where the tries run out, all that matter: they clash, though fewer of them may as well.
        """
        for kept in _sets(self._matter):
            found = self._try(self._matter & ~kept)
            if found is None:
                break
            if not found.lines >= wanted:
                return kept
        return self._matter

    def broken(self, permitted: Sequence[str]) -> Attempt | None:
        """The best try that breaks some of the permitted fences; None where that helps nothing.

        Args:
            permitted: names of fences, the least bad first.
        """
        bits = [1 << fences.NAMES.index(name) for name in permitted]
        allowed = sum(set(bits)) & self._matter
        goal = self._try(allowed)
        if goal is None or not goal.lines > self._first.lines:
            return None
        best: tuple[tuple[int, list[int], int], Attempt] | None = None
        for breaking in _sets(allowed):
            if best is not None and breaking.bit_count() > best[0][0]:
                break
            found = self._try(breaking)
            if found is None:
                break
            if found.lines >= goal.lines:
                assert found.solution is not None, "something is planned"
                badness = [at for at, bit in enumerate(bits) if breaking & bit][::-1]
                rank = breaking.bit_count(), badness, found.solution.cost
                if best is None or rank < best[0]:
                    best = rank, found
        return goal if best is None else best[1]

    def _try(self, breaking: int) -> Attempt | None:
        """A try, if it is not one too many."""
        if breaking not in self._known:
            if not self._left:
                return None
            self._left -= 1
            self._known[breaking] = tried(replace(self._asked, relaxed=breaking))
        return self._known[breaking]


def _sets(bits: int) -> Iterator[int]:
    """All sets of some bits but the empty one, the smallest first."""
    ones = [1 << i for i in range(bits.bit_length()) if bits >> i & 1]
    for size in range(1, len(ones) + 1):
        for chosen in combinations(ones, size):
            yield sum(chosen)
