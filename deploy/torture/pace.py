"""Holds faults and payments together: neither runs away from the other.

A fault waits for its payment. And because a daemon takes a second to start, and a payment a
millisecond, payments wait for the faults that are due before them: else the ten thousand would
be over before the first ten kills.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from deploy.torture.plan import Fault

_SLACK: Final = 20
"""Payments that may begin beyond a fault that is due."""


class Pace:
    """The count of payments, and the faults that have not happened.

    Args:
        faults: the script.
        payments: how many there are to be.

    Attributes:
        begun: payments that have begun.
        happened: faults that have happened, by kind.
        over: no more payments, no more faults.
    """

    def __init__(self, faults: Iterable[Fault], payments: int) -> None:
        """See the class."""
        self.begun = 0
        self.happened: Counter[str] = Counter()
        self.over = False
        self._payments = payments
        self._open = sorted(faults, key=lambda fault: fault.after)
        self._changed = asyncio.Event()

    async def next_payment(self) -> int | None:
        """Wait for the turn of the next payment; its number from 0, or None: no more."""
        while not self._ended() and self.begun >= self._limit():
            await self._change()
        if self._ended():
            return None
        self.begun += 1
        self._tell()
        return self.begun - 1

    async def until(self, payments: int) -> bool:
        """Wait until so many payments have begun; False: it does not come to that any more."""
        while not self.over and self.begun < payments:
            await self._change()
        return not self.over

    def happens(self, fault: Fault) -> None:
        """A fault has happened."""
        self._open.remove(fault)
        self.happened[fault.kind] += 1
        self._tell()

    def end(self) -> None:
        """Nothing begins any more."""
        self.over = True
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _change(self) -> None:
        await self._changed.wait()

    def _ended(self) -> bool:
        return self.over or self.begun >= self._payments

    def _limit(self) -> int:
        """Payments that may have begun now."""
        return self._open[0].after + _SLACK if self._open else self._payments
