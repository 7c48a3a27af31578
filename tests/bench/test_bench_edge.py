"""The edge over a real Mosquitto: a question and a payment, there and back.

The baseline in the same run is an echo: the same bytes through the same broker to a bare paho
client that sends them straight back.
"""

import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from shared.envelope import decode_event, encode_event
from shared.frames import Grant, encode_bulk, feed_kind
from shared.mqtt import NO_DELAY
from shared.parts import CellUnits
from shared.topics import down, up
from tests.brokers import Broker, running
from tests.shop import device_event, network, payment, question

ROOT = Path(__file__).parents[2]


class Till:
    """A bare paho client that sends one message and waits for one answer."""

    def __init__(self, port: int, name: str, topic: str) -> None:
        self.answers: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=name)
        self.client.on_socket_open = lambda _, __, sock: sock.setsockopt(*NO_DELAY)
        self.client.on_message = lambda _, __, m: self.answers.put((m.topic, m.payload))
        subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.client.on_subscribe = lambda *_: subscribed.put(True)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe(topic, 1)
        subscribed.get(timeout=10)

    def ask(self, topic: str, payload: bytes) -> bytes:
        self.client.publish(topic, payload, 1)
        return self.answers.get(timeout=10)[1]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real edge daemon with stock, and an echo, at one Mosquitto."""
    folder = tmp_path_factory.mktemp("bench")
    with (
        running("mosquitto", folder / "lan") as lan,
        running("mosquitto", folder / "wan") as wan,
    ):
        (folder / "edge.toml").write_text(
            f'edge_id = "edge-1"\ndata_dir = "edge"\n'
            f"[lan]\nport = {lan.port}\n[wan]\nport = {wan.port}\n"
        )
        central = Till(wan.port, "central", "pointsman/v1/+/up/#")
        daemon = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "edge", "run", "-c", str(folder / "edge.toml")],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert daemon.stderr is not None
        for line in daemon.stderr:
            if json.loads(line)["event"] == "wan_connected":
                break
        central.answers.get(timeout=10)
        cells = [
            CellUnits(node_id="dc-south", sku=f"sku-{n}", quantity=1_000_000) for n in range(20)
        ]
        central.ask(down("edge-1", feed_kind(1, "network")), encode_bulk(network()))
        central.ask(down("edge-1", feed_kind(2, "grant")), encode_bulk(Grant(cells=cells)))
        os.set_blocking(daemon.stderr.fileno(), False)
        echo = Till(lan.port, "echo", "echo/there")
        echo.client.on_message = lambda _, __, m: echo.client.publish("echo/back", m.payload, 1)
        try:
            yield lan
        finally:
            echo.close()
            central.close()
            daemon.terminate()
            daemon.wait(20)
            daemon.stderr.close()


@pytest.fixture(scope="module")
def till(site: Broker) -> Iterator[Till]:
    one = Till(site.port, "till-1", down("till-1", "#"))
    one.client.subscribe("echo/back", 1)
    try:
        yield one
    finally:
        one.close()


LINES = [f"sku-{number}" for number in range(5)]
IDS = count()


def asking(till: Till, kind: str) -> Callable[[], bytes]:
    data: Any = question(*LINES) if kind == "route.requested" else payment(*LINES)

    def ask() -> bytes:
        payload = encode_event(device_event("till-1", f"b{time.time_ns()}-{next(IDS)}", data))
        return till.ask(up("till-1", kind), payload)

    return ask


@pytest.mark.benchmark(group="there and back, five lines")
@pytest.mark.parametrize("kind", ["echo", "route.requested", "payment.succeeded"])
def test_there_and_back(benchmark: Any, till: Till, kind: str) -> None:
    if kind == "echo":
        payload = encode_event(device_event("till-1", "e", question(*LINES)))
        answer = benchmark.pedantic(lambda: till.ask("echo/there", payload), rounds=1_000)
        assert answer == payload
        return
    answer = benchmark.pedantic(asking(till, kind), rounds=1_000, warmup_rounds=50)
    expected = {"route.requested": "route.planned", "payment.succeeded": "order.accepted"}[kind]
    assert decode_event(answer).type == f"pointsman.{expected}.v1"
    stats = sorted(benchmark.stats.stats.data)
    benchmark.extra_info["p50_ms"] = round(stats[len(stats) // 2] * 1e3, 3)
    benchmark.extra_info["p99_ms"] = round(stats[len(stats) * 99 // 100] * 1e3, 3)


@pytest.mark.benchmark(group="a thousand, 64 under way")
@pytest.mark.parametrize("kind", ["echo", "route.requested", "payment.succeeded"])
def test_a_thousand_with_64_under_way(benchmark: Any, till: Till, kind: str) -> None:
    topic = "echo/there" if kind == "echo" else up("till-1", kind)

    def prepare() -> tuple[tuple[list[bytes]], dict[str, Any]]:
        data: Any = payment(*LINES) if kind == "payment.succeeded" else question(*LINES)
        stamp = time.time_ns()
        events = [device_event("till-1", f"t{stamp}-{n}", data) for n in range(1_000)]
        return ([encode_event(event) for event in events],), {}

    def send(payloads: list[bytes]) -> None:
        for payload in payloads[:64]:
            till.client.publish(topic, payload, 1)
        for payload in payloads[64:]:
            till.answers.get(timeout=10)
            till.client.publish(topic, payload, 1)
        for _ in payloads[:64]:
            till.answers.get(timeout=10)

    benchmark.pedantic(send, setup=prepare, rounds=5, warmup_rounds=1)
    benchmark.extra_info["per_s"] = round(1_000 / benchmark.stats.stats.median)
