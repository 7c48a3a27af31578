"""Torture: the real daemons, brokers and clients under a script of faults, and then the count."""

import asyncio
import json
import signal
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.text import Text

from deploy.demo import stage
from deploy.demo.device import Days, Device
from deploy.demo.ledgers import integrity, read_central, read_edge
from deploy.demo.process import StageError
from deploy.demo.script import contact_name
from deploy.demo.stage import BrokerKind, Stage
from deploy.demo.tills import Tills
from deploy.demo.wan import Wan
from deploy.demo.warehouses import Habits, Warehouses
from deploy.torture import town
from deploy.torture.faults import Lanes
from deploy.torture.journal import Journal, read
from deploy.torture.pace import Pace
from deploy.torture.people import People, till_names
from deploy.torture.plan import EDGES, Figures, as_json, plan
from deploy.torture.report import Circumstances, count, table
from deploy.torture.rest import REST_S_MAX, at_rest
from shared.clock import ScaledClock, to_ms

_RATE: Final = 60.0
"""Simulated seconds a second: a package that takes two minutes takes two seconds."""

_START: Final = datetime(2025, 1, 13, 4, tzinfo=UTC)
_HABITS: Final = Habits(rejected=0.04, broken=0.03, each_task=True)
_WATCH_S: Final = 0.5
_TELL_S: Final = 10.0
_OPEN_S: Final = 1.0
_REST_S: Final = 6.0
"""Longer than the time between two hellos of an edge."""


