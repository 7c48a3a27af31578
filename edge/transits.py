"""Distributions of a network document as rows that a decision looks up in.

What is known of a duration is a `shared.network.Spread`: minutes at fixed quantiles, straight
lines between. Without history a stated time is a carrier's or a planner's commitment, and is
taken as kept nine times in ten, with `STATED_PER_MILLE` about it: how the quantiles of parcels'
transit times lie about their ninth decile on real lanes (the medians over 28 lanes of 60 or more
deliveries, rounded; handling times of 36 senders look the same but for a shorter tail).
"""

from typing import Final

import numpy as np

from edge.routing.kernel import Ints, Tails
from edge.routing.tails import tabulated
from shared.network import LEVELS_PER_MILLE

Known = tuple[int, ...]
"""Minutes at `LEVELS_PER_MILLE`."""

STATED_PER_MILLE: Final = (
    100, 200, 250, 300, 350, 400, 450, 500, 550, 650, 800, 1_000, 1_250, 1_850, 3_000,
)  # fmt: skip
POINT: Final[Known] = (0,) * len(LEVELS_PER_MILLE)
"""No duration at all."""
LEVELS_PPM: Final[Ints] = np.array(LEVELS_PER_MILLE, np.int64) * 1_000


def stated(minutes: int) -> Known:
    """The spread of a time that is only stated."""
    return tuple(minutes * share // 1_000 for share in STATED_PER_MILLE)


def shifted(spread: Known, minutes: int) -> Known:
    """The spread of a duration that is counted from `minutes` after its beginning."""
    return tuple(at - minutes for at in spread)


class Rows:
    """Collects the rows of a snapshot, each distribution once."""

    def __init__(self) -> None:
        """See the class."""
        self._known: dict[tuple[Known, Known], int] = {}

    def row(self, one: Known, other: Known = POINT) -> int:
        """The row of the sum of two independent durations."""
        return self._known.setdefault((one, other), len(self._known))

    def tails(self) -> Tails:
        """The rows so far, as the kernels take them."""
        shape = len(self._known), len(LEVELS_PPM)
        ones = np.array([one for one, _ in self._known], np.int64).reshape(shape)
        others = np.array([other for _, other in self._known], np.int64).reshape(shape)
        return tabulated(ones, others, LEVELS_PPM)
