"""When the options of one question arrive, what their lateness costs, and what is promised.

The expected cost of lateness of a package, in minor units, is

    P(late) * late_minor + E(hours late) * late_minor_per_h

The first term is what breaking the promise costs, however little it is broken by; the second is
what waiting costs. With the first alone, all options that are surely late would cost the same,
and nobody would hurry any more; with the second alone, an option that is often a little late
would pass for punctual. Both are exact expectations of the tabulated distribution, so a plan of
least cost is the plan of least expected cost (packages' costs add up, whether or not their
delays depend on each other).
"""

from typing import NamedTuple

import numpy as np

from edge.network import Ints, Options, Snapshot
from edge.routing.lateness import arrival_min, cost_minor, late_by, lateness, one_ppm, unwidened
from shared.limits import COST_MINOR_MAX
from shared.parts import StaleInput
from shared.sourcing import Profile

_MINUTE_MS = 60_000
_FAR_MIN = 1 << 40
_EVEN_PPM = one_ppm // 2


class Promise(NamedTuple):
    """What one package is promised. Times are milliseconds since 1970 UTC, whole minutes."""

    edd_ms: int
    arrives_ms: int
    on_time_per_mille: int | None


class Arrivals:
    """Arrivals of the options of one question.

    Args:
        snapshot: whose tables are read.
        options: the options.
        ready_ms: int64[O], when each is ready if all goes as stated; a slot may make it later.
        now_ms: the time of the decision.
    """

    def __init__(self, snapshot: Snapshot, options: Options, ready_ms: Ints, now_ms: int) -> None:
        """See the class."""
        self._snapshot = snapshot
        self._options = options
        self._ready_min: Ints = -(-ready_ms // _MINUTE_MS)
        self._now_ms = now_ms
        self._widen = snapshot.widen_per_mille(now_ms)

    def lateness(self, deadline_ms: int) -> tuple[Ints, Ints]:
        """int64[O] P(late) in parts per million, int64[O] expected seconds late."""
        snapshot, options = self._snapshot, self._options
        late_ppm, late_s = lateness(
            snapshot.tails, snapshot.pickups, snapshot.calendar, self._widen, options.node,
            options.tail, options.pickup, self._ready_min, _to_min(deadline_ms),
        )  # fmt: skip
        return late_ppm, late_s

    def cost_minor(self, deadline_ms: int, profile: Profile) -> Ints:
        """int64[O], the expected cost of lateness."""
        if not profile.late_minor and not profile.late_minor_per_h:
            return np.zeros(len(self._ready_min), np.int64)
        snapshot, options = self._snapshot, self._options
        cost: Ints = cost_minor(
            snapshot.tails, snapshot.pickups, snapshot.calendar, self._widen, options.node,
            options.tail, options.pickup, self._ready_min, _to_min(deadline_ms),
            profile.late_minor, profile.late_minor_per_h,
        )  # fmt: skip
        return np.minimum(cost, COST_MINOR_MAX)

    def promise(self, option: int, deadline_ms: int | None) -> Promise:
        """What a package by one option is promised; P(on time) only where there is a deadline."""
        snapshot, options = self._snapshot, self._options
        one = (
            snapshot.tails, snapshot.pickups, snapshot.calendar, self._widen,
            int(options.node[option]), int(options.tail[option]), int(options.pickup[option]),
            int(self._ready_min[option]),
        )  # fmt: skip
        late_max_ppm = one_ppm - snapshot.network.profile.promise_per_mille * 1_000
        on_time = None
        if deadline_ms is not None:
            on_time = (one_ppm + 500 - late_by(*one, _to_min(deadline_ms))[0]) // 1_000
        return Promise(
            edd_ms=arrival_min(*one, _EVEN_PPM) * _MINUTE_MS,
            arrives_ms=arrival_min(*one, late_max_ppm) * _MINUTE_MS,
            on_time_per_mille=on_time,
        )

    def stale(self) -> list[StaleInput]:
        """What was too old to be taken as it stands."""
        made_ms = self._snapshot.made_ms
        if made_ms is None or self._widen == unwidened:
            return []
        age_s = (self._now_ms - made_ms) // 1_000
        return [StaleInput(source="network", age_s=age_s, widened_per_mille=self._widen)]


def _to_min(deadline_ms: int) -> int:
    """Whole minutes, within what the kernels' integers have room for."""
    return max(-_FAR_MIN, min(deadline_ms // _MINUTE_MS, _FAR_MIN))
