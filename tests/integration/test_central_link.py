"""Central as a daemon, and a scripted edge, over real brokers."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from central.config import Config
from central.daemon import serve
from central.ledger import Verdict, verify_file
from central.link import LinkError, connect, fence_edge, publish_network, replay_poison
from central.systems import System
from central.views import read_poison
from shared import topics
from shared.errors import ConfigError, PointsmanError
from shared.frames import ContactFor, encode_frame
from shared.parts import Contact
from shared.settings import Broker
from tests.central_scene import (
    ScriptedEdge,
    accepted,
    acks,
    document,
    feed_of,
    granted,
    plan,
    received,
)

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20


def config_for(broker, directory, version="3.1.1"):
    section = Broker(host=broker.host, port=broker.port, mqtt_version=version)
    return Config(data_dir=directory / "central", broker=section)


@asynccontextmanager
async def serving(config):
    """A central on this loop."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(config, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)


class WiredEdge(ScriptedEdge):
    """A scripted edge on a broker; `heard` is all that central has told it."""

    def __init__(self, edge_id, client):
        super().__init__(edge_id)
        self.client = client
        self.heard = []

    async def send(self, message):
        await self.client.publish(message.topic, message.payload, qos=1)

    async def until(self, true):
        """Read until `true()`."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                self.heard.append(await self._next())

    async def hello_until(self, true, feed=0):
        """Say hello, again and again, until `true()`: central may not listen yet."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                await self.send(self.hello(feed))
                try:
                    async with asyncio.timeout(0.5):
                        while not true():
                            self.heard.append(await self._next())
                except TimeoutError:
                    continue

    async def _next(self):
        message = await anext(self.client.messages)
        return _Heard(message.topic.value, message.payload)

    def acked(self):
        return acks(self.heard).get(self.edge_id, -1)


class _Heard(tuple):
    def __new__(cls, topic, payload):
        return super().__new__(cls, (topic, payload))

    topic = property(lambda self: self[0])
    payload = property(lambda self: self[1])


@asynccontextmanager
async def wired(config, edge_id):
    async with connect(config.broker, f"test-{edge_id}") as client:
        await client.subscribe(topics.down(edge_id, "#"), 1)
        yield WiredEdge(edge_id, client)


async def test_an_edge_s_day_over_a_real_broker(broker, tmp_path):
    config = config_for(broker, tmp_path)
    async with serving(config), wired(config, "e1") as edge, wired(config, "e2") as other:
        await edge.hello_until(lambda: edge.acked() == 0)
        await other.hello_until(lambda: other.acked() == 0)
        assert await publish_network(config, document()) == 1
        await edge.until(lambda: feed_of("e1", edge.heard))
        edge.say(received("dc", A=10))
        await edge.send(edge.batch())
        await edge.until(lambda: granted("e1", edge.heard))
        edge.say(accepted("o", plan("dc", "A", 1)), "o")
        await edge.send(edge.batch())
        await edge.until(lambda: edge.acked() == 2)
        await other.until(lambda: granted("e2", other.heard))
        assert granted("e1", edge.heard) == granted("e2", other.heard) == {("dc", "A"): 4}
        contacts = [ContactFor(order_id="o", contact=Contact(phone="13800000000"))]
        await edge.client.publish(topics.up("e1", topics.CONTACTS), encode_frame(contacts), qos=1)
        await edge.until(lambda: edge.heard[-1].topic.endswith("/contacts"))
        assert json.loads(edge.heard[-1].payload) == {"order_ids": ["o"]}
        assert verify_file(config.data_dir) == Verdict(2)


@pytest.mark.postgresql
async def test_central_on_a_server_goes_on_after_its_connections_were_cut(
    embedded, postgresql, tmp_path
):
    name = postgresql.take()
    address = postgresql.location(name).address
    config = msgspec.structs.replace(config_for(embedded, tmp_path), database=address)
    async with serving(config), wired(config, "e1") as edge:
        await edge.hello_until(lambda: edge.acked() == 0)
        assert await publish_network(config, document()) == 1
        edge.say(received("dc", A=10))
        await edge.send(edge.batch())
        await edge.until(lambda: edge.acked() == 1)
        other = msgspec.structs.replace(config, data_dir=tmp_path / "other")
        assert await asyncio.to_thread(postgresql.hang_up, name) == 1
        edge.say(received("dc", A=1))
        await edge.send(edge.batch())
        await edge.hello_until(lambda: edge.acked() in (1, 2))
        await edge.send(edge.batch())
        await edge.until(lambda: edge.acked() == 2)
        assert verify_file(config.location) == Verdict(2)
        with pytest.raises(ConfigError, match="another central writes"):
            await serve(other, asyncio.Event())
    assert not (tmp_path / "central" / "central.db").exists()
    postgresql.give_back(name)


async def test_a_malformed_message_does_not_end_the_daemon(broker, tmp_path):
    config = config_for(broker, tmp_path)
    async with serving(config), wired(config, "e1") as edge:
        await edge.hello_until(lambda: edge.acked() == 0)
        for kind in ("hello", "log", "contacts"):
            await edge.client.publish(topics.up("e1", kind), b"\xff{", qos=1)
        edge.say(received("dc", A=1))
        await edge.send(edge.batch())
        await edge.until(lambda: edge.acked() == 1)


