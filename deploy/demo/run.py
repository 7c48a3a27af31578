"""The demo: one real trading day through real brokers, daemons and MQTT clients."""

import asyncio
import contextlib
import json
import signal
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from deploy.demo import day, stage, world
from deploy.demo.device import Orders
from deploy.demo.ledgers import Standing, read_central, read_edge, read_standing
from deploy.demo.mishaps import Mishaps
from deploy.demo.process import Company, StageError
from deploy.demo.progress import Progress, table
from deploy.demo.records import TillRecord, WarehouseRecord
from deploy.demo.report import Circumstances, count
from deploy.demo.script import Script, contact_name, write
from deploy.demo.stage import ELSEWHERE_NICE, BrokerKind, Stage
from deploy.demo.traffic import Traffic
from deploy.demo.visitor import EDGE_ID, lines_to_paste
from deploy.demo.wan import Wan
from deploy.demo.world import EDGES
from shared.clock import ScaledClock, to_ms

_WARM_UP_S: Final = 10.0
"""Real time from the start of the clock to the first sale, if nothing is late."""

_LEAD: Final = timedelta(minutes=15)
_GRANTS_S_MAX: Final = 30.0
_DRAIN_S_MAX: Final = 60.0
_QUIET_S: Final = 1.0


class Demo:
    """One run.

    Args:
        folder: for everything that it writes.
        script: what happens.
        seconds: real time from the first sale to the last.
        kind: which brokers.
        console: for people.
    """

    def __init__(
        self, folder: Path, script: Script, seconds: float, kind: BrokerKind, console: Console
    ) -> None:
        """See the class."""
        self._script = script
        self._start = script.sales[0].at - _LEAD
        self._span = script.sales[-1].at - script.sales[0].at
        self._rate = self._span.total_seconds() / seconds
        self._console = console
        self.progress = Progress(console, len(script.sales))
        self._folder = folder
        self._kind = kind
        self._began_s = time.monotonic()
        self._around = Circumstances(day=f"{self._start:%Y-%m-%d}", rate=round(self._rate, 1))
        self._wans: dict[str, Wan] = {}
        self._stack = AsyncExitStack()

    async def play(self) -> dict[str, Any]:
        """Set up, replay the day, stop the daemons, count.

        Raises:
            StageError: something of ours did not start or broke down.
        """
        self._stage = Stage(self._folder, (0, 0, self._rate), self._kind)
        self._stack.push_async_callback(self._stage.close)
        self._around.brokers = self._stage.broker
        self.progress.step("compiling kernels (a moment the first time)")
        await self._stage.command("edge", "warm")
        self._mark("warm")
        await self._set_up()
        await self._open_shop()
        await self._replay()
        await self._drain()
        self._around.outages = sorted(self._mishaps.outages, key=lambda outage: outage.from_ms)
        self._around.exit_codes = await self._stage.stop_daemons()
        self._mark("stopped")
        report = self._count()
        report["durations_s"]["counted"] = round(time.monotonic() - self._began_s, 2)
        return report

    async def stay(self) -> None:
        """Start the daemons again, with what they know, and wait for a person's payments."""
        await self._tills.stop()
        real_ms, now_ms = time.time_ns() // 1_000_000, self._clock.now_ms()
        self._stage.clock = (real_ms, now_ms, 1.0)  # the day is over: no more haste
        await self._warehouses.do(f"clock {real_ms} {now_ms}")
        await self._start_daemons()
        lines = lines_to_paste(self._folder, self._stage.ports[EDGE_ID], self._script, now_ms)
        self._console.print("\nEverything stays up. Paste into another terminal:\n")
        for line in lines:
            self._console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
        self._console.print("\nCtrl-C ends it.")
        self.progress.quiet = True
        await self._warehouses.listen()

    async def close(self) -> None:
        """End every process."""
        await self._stack.aclose()

    async def _set_up(self) -> None:
        self.progress.step(f"starting 4 brokers ({self._stage.broker}), central, 3 edges")
        await self._stage.open_brokers()
        for edge_id in EDGES:
            wan = Wan(self._stage.ports["central"])
            self._wans[edge_id] = await self._stack.enter_async_context(wan)
        real_ms = time.time_ns() // 1_000_000
        simulated_ms = to_ms(self._start) - int(_WARM_UP_S * 1000 * self._rate)
        self._stage.clock = (real_ms, simulated_ms, self._rate)
        self._clock = ScaledClock(*self._stage.clock)
        traffic = Traffic(self._stage.ports["central"])
        self._traffic = await self._stack.enter_async_context(traffic)
        self._tills = await self._devices("tills", 0)
        self._warehouses = await self._devices("warehouses", ELSEWHERE_NICE)
        await self._start_daemons()
        await asyncio.gather(self._tills.done("connect"), self._warehouses.done("connect"))
        self._mark("ready")

    async def _start_daemons(self) -> None:
        await self._stage.start_daemons({name: wan.port for name, wan in self._wans.items()})

    async def _devices(self, name: str, nice: int) -> Company:
        orders = Orders(
            ports={edge_id: self._stage.ports[edge_id] for edge_id in EDGES},
            clock=self._stage.clock,
            orders=len(self._script.sales),
            record=self._folder / f"{name}.json",
        )
        path = self._folder / f"{name}-orders.json"
        orders.write(path)
        process = Company(name, path, self._folder, nice=nice, on_facts=self._take)
        self._stack.push_async_callback(process.stop)
        await process.start()
        return process

    async def _open_shop(self) -> None:
        """Network, opening stock, grants: until a question about everything has an answer."""
        self.progress.step("publishing the network, loading the shelves, waiting for the grants")
        await self._stage.publish(msgspec.json.encode(world.network(day.load())))
        await self._tills.do("network")
        self._mark("network")
        await self._warehouses.do("open")
        end_s = time.monotonic() + _GRANTS_S_MAX
        await self._traffic.quiet(_QUIET_S, _GRANTS_S_MAX)
        lacking = 1
        while lacking and time.monotonic() < end_s:
            lacking = (await self._tills.do("stock"))["lacking"]
        self._mark("stocked")

    async def _replay(self) -> None:
        late_ms = max(0, self._clock.now_ms() - to_ms(self._start))
        self._around.late_start_s = round(late_ms / 1000 / self._rate, 2)
        start = self._start + timedelta(milliseconds=late_ms)
        self.progress.step(f"the day begins, {self._rate:.0f} times as fast as it was")
        self._tills.tell(f"go {late_ms}")
        self._warehouses.tell(f"go {late_ms}")
        self._mishaps = Mishaps(
            self._stage, self._wans, self._script, self._clock, self._rate, self.progress
        )
        befalling = asyncio.create_task(self._mishaps.befall(start + _LEAD, self._span))
        listening = asyncio.create_task(self._warehouses.listen())
        try:
            await self._tills.done("day")
            await befalling
        finally:
            befalling.cancel()
            listening.cancel()
            await asyncio.gather(befalling, listening, return_exceptions=True)
        self._mark("day")

    async def _drain(self) -> None:
        """Work off what is open, until all is in the ledger and all is said."""
        self.progress.step("the shops close; finishing what is open, filling the ledger")
        await self._warehouses.do("finish")
        end_s = time.monotonic() + _DRAIN_S_MAX
        self._around.drained = False
        while time.monotonic() < end_s:
            facts = await self._warehouses.hear()
            quiet = facts.get("open") == 0 and self._traffic.is_quiet(_QUIET_S)
            # A task may still lie at an edge, which tells it again after a while.
            if quiet and (await asyncio.to_thread(self._standing)).settled():
                self._around.drained = True
                break
        await self._tills.do("record")
        await self._warehouses.do("record")
        self._mark("drained")

    def _standing(self) -> Standing:
        edges = {edge_id: self._stage.database(edge_id) for edge_id in EDGES}
        return read_standing(self._stage.database("central"), edges)

    def _count(self) -> dict[str, Any]:
        tills = (self._folder / "tills.json").read_bytes()
        warehouses = (self._folder / "warehouses.json").read_bytes()
        return count(
            msgspec.json.decode(tills, type=TillRecord),
            msgspec.json.decode(warehouses, type=WarehouseRecord),
            read_central(self._stage.database("central"), contact_name("")),
            {edge_id: read_edge(self._stage.database(edge_id)) for edge_id in EDGES},
            self._mishaps.cut,
            self._around,
        )

    def _take(self, facts: dict[str, Any]) -> None:
        self.progress.take(dict(facts))
        self.progress.tick(self._clock.now_ms())
        self._stage.check()

    def _mark(self, name: str) -> None:
        self._around.durations_s[name] = round(time.monotonic() - self._began_s, 2)


