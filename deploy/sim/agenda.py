"""What happens when: the one order of everything in a simulated world."""

import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

Action = Callable[[], None]

STEPS_SHOWN_MAX: Final = 40
"""So many of the last steps are kept, to show how it came to an end."""


class Agenda:
    """Simulated time, and what is to come, in one fixed order.

    Attributes:
        now_ms: milliseconds since the world began.
        steps: events that have happened.
        last: the newest of them, oldest first.
    """

    def __init__(self) -> None:
        """Time begins."""
        self.now_ms = 0
        self.steps = 0
        self.last: deque[str] = deque(maxlen=STEPS_SHOWN_MAX)
        self._coming: list[tuple[int, int, str, Action]] = []
        self._count = 0
        self._trace = hashlib.blake2b(digest_size=16)

    def after(self, delay_ms: int, what: str, action: Action) -> None:
        """Let something happen in a while; what is due at once happens in the order of calls."""
        assert delay_ms >= 0, delay_ms
        self._count += 1
        heapq.heappush(self._coming, (self.now_ms + delay_ms, self._count, what, action))

    def step(self) -> None:
        """Let the next event happen."""
        self.now_ms, _, what, action = heapq.heappop(self._coming)
        self.steps += 1
        self.last.append(f"{self.steps:6} {self.now_ms:8} ms  {what}")
        self._trace.update(f"{self.now_ms} {what}\n".encode())
        action()

    def note(self, what: str) -> None:
        """Add to the trace what an event has led to."""
        self.last.append(f"{'':6} {'':8}       {what}")
        self._trace.update(what.encode())

    def mark(self, content: bytes) -> None:
        """Add to the trace without a word."""
        self._trace.update(content)

    def trace(self) -> str:
        """A hash over all that has happened: the same seed gives the same one."""
        return self._trace.hexdigest()
