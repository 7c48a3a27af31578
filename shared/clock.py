"""Clocks: wall time for daemons, scaled time for the demo, hybrid logical time for causes.

Nothing in the engine asks a clock; time is passed in.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a daemon gets the time that it stamps and decides with."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000


class ScaledClock:
    """Simulated time that runs `rate` times as fast as the machine's clock.

    All processes given the same three numbers agree on the simulated time.

    Args:
        real_ms: the real moment at which simulated time is `simulated_ms`.
        simulated_ms: where simulated time starts.
        rate: simulated seconds per real second, > 0.
    """

    def __init__(self, real_ms: int, simulated_ms: int, rate: float) -> None:
        """See the class."""
        assert rate > 0, rate
        self._real_ms = real_ms
        self._simulated_ms = simulated_ms
        self._rate = rate

    def now_ms(self) -> int:
        """Simulated milliseconds since 1970-01-01 UTC."""
        elapsed_ms = time.time_ns() / 1e6 - self._real_ms
        return self._simulated_ms + int(elapsed_ms * self._rate)


_COUNTER_BITS = 16
_MS_MIN = -62_135_596_800_000
_MS_MAX = 253_402_300_799_999


class HybridClock:
    """Hybrid logical clock: order of causes, close to wall time.

    Source: Kulkarni, Demirbas et al., "Logical Physical Clocks and Consistent Snapshots in
    Globally Distributed Databases" (2014). 48 bits of milliseconds and a 16-bit counter,
    written as 16 hex digits, so that text order is causal order.

    Args:
        last: the last reading before a restart, so that a clock set back never repeats one.
    """

    def __init__(self, last: str = "0" * 16) -> None:
        """See the class."""
        self._value = int(last, 16)

    def tick(self, now_ms: int) -> str:
        """A reading for an event that happens now; later than every reading before."""
        self._value = max(now_ms << _COUNTER_BITS, self._value + 1)
        return f"{self._value:016x}"

    def observe(self, reading: str) -> None:
        """Take note of an event from elsewhere: the next `tick` is later than it.

        A reading beyond the year 9999 is no clock's and is ignored: it would use up the 48 bits.
        """
        value = int(reading, 16)
        if value >> _COUNTER_BITS <= _MS_MAX:
            self._value = max(self._value, value)


def to_datetime(ms: int) -> datetime:
    """Milliseconds since 1970 as an aware UTC datetime, from the year 1 to the year 9999.

    What is beyond becomes the nearest moment within: what a ledger has can always be told.
    """
    return datetime.fromtimestamp(max(_MS_MIN, min(ms, _MS_MAX)) / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """An aware datetime as milliseconds since 1970 UTC."""
    return round(moment.timestamp() * 1000)
