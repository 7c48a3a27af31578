"""When central looks for answers that stay out, and whom it gives time first.

An answer is missed only if central was there to hear it: it has listened for at least the time
limit since its start, or since its broker was back. An edge that was away is given the limit
anew when it is back, since its warehouses' answers may stand further back in its log.
"""

from collections.abc import Mapping
from typing import Final

from central import correspondence
from central.burst import Key, Outcome
from central.feed import Line
from central.office import Office
from central.systems import Systems
from central.turn import Turn
from shared.errors import InternalError
from shared.systems import Step

EVERY_MS: Final = 1_000
"""How often it is looked at; of the clock that the limits are of."""


class Vigil:
    """What one process remembers for it.

    Args:
        systems: whom central drives.
    """

    def __init__(self, systems: Systems) -> None:
        """See the class."""
        self._systems = systems
        self._listening_ms: int | None = None
        self._looked_ms: int | None = None
        self._place = (0, "")

    def start_over(self) -> None:
        """The connection to the broker is new."""
        self._listening_ms = None

    def due(self, now_ms: int) -> bool:
        """Whether to look now."""
        if not self._systems.systems:
            return False
        if self._listening_ms is None or now_ms < self._listening_ms:
            self._listening_ms = now_ms
        if self._looked_ms is not None and 0 <= now_ms - self._looked_ms < EVERY_MS:
            return False
        self._looked_ms = now_ms
        return bool(self._steps(now_ms))

    def look(
        self, turn: Turn, lines: Mapping[str, Line], unfit: Mapping[Key, InternalError]
    ) -> Outcome:
        """Note what is missed.

        Args:
            turn: the transaction.
            lines: by edge id.
            unfit: see `central.ingest`.
        """
        office = Office(turn, unfit=unfit)
        sightings = correspondence.load_sightings(turn.connection)
        for step, limit_ms in self._steps(turn.now_ms).items():
            if step == "pick_acceptance":
                self._place = office.miss_tasks(limit_ms, self._place, lines)
            else:
                office.miss(step, limit_ms, sightings)
        office.save()
        return turn.finish()

    def _steps(self, now_ms: int) -> dict[Step, int]:
        """Those whose time limit central has listened for."""
        since_ms = now_ms if self._listening_ms is None else self._listening_ms
        limits_ms = self._systems.limits_ms
        return {step: ms for step, ms in limits_ms.items() if now_ms - since_ms >= ms}
