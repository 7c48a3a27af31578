"""Two workers as processes on one PostgreSQL and one Mosquitto; one of them is killed."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from central.config import Config
from central.ledger import verify_file
from central.link import publish_network
from central.rebuild import rebuild_file
from central.tables import ledger
from deploy.demo.process import Process
from shared.settings import Broker as BrokerSection
from tests.bench.ledger import live
from tests.brokers import running
from tests.central_scene import NOW_MS, acks, document, scene
from tests.conftest import skip_without_mosquitto
from tests.integration.test_central_link import WiredEdge, wired

pytestmark = [pytest.mark.postgresql, pytest.mark.mosquitto]

EDGES = ("e1", "e2", "e3", "e4")
ORDERS = 150
BATCH = 32
PATIENCE_S = 60.0


@pytest.fixture
def broker(tmp_path):
    skip_without_mosquitto()
    with running("mosquitto", tmp_path / "mosquitto") as found:
        yield found


@pytest.fixture
def location(postgresql):
    name = postgresql.take()
    yield postgresql.location(name)
    postgresql.give_back(name)


def taken(process: Process) -> set[str]:
    """The edges that a worker says it has taken."""
    found: set[str] = set()
    for line in process.log.read_text().splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        found |= set(said.get("edges", ())) if said.get("event") == "edges_taken" else set()
    return found


async def shared_by(*processes: Process) -> None:
    """Wait until each has edges."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if all(taken(x) for x in processes):
                return
            await asyncio.sleep(0.05)


def moved(edge: WiredEdge, at: int) -> bool:
    return edge.acked() > at


async def deliver(edge: WiredEdge, progress: "asyncio.Queue[int]") -> None:
    """Send a log as an edge does: from where central has it, again if nothing moves."""
    async with asyncio.timeout(PATIENCE_S):
        while edge.acked() < len(edge.log):
            at = edge.acked()
            await edge.send(edge.hello() if at < 0 else edge.batch(at + 1, at + BATCH))
            try:
                async with asyncio.timeout(1.0):
                    await edge.until(partial(moved, edge, at))
                progress.put_nowait(1)
            except TimeoutError:
                continue


async def test_a_worker_that_is_killed_under_load_loses_and_doubles_nothing(
    broker, location, tmp_path: Path
):
    file = tmp_path / "central.toml"
    file.write_text(
        f'data_dir = "{tmp_path / "central"}"\ndatabase = "{location.address}"\n'
        f'[broker]\nhost = "{broker.host}"\nport = {broker.port}\n'
    )
    section = BrokerSection(host=broker.host, port=broker.port)
    config = Config(data_dir=tmp_path / "central", broker=section)
    command = [sys.executable, "-m", "deploy.cli", "central", "run", "-c", str(file), "--worker"]
    one, two = (Process(name, [*command, name], tmp_path) for name in ("one", "two"))
    async with AsyncExitStack() as stack:
        for process in (one, two):
            stack.push_async_callback(process.kill)
            await process.start()
            await process.ready()
        assert await publish_network(config, document(1, EDGES)) == 1
        await shared_by(one, two)
        edges = [await stack.enter_async_context(wired(config, x)) for x in EDGES]
        for edge in edges:
            for number in range(ORDERS):
                live(edge, f"{edge.edge_id}-{number}", receive=number % 10 == 0)
        progress: asyncio.Queue[int] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            for edge in edges:
                tasks.create_task(deliver(edge, progress))
            for _ in range(len(EDGES) * 5):
                await progress.get()
            await one.kill()
        assert {x: acks(x.heard)[x.edge_id] for x in edges} == {x: len(x.log) for x in edges}
        assert await two.stop() == 0
    with scene(location) as stage:
        written = sorted((x["edge_id"], x["sequence"], x["raw"]) for x in stage.rows(ledger))
    said = sorted((x.edge_id, at, raw) for x in edges for at, raw in enumerate(x.log, 1))
    assert written == said
    assert verify_file(location).position is None
    assert rebuild_file(location, now_ms=NOW_MS, keep=False).differing() == []