class Torture:
    """One run.

    Args:
        folder: for everything that it writes.
        seed: of everything that is drawn.
        figures: how much happens.
        kind: which brokers.
        console: for people.
        minutes_max: after so long nothing new begins.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        figures: Figures,
        kind: BrokerKind,
        console: Console,
        minutes_max: float,
    ) -> None:
        """See the class."""
        self._folder = folder
        self._console = console
        self._end_s = time.monotonic() + minutes_max * 60
        self._began_s = time.monotonic()
        self._around = Circumstances(seed, figures)
        self._faults = plan(seed, figures)
        self._pace = Pace(self._faults, figures.payments)
        self._around.happened = self._pace.happened
        real_ms = time.time_ns() // 1_000_000
        clock = (real_ms, to_ms(_START), _RATE)
        self._stage = Stage(folder, clock, kind, EDGES, lasting=True)
        self._around.brokers = self._stage.broker
        days = Days(ScaledClock(*clock), _RATE)
        self._trade = town.trade(seed, figures.payments, _START - timedelta(hours=1))
        self._tills = Tills(days, self._trade.script, sends_max=None)
        node_ids = [node.node_id for node in town.nodes()]
        self._warehouses = Warehouses(days, node_ids, _HABITS)
        self._people = People(self._trade, self._tills, self._warehouses, self._pace, seed)
        self._journal = Journal(folder / "tills.jsonl")
        self._tills.on_receipt = self._journal.note
        self._lines: dict[str, Wan] = {}
        self._stack = AsyncExitStack()

    async def play(self) -> dict[str, Any]:
        """Set up, trade and break, come to rest, stop, count.

        Raises:
            StageError: a process did not start or ended by itself, or there is no end.
            TimeoutError: something does not serve again.
        """
        (self._folder / "faults.json").write_text(json.dumps(as_json(self._faults), indent=1))
        await self._set_up()
        self._tell("the tills open")
        async with asyncio.TaskGroup() as work:
            watch = work.create_task(self._watch())
            keep = work.create_task(self._journal.keep())
            lanes = Lanes(self._stage, self._lines, self._faults, self._pace)
            breaking = work.create_task(lanes.run())
            await self._people.trade()
            await breaking
            self._mark("traded")
            self._warehouses.finishing.set()
            self._tell("the faults are over; coming to rest")
            self._around.unsettled = await at_rest(self._stage, self._warehouses, _REST_S)
            await self._journal.kept()
            keep.cancel()
            watch.cancel()
        self._warehouses.check()
        self._around.exit_codes = await self._stage.stop_daemons()
        self._mark("stopped")
        return await self._count()

    async def close(self) -> None:
        """End every process."""
        await self._stack.aclose()

    async def _set_up(self) -> None:
        self._stack.push_async_callback(self._stage.close)
        await self._stage.command("edge", "warm")
        await self._stage.open_brokers()
        for edge_id in EDGES:
            line = Wan(self._stage.ports["central"])
            self._lines[edge_id] = await self._stack.enter_async_context(line)
        await self._stage.start_daemons({name: line.port for name, line in self._lines.items()})
        await self._stage.publish(msgspec.json.encode(town.network()))
        for name, edge_id in till_names(self._trade).items():
            till = Device(name, self._stage.ports[edge_id], self._tills.on_event)
            self._tills.devices[name] = await self._stack.enter_async_context(till)
        for node in town.nodes():
            port = self._stage.ports[node.edge_id]
            device = Device(node.node_id, port, self._warehouses.on_event)
            await self._stack.enter_async_context(device)
            outbox = self._warehouses.employ(device, town.SKUS[0])
            self._stack.push_async_callback(outbox.close)
        async with asyncio.timeout(REST_S_MAX):
            for edge_id in EDGES:
                sale = next(x for x in self._trade.script.sales if x.edge_id == edge_id)
                till = self._tills.devices[sale.device]
                await self._tills.ask(till, till.event(sale.question, f"open-{edge_id}", _START))
        self._people.open()
        unsettled = await at_rest(self._stage, self._warehouses, _OPEN_S)
        if unsettled:
            raise StageError(f"the opening stock is not shared out: {unsettled}")
        self._mark("ready")

    async def _watch(self) -> None:
        """Notice what ends by itself; say how far it is; end it in time."""
        told_s = 0.0
        while True:
            self._stage.check()
            self._warehouses.check()
            for till in self._tills.devices.values():
                till.check()
            now_s = time.monotonic()
            if now_s > self._end_s:
                self._pace.end()
            if now_s > self._end_s + 2 * REST_S_MAX:
                waiting = sum(1 for x in self._tills.record.receipts if x.order_id is None)
                raise StageError(f"no end in sight; payments without an answer: {waiting}")
            if now_s - told_s > _TELL_S:
                told_s = now_s
                self._progress()
            await asyncio.sleep(_WATCH_S)

    async def _count(self) -> dict[str, Any]:
        around, config = self._around, str(self._stage.config("central"))
        try:
            around.verified = await self._stage.command("central", "verify", "--config", config)
        except StageError as error:
            self._console.print(str(error))
        names = ("central", *EDGES)
        around.integrity = {name: integrity(self._stage.database(name)) for name in names}
        around.repeated = self._warehouses.repeats()
        around.lines_broken = sum(line.broken for line in self._lines.values())
        for name, record in (
            ("tills", self._tills.record),
            ("warehouses", self._warehouses.record),
        ):
            path = self._folder / f"{name}.json"
            await asyncio.to_thread(path.write_bytes, msgspec.json.encode(record))
        self._mark("counted")
        return count(
            read(self._folder / "tills.jsonl"),
            self._tills.record,
            self._warehouses.record,
            read_central(self._stage.database("central"), contact_name("")),
            {edge_id: read_edge(self._stage.database(edge_id)) for edge_id in EDGES},
            around,
        )

    def _progress(self) -> None:
        record = self._warehouses.record
        faults = ", ".join(f"{count} {kind}" for kind, count in self._pace.happened.items())
        shipped = sum(1 for job in record.jobs if job.shipped_ms is not None)
        answered = sum(1 for receipt in self._tills.record.receipts if receipt.order_id)
        self._tell(
            f"{answered}/{self._pace.begun} paid, {shipped}/{len(record.jobs)} shipped; {faults}"
        )

    def _tell(self, text: str) -> None:
        took_s = time.monotonic() - self._began_s
        self._console.print(f"{took_s:7.1f} s  {text}", highlight=False, soft_wrap=True)

    def _mark(self, name: str) -> None:
        self._around.durations_s[name] = round(time.monotonic() - self._began_s, 1)


def run(
    seed: int,
    figures: Figures,
    json_path: Path | None = None,
    *,
    minutes_max: float = 90.0,
    data_dir: Path | None = None,
    brokers: BrokerKind = "auto",
) -> int:
    """Torture, and tell what came of it.

    Args:
        seed: the same seed and figures give the same trade and the same script of faults.
        figures: how much happens.
        json_path: where the report goes.
        minutes_max: after so long nothing new begins; the count is then no success.
        data_dir: keep databases, logs and records here; None: a folder that is removed.
        brokers: Mosquitto if it is there, or one of the two.

    Returns:
        0 if nothing was lost, doubled or oversold, 1 if not, 2 if something broke down, 130 if
        interrupted.
    """
    console = Console()
    with stage.folder(data_dir) as folder:
        torture = Torture(folder, seed, figures, brokers, console, minutes_max)
        return asyncio.run(_run(torture, json_path, console))


def _hand_over(report: dict[str, Any], json_path: Path | None, console: Console) -> None:
    console.print(table(report))
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=2) + "\n")


async def _run(torture: Torture, json_path: Path | None, console: Console) -> int:
    loop, main = asyncio.get_running_loop(), asyncio.current_task()
    assert main is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, main.cancel)
    try:
        report = await torture.play()
    except asyncio.CancelledError:
        console.print("interrupted")
        return 130
    except (StageError, TimeoutError, BaseExceptionGroup) as error:
        for cause in _breakdowns(error):
            console.print(Text(f"broke down: {str(cause) or type(cause).__name__}"))
        return 2
    else:
        _hand_over(report, json_path, console)
        return 1 if report["failures"] else 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)  # impatience leaves nothing behind
        await torture.close()


def _breakdowns(error: BaseException) -> list[BaseException]:
    """What a group of tasks broke down of; a fault of our own comes through as it is."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _breakdowns(part)]
    if not isinstance(error, StageError | TimeoutError):
        raise error
    return [error]
