"""What befalls the day: a line is cut, an edge is killed, a broker loses all it held."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from deploy.demo.device import Device
from deploy.demo.progress import Progress
from deploy.demo.report import Cut, Outage
from deploy.demo.script import Script, local_time
from deploy.demo.stage import Stage
from deploy.demo.wan import Wan
from shared.clock import ScaledClock, to_datetime, to_ms

CUT_EDGE: Final = "edge-south"
KILLED_EDGE: Final = "edge-east"
WIPED_BROKER: Final = "edge-north"

# Fractions of the day from its first sale to its last.
_CUT_FROM: Final = 0.39
_CUT_SHARE: Final = 0.225
"""Two hours of nine, from noon."""

_KILLED_AT: Final = 0.5
_WIPED_AT: Final = 0.7


class Mishaps:
    """All of them, each at its time.

    Args:
        stage: brokers and daemons.
        wans: edge id to its line to central.
        script: for a question that finds out when an edge answers again.
        clock: simulated time.
        rate: simulated seconds per real second.
        progress: told as it happens.

    Attributes:
        cut: the cut of a line, once it is over.
        outages: the others, once they are over.
    """

    def __init__(
        self,
        stage: Stage,
        wans: Mapping[str, Wan],
        script: Script,
        clock: ScaledClock,
        rate: float,
        progress: Progress,
    ) -> None:
        """See the class."""
        self.cut: Cut | None = None
        self.outages: list[Outage] = []
        self._stage = stage
        self._wans = wans
        self._sales = script.sales
        self._clock = clock
        self._rate = rate
        self._progress = progress

    async def befall(self, first: datetime, span: timedelta) -> None:
        """Let them happen.

        Args:
            first: simulated time of the first sale.
            span: simulated time from there to the last sale.
        """
        late = first - self._sales[0].at
        await asyncio.gather(
            self._cut_wan(first + span * _CUT_FROM, span * _CUT_SHARE),
            self._kill_edge(late + self._sale_at(KILLED_EDGE, _KILLED_AT)),
            self._wipe_broker(late + self._sale_at(WIPED_BROKER, _WIPED_AT)),
        )

    def _sale_at(self, edge_id: str, share: float) -> datetime:
        """The edge's sale that is nearest to that part of the day: somebody is to notice."""
        begin, end = self._sales[0].at, self._sales[-1].at
        wanted = begin + (end - begin) * share
        times = [sale.at for sale in self._sales if sale.edge_id == edge_id]
        return min(times, key=lambda at: abs(at - wanted))

    async def _cut_wan(self, begin: datetime, length: timedelta) -> None:
        wan = self._wans[CUT_EDGE]
        await self._until(begin)
        cut = Cut(CUT_EDGE, _real_ms(), simulated_h=length.total_seconds() / 3600)
        wan.cut()
        self._progress.wan(f"of {CUT_EDGE} is cut, {self._hour()}")
        await self._until(begin + length)
        wan.heal()
        self._progress.wan(f"of {CUT_EDGE} is back, {self._hour()}")
        self.cut = replace(cut, to_ms=_real_ms(), turned_away=wan.turned_away)

    async def _kill_edge(self, moment: datetime) -> None:
        """No farewell, no flush: kill -9, and start again at once."""
        await self._until(moment)
        edge, begin_ms = self._stage.daemons[KILLED_EDGE], _real_ms()
        await edge.kill()
        self._progress.mishap(f"killed {KILLED_EDGE} with -9, {self._hour()}")
        await edge.start()
        await self._answers(KILLED_EDGE)
        self._progress.mishap(f"{KILLED_EDGE} answers again, {self._hour()}")
        outage = Outage("edge killed", KILLED_EDGE, begin_ms, _real_ms())
        self.outages.append(outage)

    async def _wipe_broker(self, moment: datetime) -> None:
        """Sessions, subscriptions and every message under way are gone for good."""
        await self._until(moment)
        broker, begin_ms = self._stage.brokers[WIPED_BROKER], _real_ms()
        await broker.kill()
        self._stage.wipe(WIPED_BROKER)
        self._progress.mishap(f"broker of {WIPED_BROKER} killed and wiped, {self._hour()}")
        await broker.start()
        await self._stage.listening(WIPED_BROKER)
        await self._answers(WIPED_BROKER)
        self._progress.mishap(f"{WIPED_BROKER} answers again, {self._hour()}")
        outage = Outage("broker wiped", WIPED_BROKER, begin_ms, _real_ms())
        self.outages.append(outage)

    async def _answers(self, edge_id: str) -> None:
        """Wait until a question on the edge's broker is answered."""
        async with Device("probe", self._stage.ports[edge_id], lambda *_: None) as probe:
            await probe.reach(self._sales[0].question, lambda: to_datetime(self._clock.now_ms()))

    async def _until(self, moment: datetime) -> None:
        wait_ms = to_ms(moment) - self._clock.now_ms()
        await asyncio.sleep(max(0.0, wait_ms / 1000 / self._rate))

    def _hour(self) -> str:
        return f"{local_time(self._clock.now_ms()):%H:%M}"


def _real_ms() -> float:
    return time.time() * 1000
