"""When everything that was under way has arrived: seen from outside, beside running daemons."""

import asyncio
import time
from typing import Final

from deploy.demo.ledgers import Standing, read_standing
from deploy.demo.stage import Stage
from deploy.demo.traffic import Traffic
from deploy.demo.warehouses import Warehouses

REST_S_MAX: Final = 240.0
_LOOK_S: Final = 0.5


async def at_rest(stage: Stage, warehouses: Warehouses, rest_s: float) -> str:
    """Wait until all logs are in the ledger, all grants applied, all work done, and it stays so.

    Args:
        stage: the daemons; they serve.
        warehouses: whose jobs are to be done.
        rest_s: for so long nothing may change.

    Returns:
        Empty; or what was not at rest after `REST_S_MAX`.
    """
    end_s = since_s = time.monotonic()
    end_s += REST_S_MAX
    last: Standing | None = None
    async with Traffic(stage.ports["central"]) as traffic:
        while True:
            standing = await asyncio.to_thread(_look, stage)
            now_s = time.monotonic()
            working = warehouses.open_jobs()
            if standing != last or not standing.settled() or working:
                last, since_s = standing, now_s
            if now_s - since_s > rest_s and traffic.is_quiet(rest_s):
                return ""
            if now_s > end_s:
                return f"{standing}, {working} jobs open"
            await asyncio.sleep(_LOOK_S)


def _look(stage: Stage) -> Standing:
    edges = {name: stage.database(name) for name in stage.names if name != "central"}
    return read_standing(stage.database("central"), edges)
