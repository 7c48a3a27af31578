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

from edge.network import Ints, Options, Snapshot
from edge.routing.kernel import Table, Tails
from edge.routing.lateness import (
    arrival_min,
    even_ppm,
    expected_cost,
    lateness,
    one_ppm,
    promised,
    unwidened,
)
from shared.limits import COST_MINOR_MAX
from shared.parts import StaleInput
from shared.sourcing import Profile

_MINUTE_MS = 60_000
_FAR_MIN = 1 << 40


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
        self._ready_ms = ready_ms
        self._delay_min = delay_min
        self._now_ms = now_ms
        self._widen = snapshot.widen_per_mille(now_ms)
        self._each = (
            snapshot.tails, snapshot.pickups, snapshot.calendar, self._widen, options.node,
            options.tail, options.pickup, ready_ms, delay_min,
        )  # fmt: skip

    def lateness(self, deadline_ms: int) -> tuple[Ints, Ints]:
        """int64[O] P(late) in parts per million, int64[O] expected seconds late."""
        late_ppm, late_s = lateness(*self._each, _to_min(deadline_ms))
        return late_ppm, late_s

    def lateness_minor(self, deadline_ms: int, profile: Profile) -> Ints:
        """int64[O], the expected cost of lateness."""
        return self._expected(
            deadline_ms, profile.late_minor, profile.late_minor_per_h, LATENESS_MINOR_MAX
        )

    def speed_minor(self, minor_per_h: int) -> Ints:
        """int64[O], what the expected hours until the arrival cost."""
        return self._expected(self._now_ms, 0, minor_per_h, SPEED_MINOR_MAX)

    def _expected(self, moment_ms: int, minor: int, minor_per_h: int, minor_max: int) -> Ints:
        return expected_cost(*self._each, _to_min(moment_ms), minor, minor_per_h, minor_max)

    def edd_ms(self, option: int) -> int:
        """When one option is as likely there as not, milliseconds since 1970 UTC."""
        edd_min = arrival_min(*self._one(option), even_ppm) + int(self._delay_min[option])
        return edd_min * _MINUTE_MS

    def promise(self, option: int, deadline_ms: int | None, promise_per_mille: int) -> Promise:
        """What a package by one option is promised; P(on time) only where there is a deadline."""
        delay_min = int(self._delay_min[option])
        by_min = 0 if deadline_ms is None else _to_min(deadline_ms) - delay_min
        edd_min, arrives_min, late_ppm = promised(
            *self._one(option), one_ppm - promise_per_mille * 1_000, by_min
        )
        return Promise(
            edd_ms=(edd_min + delay_min) * _MINUTE_MS,
            arrives_ms=(arrives_min + delay_min) * _MINUTE_MS,
            on_time_per_mille=None if deadline_ms is None else (one_ppm + 500 - late_ppm) // 1_000,
        )

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
            -(-int(self._ready_ms[option]) // _MINUTE_MS),
        )  # fmt: skip


def _to_min(moment_ms: int) -> int:
    """Whole minutes, within what the kernels' integers have room for."""
    return max(-_FAR_MIN, min(moment_ms // _MINUTE_MS, _FAR_MIN))
