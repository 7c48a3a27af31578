"""How far a system's commands have been sent, and when they are sent again. Pure.

Two lanes, so that neither blocks the other: one goes on to commands that were never sent, one
goes round through all that are still open. Each has a bounded window. Times are of any clock
that only moves forward, in ms.
"""

from collections.abc import Iterable
from typing import Final

WINDOW: Final = 64
"""Commands of one lane that are on their way at a time."""

PATIENCE_MS: Final = 2_000
"""After so long a command makes room in its lane, answered or not; its turn comes again."""

ROUND_MS: Final = 5_000
ROUND_MS_MAX: Final = 300_000
"""How long it takes at least until all open commands are sent again; doubles with each round."""


class Lane:
    """One way through a system's open commands.

    Attributes:
        cursor: position of the last command that was sent.
    """

    def __init__(self) -> None:
        """See the class."""
        self.cursor = 0
        self._sent_ms: dict[str, int] = {}

    def room(self, elapsed_ms: int) -> int:
        """How many commands may be sent now."""
        for command_id, sent_ms in list(self._sent_ms.items()):
            if elapsed_ms - sent_ms < PATIENCE_MS:
                break  # in the order of sending
            del self._sent_ms[command_id]
        return WINDOW - len(self._sent_ms)

    def mark_sent(self, sequence: int, command_id: str, elapsed_ms: int) -> None:
        """A command is on its way."""
        assert sequence > self.cursor, (sequence, self.cursor)
        self.cursor = sequence
        self._sent_ms.pop(command_id, None)
        self._sent_ms[command_id] = elapsed_ms

    def answered(self, command_id: str) -> None:
        """A command's answer is in."""
        self._sent_ms.pop(command_id, None)


class Courier:
    """A system's commands.

    Args:
        last: position of the newest open command that is known; 0: none is.
    """

    def __init__(self, last: int) -> None:
        """See the class."""
        self.last = last
        self.fresh = Lane()
        self.again = Lane()
        self._round_ms = ROUND_MS
        self._began_ms: int | None = None
        self._heard = False
        self._repeated = False

    def commanded(self, sequence: int) -> None:
        """There is a newer command."""
        self.last = max(self.last, sequence)

    def answered(self, command_id: str) -> None:
        """A command's answer is in."""
        self.fresh.answered(command_id)
        self.again.answered(command_id)

    def start_over(self) -> None:
        """The connection is new: everything that is open is sent anew."""
        self.fresh, self.again = Lane(), Lane()
        self._round_ms, self._began_ms = ROUND_MS, None

    def hear(self) -> None:
        """The system has said something: if it was silent before, the next round begins at once."""
        if not self._heard and self._round_ms > ROUND_MS:
            self._round_ms, self._began_ms = ROUND_MS, None
        self._heard = True

    def lane_due(self, elapsed_ms: int) -> list[Lane]:
        """The lanes that may send now; what they send are open commands after their cursors."""
        lanes = [self.fresh] if self.fresh.cursor < self.last else []
        if self._began_ms is None:
            self._began_ms = elapsed_ms
        begins = self.again.cursor > 0 or elapsed_ms - self._began_ms >= self._round_ms
        if begins and self.again.cursor < self.fresh.cursor:
            lanes.append(self.again)
        return [lane for lane in lanes if lane.room(elapsed_ms) > 0]

    def send(
        self, lane: Lane, found: Iterable[tuple[int, str]], room: int, elapsed_ms: int
    ) -> list[tuple[int, str]]:
        """Send open commands by a lane; returns those of them that it is to carry.

        Args:
            lane: one that is due.
            found: position and id of the next open commands after its cursor, at most `room`.
            room: how many were asked for: if there are fewer, these are the last.
            elapsed_ms: now.
        """
        found = list(found)
        last = self.last if lane is self.fresh else self.fresh.cursor
        carried = [x for x in found if x[0] <= last]
        for sequence, command_id in carried:
            lane.mark_sent(sequence, command_id, elapsed_ms)
        self._repeated = self._repeated or (lane is self.again and bool(carried))
        if len(carried) < room:
            lane.cursor = last  # all between is answered
        if lane is self.again and lane.cursor >= last:
            self._end_round(elapsed_ms)
        return carried

    def _end_round(self, elapsed_ms: int) -> None:
        """The second lane has come to where the first one is."""
        self.again.cursor = 0
        # Where all is answered, the next command that gets lost is not to wait for long.
        self._round_ms = min(self._round_ms * 2, ROUND_MS_MAX) if self._repeated else ROUND_MS
        self._began_ms, self._heard, self._repeated = elapsed_ms, False, False