def _hand_over(report: dict[str, Any], json_path: Path | None, console: Console) -> None:
    console.print(table(report))
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=2) + "\n")


async def _run(demo: Demo, once: bool, json_path: Path | None, console: Console) -> int:
    loop, main = asyncio.get_running_loop(), asyncio.current_task()
    assert main is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, main.cancel)
    try:
        with demo.progress:
            report = await demo.play()
        _hand_over(report, json_path, console)
        if not once:
            with contextlib.suppress(asyncio.CancelledError):
                await demo.stay()
        return 1 if report["failures"] else 0
    except asyncio.CancelledError:
        console.print("interrupted")
        return 130
    except (StageError, TimeoutError) as error:
        console.print(f"[bold red]the demo broke down[/]: {str(error) or type(error).__name__}")
        return 2
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)  # impatience leaves nothing behind
        await demo.close()


def run(
    once: bool,
    json_path: Path | None = None,
    seconds: float = 50,
    *,
    orders: int | None = None,
    data_dir: Path | None = None,
    brokers: BrokerKind = "auto",
) -> int:
    """Replay the day.

    Args:
        once: end after the day; otherwise stay up until Ctrl-C.
        json_path: where the report goes.
        seconds: real time from the first sale to the last.
        orders: only so many sales; None: the whole day.
        data_dir: keep databases, logs and records here; None: a folder that is removed, in
            memory if the system has such a place.
        brokers: Mosquitto if it is there, or one of the two.

    Returns:
        0 if every promise was kept, 1 if not, 2 if something broke down, 130 if interrupted.
    """
    console = Console()
    script = write(day.load()).first(orders)
    with stage.folder(data_dir) as folder:
        demo = Demo(folder, script, seconds, brokers, console)
        return asyncio.run(_run(demo, once, json_path, console))
