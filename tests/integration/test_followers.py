"""The process that follows the ledger, killed and started again, over a real broker and HTTP."""

import asyncio
import os
import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from typer.testing import CliRunner

from central.config import Config, Republish
from central.followers.daemon import follow, open_followers
from central.followers.republish import FOLLOWER
from deploy.cli import app
from shared.errors import ConfigError
from shared.settings import Broker
from tests.brokers import running
from tests.central_scene import ScriptedEdge, scene
from tests.conftest import skip_without_mosquitto
from tests.follower_scene import PATIENCE_S, Reply, grow, receiving, until, webhook
from tests.integration.test_broker_fences import shipped
from tests.paho_client import Client

ROOT = Path(__file__).resolve().parents[2]

TOML = """
data_dir = "."
[broker]
port = {port}
[republish]
begin = "first"
[[webhooks]]
name = "erp"
url = "{url}"
secret_file = "erp.secret"
begin = "first"
"""


@asynccontextmanager
async def following(config):
    """The process; ended by SIGKILL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", "central", "follow", "-c", str(config),
        cwd=ROOT, env=os.environ, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def republished(client):
    """Sequences in the order in which they were heard."""
    found = []
    while not client.heard.empty():
        found.append(int(msgspec.json.decode(client.heard.get().payload)["sequence"]))
    return found


@pytest.mark.slow
@pytest.mark.mosquitto
async def test_what_is_killed_half_way_is_told_again_in_order_and_nothing_is_lost(
    mosquitto, tmp_path
):
    edge, heard = ScriptedEdge("e1"), []
    with scene(tmp_path) as stage, receiving() as receiver:
        path = tmp_path / "central.toml"
        path.write_text(TOML.format(port=mosquitto.port, url=receiver.url))
        webhook(tmp_path, receiver.url)
        integrator = Client(mosquitto, "integrator").subscribe("pointsman/v1/events/#")
        count = 0
        for kill in range(4):
            grow(stage, edge, *(f"o{number % 40}" for number in range(400)))
            async with following(path):
                await until(lambda: len(receiver.requests) > count + 150)  # noqa: B023
                if kill == 3:
                    store = open_followers(Config(data_dir=tmp_path))
                    await until(lambda: store.overview()[0].delivered == len(edge.log))  # noqa: B023
                    await until(lambda: store.cursor(FOLLOWER) == len(edge.log))  # noqa: B023
                    store.close()
            count = len(receiver.requests)
        heard = republished(integrator)
        integrator.close()
    everything = list(range(1, len(edge.log) + 1))

    told = defaultdict(list)
    for request in receiver.requests:
        told[request.event["correlationid"]].append(request.sequence)
    assert sorted(set(receiver.sequences())) == everything
    assert all(found == sorted(found) for found in told.values())
    assert len(receiver.requests) <= len(everything) + 3 * (256 + 8), "what was under way, again"

    assert list(dict.fromkeys(heard)) == everything
    assert len(heard) <= len(everything) + 3 * 256


@pytest.mark.mosquitto
async def test_integrators_get_the_events_own_bytes_on_a_topic_for_each_kind(mosquitto, tmp_path):
    edge, other = ScriptedEdge("e1"), ScriptedEdge("e2")
    broker = Broker(host=mosquitto.host, port=mosquitto.port)
    config = Config(data_dir=tmp_path, broker=broker, republish=Republish(("pick.*",), "first"))
    client = Client(mosquitto, "integrator", protocol=MQTTProtocolVersion.MQTTv5)
    client.subscribe("pointsman/v1/events/#")
    stop = asyncio.Event()
    with scene(tmp_path) as stage:
        grow(stage, edge, *["o"] * 4)
        task = asyncio.create_task(follow(config, stop))
        await until(lambda: client.heard.qsize() == 2)
        grow(stage, other, *["p"] * 2)
        await until(lambda: client.heard.qsize() == 3)
        with pytest.raises(ConfigError, match="another daemon"):
            await follow(config, asyncio.Event())
        mosquitto.restart()
        grow(stage, edge, *["o"] * 2)
        client.close()
        back = Client(mosquitto, "integrator").subscribe("pointsman/v1/events/pick.completed/e1")
        await until(lambda: config_cursor(config) == 8)
        back.close()
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)
    messages = client.hear(3)
    assert [(x.topic, x.payload) for x in messages] == [
        ("pointsman/v1/events/pick.completed/e1", edge.log[1]),
        ("pointsman/v1/events/pick.completed/e1", edge.log[3]),
        ("pointsman/v1/events/pick.completed/e2", other.log[1]),
    ]
    assert {x.properties.ContentType for x in messages} == {"application/cloudevents+json"}


@pytest.mark.mosquitto
async def test_a_broker_that_refuses_events_is_noticed_and_the_cursor_stays(tmp_path, capsys):
    skip_without_mosquitto()
    directory = tmp_path / "broker"
    conf, port = shipped("central", directory, ["edge-1"])
    password = tmp_path / "password"
    password.write_text("edge-1-secret")
    broker = Broker(port=port, username="edge-1", password_file=password)
    config = Config(data_dir=tmp_path, broker=broker, republish=Republish(begin="first"))
    stop = asyncio.Event()
    with running("mosquitto", directory, conf, port), scene(tmp_path) as stage:
        grow(stage, ScriptedEdge("e1"), "o")
        task = asyncio.create_task(follow(config, stop))
        output = []

        def told():
            output.append(capsys.readouterr().out)
            return "lets central write pointsman/v1/events/#" in "".join(output)

        await until(told)
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)
    assert config_cursor(config) == 0


async def test_without_a_ledger_or_a_secret_it_does_not_start(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no .*central\.db"):
        await follow(Config(data_dir=tmp_path))
    endpoint = webhook(tmp_path, "http://127.0.0.1:9/")
    endpoint.secret_file.unlink()
    with pytest.raises(ConfigError, match="secret cannot be read"):
        await follow(Config(data_dir=tmp_path, webhooks=(endpoint,)))


async def test_an_operator_lists_replays_enables_and_rotates(tmp_path):
    path = tmp_path / "central.toml"
    with scene(tmp_path) as stage, receiving() as receiver:
        path.write_text(TOML.format(port=9, url=receiver.url) + '[[webhooks]]\nname = "new"\n'
                        'url = "https://example.org/"\nsecret_file = "new.secret"\n')  # fmt: skip
        first = pointsman(path, "rotate-secret", "--endpoint", "new")
        assert first.startswith("whsec_")
        pointsman(path, "rotate-secret", "--endpoint", "erp")
        store = open_followers(Config(data_dir=tmp_path))
        receiver.reply = lambda _: Reply(410)
        grow(stage, ScriptedEdge("e1"), "o")
        async with following(path):
            await until(lambda: any(row.disabled_ms is not None for row in store.overview()))
        (delivery,) = store.due("erp", 2**60, 9)
        store.settle("erp", [], [delivery._replace(dead_ms=1, reason="HTTP 500", attempts=10)])
        store.close()
    listed = pointsman(path, "list")
    assert "disabled since" in listed
    assert "new" in listed
    assert "HTTP 500" in pointsman(path, "dead", "--endpoint", "erp")
    assert "1 events are tried again" in pointsman(path, "replay", "--id", "1")
    assert "0 dead events" in pointsman(path, "dead")
    assert "gets events again" in pointsman(path, "enable", "--endpoint", "erp")
    assert "no endpoint" in pointsman(path, "enable", "--endpoint", "nobody")
    dropped = pointsman(path, "rotate-secret", "--endpoint", "new", "--drop-old")
    assert "newest secret alone" in dropped
    assert "no endpoint" in pointsman(path, "rotate-secret", "--endpoint", "nobody")


def config_cursor(config):
    store = open_followers(config)
    try:
        return store.cursor(FOLLOWER)
    finally:
        store.close()


def pointsman(path, *words):
    """What `pointsman central webhooks` prints."""
    arguments = ["central", "webhooks", *words, "-c", str(path)]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}).output
