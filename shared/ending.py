"""Ending tasks for certain."""

import asyncio
from typing import Any


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended; their results are not looked at.

    Once is not always enough: up to Python 3.11 `asyncio.wait_for`, which MQTT clients use for
    every publish, can swallow a cancellation that arrives together with the result
    (python/cpython issue 86296).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)
    await asyncio.gather(*tasks, return_exceptions=True)
