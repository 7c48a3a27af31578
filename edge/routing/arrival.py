"""When the options of one question arrive, what their lateness costs, and what is promised.

The expected cost of lateness of a package, in minor units, is

    P(late) * late_minor + E(hours late) * late_minor_per_h

The first term is what breaking the promise costs, however little it is broken by; the second is
what waiting costs. With the first alone, all options that are surely late would cost the same,
and nobody would hurry any more; with the second alone, an option that is often a little late
would pass for punctual. Both are exact expectations of the tabulated distribution, so a plan of
least cost is the plan of least expected cost (packages' costs add up, whether or not their
delays depend on each other). Speed is priced likewise: each expected hour between the order and
its arrival costs what the profile says for a customer who prefers economy, or express.
"""

from typing import Final, NamedTuple

import numpy as np

from edge.network import Ints, Options, Snapshot
from edge.routing.kernel import Table, Tails
from edge.routing.lateness import (
    arrival_min,
    expected_cost,
    late_by,
    lateness,
    one_ppm,
    unwidened,
)
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


LATENESS_MINOR_MAX: Final = COST_MINOR_MAX // 2
SPEED_MINOR_MAX: Final = COST_MINOR_MAX // 5
"""Of one package: with these, costs stay within the kernels' integers."""


class Arrivals:
    """Arrivals of the options of one question.

    Args:
        snapshot: whose tables are read.
        options: the options.
        ready_ms: int64[O], when each is ready if all goes as stated; a slot may make it later.
        delay_min: int64[O], how much longer carriers take just now.
        now_ms: the time of the decision.
    """

    def __init__(
        self, snapshot: Snapshot, options: Options, ready_ms: Ints, delay_min: Ints, now_ms: int
    ) -> None:
        """See the class."""
        self._snapshot = snapshot
        self._options = options
        self._ready_min: Ints = -(-ready_ms // _MINUTE_MS)
        self._delay_min = delay_min
        self._now_ms = now_ms
        self._widen = snapshot.widen_per_mille(now_ms)

    def lateness(self, deadline_ms: int) -> tuple[Ints, Ints]:
        """int64[O] P(late) in parts per million, int64[O] expected seconds late."""
        snapshot, options = self._snapshot, self._options
        late_ppm, late_s = lateness(
            snapshot.tails, snapshot.pickups, snapshot.calendar, self._widen, options.node,
            options.tail, options.pickup, self._ready_min, self._by_min(deadline_ms),
        )  # fmt: skip
        return late_ppm, late_s

    def lateness_minor(self, deadline_ms: int, profile: Profile) -> Ints:
        """int64[O], the expected cost of lateness."""
        cost = self._expected(deadline_ms, profile.late_minor, profile.late_minor_per_h)
        return np.minimum(cost, LATENESS_MINOR_MAX)

    def speed_minor(self, minor_per_h: int) -> Ints:
        """int64[O], what the expected hours until the arrival cost."""
        return np.minimum(self._expected(self._now_ms, 0, minor_per_h), SPEED_MINOR_MAX)

    def _expected(self, moment_ms: int, minor: int, minor_per_h: int) -> Ints:
        if not minor and not minor_per_h:
            return np.zeros(len(self._ready_min), np.int64)
        snapshot, options = self._snapshot, self._options
        return expected_cost(
            snapshot.tails, snapshot.pickups, snapshot.calendar, self._widen, options.node,
            options.tail, options.pickup, self._ready_min, self._by_min(moment_ms), minor,
            minor_per_h,
        )  # fmt: skip

    def edd_ms(self, option: int) -> int:
        """When one option is as likely there as not, milliseconds since 1970 UTC."""
        return arrival_min(*self._one(option), _EVEN_PPM) * _MINUTE_MS + self._delay_ms(option)

    def promise(self, option: int, deadline_ms: int | None, promise_per_mille: int) -> Promise:
        """What a package by one option is promised; P(on time) only where there is a deadline."""
        one = self._one(option)
        late_max_ppm = one_ppm - promise_per_mille * 1_000
        on_time = None
        if deadline_ms is not None:
            by_min = _to_min(deadline_ms) - int(self._delay_min[option])
            on_time = (one_ppm + 500 - late_by(*one, by_min)[0]) // 1_000
        arrives_ms = arrival_min(*one, late_max_ppm) * _MINUTE_MS + self._delay_ms(option)
        return Promise(edd_ms=self.edd_ms(option), arrives_ms=arrives_ms, on_time_per_mille=on_time)

    def stale(self) -> list[StaleInput]:
        """What was too old to be taken as it stands."""
        made_ms = self._snapshot.made_ms
        if made_ms is None or self._widen == unwidened:
            return []
        age_s = (self._now_ms - made_ms) // 1_000
        return [StaleInput(source="network", age_s=age_s, widened_per_mille=self._widen)]

    def _one(self, option: int) -> tuple[Tails, Table, Table, int, int, int, int, int]:
        snapshot, options = self._snapshot, self._options
        return (
            snapshot.tails, snapshot.pickups, snapshot.calendar, self._widen,
            int(options.node[option]), int(options.tail[option]), int(options.pickup[option]),
            int(self._ready_min[option]),
        )  # fmt: skip

    def _by_min(self, moment_ms: int) -> Ints:
        return _to_min(moment_ms) - self._delay_min

    def _delay_ms(self, option: int) -> int:
        return int(self._delay_min[option]) * _MINUTE_MS


def _to_min(moment_ms: int) -> int:
    """Whole minutes, within what the kernels' integers have room for."""
    return max(-_FAR_MIN, min(moment_ms // _MINUTE_MS, _FAR_MIN))
