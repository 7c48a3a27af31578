"""The fake network: between edges and central's broker, and on each site. All of it seeded."""

from collections.abc import Callable
from random import Random
from typing import Final

from deploy.sim.agenda import Agenda
from deploy.sim.scenario import Weather

LAN_MS: Final = (0, 4)
WAN_MS: Final = (5, 60)
SLOW_MS: Final = (1_000, 12_000)
GAP_MS: Final = 2
"""Between two deliveries on one line."""


class Line:
    """One way from one end to another, over a broker.

    What is sent together travels together. In order, unless something is held up and overtaken.

    Args:
        agenda: when things happen.
        random: decides what becomes of each message.
        weather: how bad it is; None: a line on which nothing is lost.
        name: for the trace.
        deliver: is given what arrives.
    """

    def __init__(
        self,
        agenda: Agenda,
        random: Random,
        weather: Weather | None,
        name: str,
        deliver: Callable[[list[object]], None],
        delay_ms: tuple[int, int] = WAN_MS,
    ) -> None:
        """See the class."""
        self._agenda = agenda
        self._random = random
        self._weather = weather
        self._name = name
        self._deliver = deliver
        self._delay_ms = delay_ms
        self._last_ms = 0
        self._age = 0
        self.cut = False
        self.under_way = 0
        self.lost = 0

    def calm(self) -> None:
        """From now on nothing is lost, doubled or held up."""
        self._weather = None

    def forget(self) -> None:
        """Lose what is under way."""
        self._age += 1
        self.under_way = 0
        self._last_ms = 0

    def send(self, messages: list[object]) -> None:
        """Let messages travel."""
        if self.cut:
            self.lost += len(messages)
            return
        together: list[object] = []
        for message in messages:
            weather = self._weather
            draw = 1.0 if weather is None else self._random.random()
            if weather is None or draw >= weather.drop + weather.double + weather.reorder:
                together.append(message)
            elif draw < weather.drop:
                self.lost += 1
            elif draw < weather.drop + weather.double:
                together.append(message)
                self._travel([message], self._random.randint(*self._delay_ms), in_order=False)
            else:
                held_ms = self._random.randint(*self._delay_ms) * 8
                self._travel([message], held_ms, in_order=False)
        if together:
            delay_ms = self._random.randint(*self._delay_ms)
            if self._weather is not None and self._random.random() < self._weather.slow:
                delay_ms += self._random.randint(*SLOW_MS)
            self._travel(together, delay_ms, in_order=True)

    def _travel(self, messages: list[object], delay_ms: int, *, in_order: bool) -> None:
        if in_order:
            earliest_ms = self._last_ms + GAP_MS - self._agenda.now_ms
            delay_ms = max(delay_ms, earliest_ms)
            self._last_ms = self._agenda.now_ms + delay_ms
        age = self._age
        self.under_way += 1

        def arrive() -> None:
            if age != self._age:
                return
            self.under_way -= 1
            if self.cut:
                self.lost += len(messages)
            else:
                self._deliver(messages)

        self._agenda.after(delay_ms, self._name, arrive)
