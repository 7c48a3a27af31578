import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.demo.process import Process, StageError

SAYS_READY = (
    "import json, sys, time\n"
    "print(json.dumps({'event': 'ready'}), file=sys.stderr, flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    one = Process("one", [sys.executable, "-c", SAYS_READY], tmp_path)
    await one.start()
    try:
        yield one
    finally:
        await one.kill()


def is_paused(process: Process) -> bool:
    assert process._process is not None
    stat = Path(f"/proc/{process._process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


async def until(process: Process, *, paused: bool) -> None:
    async with asyncio.timeout(5):
        while True:
            if is_paused(process) == paused:
                return
            await asyncio.sleep(0.01)


async def test_what_an_earlier_run_said_is_not_said_for_this_one(
    process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await process.ready()
    await process.kill()
    process._command = [sys.executable, "-c", "import time; time.sleep(600)"]
    await process.start()
    monkeypatch.setattr("deploy.demo.process.READY_S_MAX", 0.3)
    with pytest.raises(TimeoutError):
        await process.ready()
    assert process.log.read_text().count("ready") == 1


async def test_one_that_was_killed_by_us_did_not_end_by_itself(process: Process):
    await process.ready()
    await process.kill()
    process.check()
    await process.kill()  # and is not killed twice
    await process.start()
    await process.ready()


async def test_one_that_ends_by_itself_is_noticed(tmp_path: Path):
    brief = Process("brief", [sys.executable, "-c", "raise SystemExit('no disk')"], tmp_path)
    await brief.start()
    with pytest.raises(StageError, match="no disk"):
        await brief.ready()


async def test_a_paused_one_stands_still_until_it_is_resumed_or_stopped(process: Process):
    await process.ready()
    process.pause()
    await until(process, paused=True)
    process.resume()
    await until(process, paused=False)
    process.pause()
    assert await process.stop() == -15
