"""How fast `pointsman central follow` tells others of the ledger.

`python -m tests.bench.followers`: the process itself, Mosquitto with one integrator, and an HTTP
server (uvicorn) in a process of its own, all on this machine. FOLLOWERS_EVENTS says how many
events; republish and webhooks are measured one after the other.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from central.config import Config
from central.followers.daemon import open_followers
from central.followers.signatures import rotate_secret
from shared.events import PackagePacked
from tests.brokers import free_port, running
from tests.central_scene import Scene, ScriptedEdge, accepted, plan, scene
from tests.paho_client import Client

EVENTS: Final = int(os.environ.get("FOLLOWERS_EVENTS", "20000"))
PATIENCE_S: Final = 300.0


async def endpoint(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Takes everything: an ASGI application."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def fill(stage: Scene) -> int:
    """Half the events accept an order, half report on it; returns their mean size in bytes."""
    edge = ScriptedEdge("e1")
    for number in range(EVENTS // 2):
        order_id = f"o{number}"
        edge.say(accepted(order_id, plan("dc", "A", 1)), order_id)
        edge.say(PackagePacked(task_id=f"{order_id}.0.0"), order_id)
    for start in range(1, len(edge.log) + 1, 128):
        stage.tell(edge.batch(start, start + 127))
    return sum(map(len, edge.log)) // len(edge.log)


def timed(folder: Path, toml: str, count: Callable[[], int]) -> dict[str, float]:
    """Run the process until all is counted; the rate from the first that is counted on."""
    path = folder / "central.toml"
    path.write_text(f'data_dir = "."\n{toml}')
    command = [sys.executable, "-m", "deploy.cli", "central", "follow", "-c", str(path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline_s = time.monotonic() + PATIENCE_S
            while (first := count()) == 0 and time.monotonic() < deadline_s:
                time.sleep(0.005)
            began_s = time.perf_counter()
            while (done := count()) < EVENTS and time.monotonic() < deadline_s:
                time.sleep(0.2)  # to count takes the lock of the followers' database
            took_s = time.perf_counter() - began_s
            ticks = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            processor_s = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
        finally:
            process.kill()
    return {
        "events": done,
        "events_per_s": round((done - first) / took_s),
        "processor_us_per_event": round(processor_s / done * 1e6),
    }


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found: dict[str, Any] = {"load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with scene(folder) as stage:
            found["event_bytes"] = fill(stage)
            with running("mosquitto", folder / "broker") as broker:
                integrator = Client(broker, "integrator").subscribe("pointsman/v1/events/#")
                toml = f'[broker]\nport = {broker.port}\n[republish]\nbegin = "first"\n'
                found["republish"] = timed(folder, toml, integrator.heard.qsize)
                integrator.close()
            for parallel in (1, 8):
                found[f"webhooks_parallel_{parallel}"] = webhooks(folder, parallel)
    found["load_after"] = os.getloadavg()[0]
    print(json.dumps(found, indent=2))


def webhooks(folder: Path, parallel: int) -> dict[str, float]:
    """One endpoint; every second event waits for the one of its order before."""
    port, endpoint_name = free_port(), f"erp-{parallel}"
    rotate_secret(folder / "secret")
    server = [sys.executable, "-m", "uvicorn", "tests.bench.followers:endpoint"]
    server += ["--port", str(port), "--log-level", "critical", "--no-access-log"]
    store = open_followers(Config(data_dir=folder))

    def delivered() -> int:
        return {x.endpoint: x.delivered for x in store.overview()}.get(endpoint_name, 0)

    with subprocess.Popen(server) as process:
        try:
            toml = (
                "[republish]\nkinds = []\n[[webhooks]]\n"
                f'name = "{endpoint_name}"\nurl = "http://127.0.0.1:{port}/"\n'
                f'secret_file = "secret"\nbegin = "first"\nparallel = {parallel}\n'
            )
            return timed(folder, toml, delivered)
        finally:
            process.terminate()
            store.close()


if __name__ == "__main__":
    main()
