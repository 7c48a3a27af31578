"""How much of the edge's log may wait for central, and who hears that it fills."""

from typing import Final

import structlog

ALARMS: Final = (70, 85, 95)
"""Percent of the bound at which someone should hear of it."""

log = structlog.get_logger()


class Outbox:
    """The bound on what waits.

    Args:
        rows_max: entries that central does not have.
    """

    def __init__(self, rows_max: int) -> None:
        """See the class."""
        self._rows_max = rows_max
        self._alarm = 0

    def end_max(self, acked: int, health: int) -> int:
        """The log may not grow beyond this position.

        Args:
            acked: central has it through here.
            health: entries about devices behind that; they have room of their own, so that they
                keep no payment out.
        """
        return acked + self._rows_max + health

    def watch(self, waiting: int) -> None:
        """Say when it fills or empties past an alarm."""
        percent = 100 * waiting // self._rows_max
        reached = max((x for x in ALARMS if percent >= x), default=0)
        if reached > self._alarm:
            log.error("outbox_filling", rows=waiting, percent=percent, alarm_percent=reached)
        elif reached < self._alarm:
            log.info("outbox_emptying", rows=waiting, percent=percent)
        self._alarm = reached