async def test_central_comes_back_after_its_broker(broker, tmp_path):
    config = config_for(broker, tmp_path)
    async with serving(config):
        async with wired(config, "e1") as edge:
            edge.say(received("dc", A=1))
            await edge.hello_until(lambda: edge.acked() == 0)
            await edge.send(edge.batch())
            await edge.until(lambda: edge.acked() == 1)
        await asyncio.to_thread(broker.restart, wipe=True)
        async with wired(config, "e1") as edge:
            await edge.hello_until(lambda: edge.acked() == 1)


async def test_a_bad_network_is_refused_to_who_published_it(broker, tmp_path):
    config = config_for(broker, tmp_path)
    async with serving(config), wired(config, "e1") as edge:
        await edge.hello_until(lambda: edge.acked() == 0)
        assert await publish_network(config, document(2)) == 2
        assert await publish_network(config, document(2)) == 2
        with pytest.raises(PointsmanError) as caught:
            await publish_network(config, document(1))
    assert (caught.value.code, caught.value.place) == ("invalid_data", "$.version")
    assert "greater than 2" in caught.value.expected


async def test_an_operator_fences_an_edge_and_reads_poison_again(broker, tmp_path):
    config = config_for(broker, tmp_path)
    async with serving(config), wired(config, "e1") as edge:
        await edge.hello_until(lambda: edge.acked() == 0)
        edge.say(received("dc", A=1), type="pointsman.moon.landed.v1")
        await edge.send(edge.batch())
        await edge.until(lambda: edge.acked() == 1)
        answer = await replay_poison(config, "e1", 1)
        assert (answer.replayed, answer.remaining) == (0, {"unknown_type": 1})
        assert [row[:4] for row in read_poison(config.data_dir)] == [("e1", 1, 1, "unknown_type")]
        assert await fence_edge(config, "e1") == 2
        await edge.hello_until(lambda: feed_of("e1", edge.heard))
        assert feed_of("e1", edge.heard)[0][1] == "rejoin"
        with pytest.raises(PointsmanError) as caught:
            await fence_edge(config, "e7")
        assert (caught.value.code, caught.value.place) == ("unknown_edge", "edge_id")
        with pytest.raises(PointsmanError, match="edge_id"):
            await fence_edge(config, "e 7")


async def test_who_publishes_without_a_central_is_told(broker, tmp_path):
    config = config_for(broker, tmp_path)
    with pytest.raises(LinkError, match="no answer"):
        await publish_network(config, document(), timeout_s=0.3)
    broker.stop()
    with pytest.raises(LinkError, match="central's broker"):
        await publish_network(config, document(), timeout_s=0.3)


@pytest.mark.mosquitto
async def test_central_speaks_mqtt_5_too(mosquitto, tmp_path):
    config = config_for(mosquitto, tmp_path, version="5")
    async with serving(config), wired(config, "e1") as edge:
        await edge.hello_until(lambda: edge.acked() == 0)
        assert await publish_network(config, document()) == 1


async def test_a_second_central_on_the_same_directory_is_refused(broker, tmp_path):
    config = config_for(broker, tmp_path)
    async with serving(config), wired(config, "e1") as edge:
        await edge.hello_until(lambda: edge.acked() == 0)
        with pytest.raises(ConfigError, match="another daemon"):
            await serve(config, asyncio.Event())


async def test_a_system_with_the_name_of_an_edge_is_refused_at_the_start(broker, tmp_path):
    config = config_for(broker, tmp_path)
    async with serving(config), wired(config, "e1"):
        assert await publish_network(config, document()) == 1
    config = msgspec.structs.replace(config, systems=[System(name="e1", role="erp")])
    with pytest.raises(ConfigError, match="the system 'e1' and the edge 'e1'"):
        await serve(config, asyncio.Event())


async def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data folder"):
        await serve(Config(data_dir=tmp_path / "file" / "data"), asyncio.Event())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_says_when_it_is_ready_and_stops_cleanly(embedded, tmp_path, number):
    config = config_for(embedded, tmp_path)
    program = (
        "import asyncio, sys; from pathlib import Path; from central import config, daemon; "
        "from shared import logs; logs.configure(); "
        "asyncio.run(daemon.serve(config.load_config(Path(sys.argv[1]))))"
    )
    path = tmp_path / "central.toml"
    path.write_text(
        f'data_dir = "central"\n[broker]\nport = {embedded.port}\nmqtt_version = "3.1.1"\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(path),
        cwd=ROOT, env=os.environ, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    lines = []
    async with asyncio.timeout(PATIENCE_S):
        while not lines or lines[-1]["event"] != "ready":
            lines.append(msgspec.json.decode(await process.stderr.readline()))
        assert lines[-1]["took_ms"] < PATIENCE_S * 1000
        async with wired(config, "e1") as edge:
            edge.say(received("dc", A=1))
            await edge.hello_until(lambda: edge.acked() == 0)
            await edge.send(edge.batch())
            await edge.until(lambda: edge.acked() == 1)
        process.send_signal(number)
        rest = await process.stderr.read()
        assert await process.wait() == 0
    assert msgspec.json.decode(rest.splitlines()[-1])["event"] == "stopped"
    assert isinstance(connect(config.broker, "x"), aiomqtt.Client)
