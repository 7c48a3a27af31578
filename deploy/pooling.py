"""Distributions of many groups, few of which have data enough of their own.

Each group (a lane, a node) is thought of as a draw from what its parent looks like (its pair of
regions, its distance class, its service), which is a Dirichlet process: the predictive
distribution is then the group's own observations and its parent's distribution, mixed in the
ratio n : m (Ferguson 1973; Teh et al., "Hierarchical Dirichlet Processes", 2006, for chains of
them). m, how many observations the parent counts for, is chosen at each level by what predicts
best: the least continuous ranked probability score of every observation given all others
(leave-one-out, in closed form). A group's own data is left out of the parent that it is drawn to,
so that nothing counts twice.

Durations are minutes, put on a grid that is 2 % fine, so that short and long ones are judged
alike and a freak of 200 days weighs no more than one of 60.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.network import LEVELS_PER_MILLE

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GRID_MIN: Final[Ints] = np.unique(np.geomspace(1, 120_000, 600).astype(np.int64))
STRENGTHS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
_LEAST, _MOST = 0.001, 0.999
"""What is outside is not believed in: a typing error must not become the longest transit."""
_GROUPS_AT_ONCE = 2_000


class Hierarchy:
    """Groups in levels, each inside one of the next level.

    Args:
        parents: for each level, finest first, int64[groups], the group of the next level that
            each group is in; everything is in the one group above the last level.
        group: int64[n], group of the finest level of each observation.
        minutes: int64[n], the observations.
        weights: float64[n], what each counts for, at most 1; all 1 without.

    Attributes:
        strengths: m of each level, finest first.
        counts: int64[groups], observations of each group of the finest level.
    """

    def __init__(
        self,
        parents: Sequence[Ints],
        group: Ints,
        minutes: Ints,
        weights: Floats | None = None,
    ) -> None:
        """See the class."""
        self._parents = list(parents)
        column = np.searchsorted(GRID_MIN, np.minimum(minutes, GRID_MIN[-1]))
        ones = np.ones(len(minutes))
        self.counts: Ints = np.bincount(group, minlength=len(parents[0]))
        plain = self._below(group, column, ones)
        self.strengths: list[int] = [0] * len(parents)
        for level in reversed(range(len(parents))):
            self.strengths[level] = self._best_strength(plain, level)
        self._mass = plain if weights is None else self._below(group, column, weights)

    def _below(self, group: Ints, column: Ints, weights: Floats) -> list[Floats]:
        """Of each level, then of everything: float64[groups, grid], weight at or below."""
        shape = len(self._parents[0]), len(GRID_MIN)
        flat = np.bincount(group * shape[1] + column, weights, minlength=shape[0] * shape[1])
        finest: Floats = np.cumsum(flat.reshape(shape), axis=1, dtype=np.float64)
        found = [finest]
        for parent in self._parents:
            above = np.zeros((int(parent.max()) + 1, shape[1]))
            np.add.at(above, parent, found[-1])
            found.append(above)
        return found

    def _prior(self, mass: list[Floats], level: int, groups: Ints) -> Floats:
        """What the rest of the world says of some groups of a level: float64[groups, grid]."""
        chain = [groups]
        for parent in self._parents[level:]:
            chain.append(parent[chain[-1]])
        prior = np.zeros((len(groups), len(GRID_MIN)))
        for up in reversed(range(level, len(self._parents))):
            above, below = chain[up + 1 - level], chain[up - level]
            others = mass[up + 1][above] - mass[up][below]
            if up + 1 == len(self._parents):
                alone = others[:, -1:] <= 0
                others = np.where(alone, mass[up + 1][above], others)
                prior = others / np.maximum(others[:, -1:], 1e-9)
            else:
                strength = self.strengths[up + 1]
                prior = (others + strength * prior) / (others[:, -1:] + strength)
        return prior

    def _best_strength(self, mass: list[Floats], level: int) -> int:
        """The strength by which each observation is best foretold from all others."""
        scores = np.zeros(len(STRENGTHS))
        seen = np.flatnonzero(mass[level][:, -1] > 0)
        for start in range(0, len(seen), _GROUPS_AT_ONCE):
            groups = seen[start : start + _GROUPS_AT_ONCE]
            prior = self._prior(mass, level, groups)
            own = mass[level][groups]
            n = own[:, -1:]
            for i, m in enumerate(STRENGTHS):
                # Of n observations, own[x] are at or below x: each of these is left out of it.
                below = (own - 1 + m * prior) / (n - 1 + m) - 1
                above = (own + m * prior) / (n - 1 + m)
                scores[i] += float((own * below**2 + (n - own) * above**2).sum())
        return STRENGTHS[int(np.argmin(scores))]

    def spreads(self) -> list[list[int]]:
        """Minutes at `LEVELS_PER_MILLE` of each group of the finest level."""
        found: list[list[int]] = []
        for start in range(0, len(self.counts), _GROUPS_AT_ONCE):
            groups = np.arange(start, min(start + _GROUPS_AT_ONCE, len(self.counts)))
            own, m = self._mass[0][groups], self.strengths[0]
            mixed = (own + m * self._prior(self._mass, 0, groups)) / (own[:, -1:] + m)
            found.extend(_quantiles(below) for below in mixed)
        return found


def _quantiles(below: Floats) -> list[int]:
    """Minutes at the levels of one distribution function on the grid."""
    levels = np.clip(np.array(LEVELS_PER_MILLE) / 1_000, _LEAST, _MOST)
    right = np.minimum(np.searchsorted(below, levels), len(GRID_MIN) - 1)
    left = np.maximum(right - 1, 0)
    rise = np.maximum(below[right] - below[left], 1e-12)
    part = np.clip((levels - below[left]) / rise, 0, 1)
    minutes = GRID_MIN[left] + part * (GRID_MIN[right] - GRID_MIN[left])
    return [int(x) for x in np.maximum.accumulate(np.rint(minutes))]
