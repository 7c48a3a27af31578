"""Carries the fault script out on real processes and lines, each lane on its own."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from deploy.demo.process import Process
from deploy.demo.stage import Stage
from deploy.demo.wan import Wan
from deploy.torture.pace import Pace
from deploy.torture.plan import Fault, broker_lane, daemon_lane, line_lane


class Victim(Protocol):
    """Whom the faults of one lane hit."""

    async def serving(self, *, early: bool) -> None:
        """Wait until it is worth hitting: it serves, or (early) it was started."""
        ...

    async def suffer(self, fault: Fault, happens: Callable[[], object]) -> None:
        """Break; call `happens` at that moment; be mended when this returns."""
        ...

    async def recover(self) -> None:
        """Wait until it serves again after its last fault."""
        ...


class DaemonVictim:
    """A daemon: killed and started again, or paused.

    Args:
        daemon: its process, running.
    """

    def __init__(self, daemon: Process) -> None:
        """See the class."""
        self._daemon = daemon
        self._ready = True

    async def serving(self, *, early: bool) -> None:
        """See `Victim`."""
        if not early:
            await self.recover()

    async def suffer(self, fault: Fault, happens: Callable[[], object]) -> None:
        """See `Victim`. What was killed is starting up when this returns, no more."""
        if fault.kind == "stop":
            await _pause(self._daemon, fault.hold_s, happens)
            return
        await self._daemon.kill()
        happens()
        await self._daemon.start()
        self._ready = False

    async def recover(self) -> None:
        """See `Victim`."""
        if not self._ready:
            await self._daemon.ready()
            self._ready = True


class BrokerVictim:
    """A broker: killed, with or without its disk, or paused.

    Args:
        stage: where it stands.
        name: "central" or an edge's id.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        """See the class."""
        self._stage = stage
        self._name = name

    async def serving(self, *, early: bool) -> None:
        """See `Victim`."""
        await self.recover()

    async def suffer(self, fault: Fault, happens: Callable[[], object]) -> None:
        """See `Victim`."""
        broker = self._stage.brokers[self._name]
        if fault.kind == "stop":
            await _pause(broker, fault.hold_s, happens)
            return
        await broker.kill()
        if fault.kind == "broker_wipe":
            self._stage.wipe(self._name)
        happens()
        await asyncio.sleep(fault.hold_s)
        await broker.start()

    async def recover(self) -> None:
        """See `Victim`."""
        await self._stage.listening(self._name)


class LineVictim:
    """An edge's line to central.

    Args:
        line: the proxy.
    """

    def __init__(self, line: Wan) -> None:
        """See the class."""
        self._line = line

    async def serving(self, *, early: bool) -> None:
        """See `Victim`."""

    async def suffer(self, fault: Fault, happens: Callable[[], object]) -> None:
        """See `Victim`."""
        happens()
        match fault.kind:
            case "reset":
                self._line.reset()
            case "halve":
                self._line.halve()
            case "delay":
                self._line.delay_s = fault.hold_s / 10
                await asyncio.sleep(fault.hold_s)
                self._line.delay_s = 0.0
            case _:
                self._line.cut()
                await asyncio.sleep(fault.hold_s)
                self._line.heal()

    async def recover(self) -> None:
        """See `Victim`."""


class Lanes:
    """All victims, each with its part of the script.

    Args:
        stage: brokers and daemons, running.
        lines: edge id to the line to central.
        faults: the script.
        pace: of the payments.
    """

    def __init__(
        self, stage: Stage, lines: Mapping[str, Wan], faults: Iterable[Fault], pace: Pace
    ) -> None:
        """See the class."""
        self._pace = pace
        self._faults = list(faults)
        self._victims: dict[str, Victim] = {}
        for name, daemon in stage.daemons.items():
            self._victims[daemon_lane(name)] = DaemonVictim(daemon)
            self._victims[broker_lane(name)] = BrokerVictim(stage, name)
        for edge_id, line in lines.items():
            self._victims[line_lane(edge_id)] = LineVictim(line)

    async def run(self) -> None:
        """Until everything of the script has happened and is mended.

        Raises:
            StageError: a process ended by itself.
            TimeoutError: a process does not serve again.
        """
        async with asyncio.TaskGroup() as lanes:
            for name, victim in self._victims.items():
                mine = [fault for fault in self._faults if fault.lane == name]
                lanes.create_task(self._run(victim, mine))

    async def _run(self, victim: Victim, faults: list[Fault]) -> None:
        for fault in faults:
            if not await self._pace.until(fault.after):
                break
            await victim.serving(early=fault.early)
            # Part of the fault: when it hits after that is drawn, and may be in anything.
            await asyncio.sleep(fault.delay_s)
            await victim.suffer(fault, partial(self._pace.happens, fault))
        await victim.recover()


async def _pause(process: Process, hold_s: float, happens: Callable[[], object]) -> None:
    process.pause()
    happens()
    try:
        await asyncio.sleep(hold_s)
    finally:
        process.resume()
