"""The command line, as a person types it."""

import asyncio
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from deploy.cli import app
from edge.store import Store
from shared.errors import NotJsonError
from shared.frames import ContactFor, encode_frame
from shared.parts import Contact
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.topics import down, up
from tests import planner
from tests.brokers import Broker, mosquitto_path, running
from tests.central_scene import ScriptedEdge, received
from tests.processes import Daemon
from tests.shop import network
from tests.site import PATIENCE_S, central, client, running_edge

ROOT = Path(__file__).parents[2]
run = CliRunner()


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def edge_file(folder: Path, lan: Broker, wan: Broker) -> str:
    version = "5" if lan.kind == "mosquitto" else "3.1.1"
    return written(
        folder, "edge.toml",
        f'edge_id = "edge-1"\ndata_dir = "edge"\n'
        f'[lan]\nport = {lan.port}\nmqtt_version = "{version}"\n'
        f'[wan]\nport = {wan.port}\nmqtt_version = "3.1.1"\n',
    )  # fmt: skip


def central_file(folder: Path, wan: Broker) -> str:
    return written(
        folder, "central.toml",
        f'data_dir = "central"\n[broker]\nport = {wan.port}\nmqtt_version = "3.1.1"\n',
    )  # fmt: skip


def test_the_daemons_say_that_they_are_ready_feed_the_network_and_stop_in_good_order(
    broker: Broker, wan: Broker, tmp_path: Path
) -> None:
    edge, centre = edge_file(tmp_path, broker, wan), central_file(tmp_path, wan)
    one, other = Daemon("central", "run", "-c", centre), Daemon("edge", "run", "-c", edge)
    try:
        assert one.until("ready")
        ready = other.until("ready")
        assert ready["edge_id"] == "edge-1"
        document = tmp_path / "network.json"
        document.write_bytes(msgspec.json.encode(network()))
        published = run.invoke(app, ["central", "network", "publish", str(document), "-c", centre])
        assert published.exit_code == 0, published.output
        assert "network version 1" in published.output
        document.write_text('{"version": 0}')
        refused = run.invoke(app, ["central", "network", "publish", str(document), "-c", centre])
        assert refused.exit_code == 1
        assert other.until("network_applied")["version"] == 1
        asked = run.invoke(
            app,
            ["pos", "pay", "sku-1:2", "sku-2", "--store", "store-1", "--to", "23.1,113.3,CN-GD",
             "--port", str(broker.port)],
        )  # fmt: skip
        assert asked.exit_code == 0, asked.output
        assert "accepted" in asked.output
        assert "waits 2 x sku-1 (share" in asked.output
        wrong = run.invoke(
            app, ["pos", "pay", "nope", "--store", "store-1", "--kind", "carry_out", "--quote",
                  "--port", str(broker.port)],
        )  # fmt: skip
        assert wrong.exit_code == 1
        assert "unknown_sku at $.data.lines[0].sku" in wrong.output
    finally:
        assert other.stop() == 0
        assert one.stop() == 0
    listed = run.invoke(app, ["edge", "quarantine", "-c", edge], env={"COLUMNS": "200"})
    assert listed.exit_code == 0, listed.output
    assert "unknown_sku" in listed.output
    verified = run.invoke(app, ["central", "verify", "-c", centre])
    assert verified.exit_code == 0, verified.output
    assert "every chain is whole" in verified.output


def test_a_planner_publishes_rules_and_prices_to_a_running_edge_and_takes_them_back(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    edge, centre = edge_file(tmp_path, embedded, wan), central_file(tmp_path, wan)

    def asked(*arguments: str, status: int = 0) -> str:
        done = run.invoke(app, ["central", *arguments, "-c", centre], env={"COLUMNS": "200"})
        assert done.exit_code == status, done.output
        return done.output

    def publish(item: Sourcing | Prices, status: int = 0) -> str:
        kind = "sourcing" if isinstance(item, Sourcing) else "prices"
        return asked(
            kind, "publish", written(tmp_path, "x.json", planner.written(item).decode()),
            status=status,
        )  # fmt: skip

    one, other = Daemon("central", "run", "-c", centre), Daemon("edge", "run", "-c", edge)
    try:
        one.until("ready")
        other.until("ready")
        assert "nothing back" in publish(planner.sourcing("s1"))
        document = written(tmp_path, "network.json", msgspec.json.encode(network()).decode())
        asked("network", "publish", document)
        assert other.until("sourcing_applied")["version"] == "s1"  # it has joined later
        assert "s2 is in force; a rollback brings s1 back" in publish(planner.sourcing("s2"))
        assert other.until("sourcing_applied")["version"] == "s2"
        assert "immutable at $.version" in publish(planner.sourcing("s1", rules=[]), status=1)
        assert "s1 is in force" in asked("sourcing", "rollback")
        assert other.until("sourcing_applied")["version"] == "s1"
        assert "nothing_before" in asked("sourcing", "rollback", status=1)
        listed = asked("sourcing", "list")
        assert re.findall(r"\bs\d\b", listed) == ["s1", "s2", "s1"]
        assert re.search(r"s1\b.*\bin force\b", listed)
        assert "2 versions" in listed
        assert "prices version 3" in publish(planner.prices(3))
        assert other.until("prices_applied")["version"] == 3
        assert "greater than 3" in publish(planner.prices(2), status=1)
    finally:
        assert other.stop() == 0
        assert one.stop() == 0


async def ask_central(centre: str, *arguments: str, status: int = 0) -> str:
    """What a command of an operator prints."""
    arguments = ("central", *arguments, "-c", centre)
    done = await asyncio.to_thread(run.invoke, app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


async def test_an_operator_lists_poison_reads_it_again_and_fences_an_edge(
    wan: Broker, tmp_path: Path
) -> None:
    centre = central_file(tmp_path, wan)
    asked = partial(ask_central, centre)
    daemon = Daemon("central", "run", "-c", centre)
    try:
        daemon.until("ready")
        edge = ScriptedEdge("e1")
        edge.say(received("dc", A=1), type="pointsman.moon.landed.v1")
        async with client(wan, "e1", down("e1", "ack")) as wire, asyncio.timeout(PATIENCE_S):
            for message in (edge.hello(), edge.batch()):
                await wire.publish(message.topic, message.payload, 1)
            async for answer in wire.messages:
                if json.loads(bytes(answer.payload))["sequence"] == 1:
                    break
        listed = await asked("poison")
        assert "unknown_type" in listed
        assert "1 events without effect" in listed
        again = await asked("replay", "--edge", "e1", "--sequence", "1")
        assert "0 events have their effect now" in again
        assert "1 remain: unknown_type" in again
        assert "0 events have their effect now" in await asked("replay", "--edge", "e2")
        assert "begins epoch 2" in await asked("fence", "e1")
        assert "unknown_edge" in await asked("fence", "e7", status=1)
    finally:
        assert daemon.stop() == 0


async def test_a_contact_is_shown_forgotten_and_recorded_and_survives_a_new_master_key(
    wan: Broker, tmp_path: Path
) -> None:
    centre = central_file(tmp_path, wan)
    asked = partial(ask_central, centre)
    daemon = Daemon("central", "run", "-c", centre)
    try:
        assert daemon.until("master_key_made")
        daemon.until("ready")
        sent = [
            ContactFor(order_id=x, contact=Contact(name="Li Lei", phone="13800000000"))
            for x in ("o1", "o2")
        ]
        async with client(wan, "e1", down("e1", "contacts")) as wire, asyncio.timeout(PATIENCE_S):
            await wire.publish(up("e1", "contacts"), encode_frame(sent), 1)
            await anext(wire.messages)
        assert "phone: 13800000000" in await asked("contact", "o1", "--by", "Ann")
        assert "no_contact" in await asked("contact", "o3", status=1)
        done = await asked("forget", "--order", "o1", "--by", "Bob")
        assert "1 contacts are destroyed" in done
        assert "no_contact" in await asked("contact", "o1", status=1)
        assert "0 contacts" in await asked("forget", "--customer", "c-9")
        assert "name one" in await asked("forget", status=2)
        listed = await asked("accesses")
        assert "Ann" in listed
        assert "3 accesses" in listed
        assert "restart central" in await asked("rotate-key")
    finally:
        assert daemon.stop() == 0
    daemon = Daemon("central", "run", "-c", centre)
    try:
        assert daemon.until("master_key_rotated")
        daemon.until("ready")
        assert "name: Li Lei" in await asked("contact", "o2")
    finally:
        assert daemon.stop() == 0
    folder = tmp_path / "central"
    assert len((folder / "vault.key").read_text().split()) == 1
    assert b"Li Lei" not in b"".join(x.read_bytes() for x in folder.iterdir())
    (folder / "vault.key").unlink()
    refused = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "deploy.cli", "central", "run", "-c", centre],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "vault_key_file" in refused.stderr
    assert "from its backup" in refused.stderr


def test_hostile_text_reaches_the_terminal_as_text(tmp_path: Path) -> None:
    store = Store(tmp_path / "edge.db")
    store.quarantine("a/[/nope]/\x1b[31m", b"x", NotJsonError("[bold]\x1b[2J"), "2025-01-01")
    store.commit()
    config = written(tmp_path, "edge.toml", 'edge_id = "edge-1"\ndata_dir = "."\n')
    listed = run.invoke(app, ["edge", "quarantine", "-c", config], env={"COLUMNS": "200"})
    assert listed.exit_code == 0, listed.output
    assert "[/nope]" in listed.output
    assert "\x1b[31m" not in listed.output


def sample(name: str, folder: Path, *ports: int) -> str:
    """A sample configuration as it ships, but for its ports and its folder."""
    text = (ROOT / "deploy" / "config" / name).read_text()
    for shipped, port in zip((1883, 1884) if name == "edge.toml" else (1884,), ports, strict=True):
        assert f"port = {shipped}" in text
        text = text.replace(f"port = {shipped}", f"port = {port}")
    text = re.sub(r'data_dir = "/var/lib/([a-z-]+)"', r'data_dir = "\1"', text)
    return written(folder, name, text)


def test_the_shipped_samples_start_and_sell(mosquitto: Broker, wan: Broker, tmp_path: Path) -> None:
    """The lines of deploy/README.md, on free ports."""
    wan.stop()
    with running("mosquitto", tmp_path / "central-broker") as other:
        centre = sample("central.toml", tmp_path, other.port)
        edge = sample("edge.toml", tmp_path, mosquitto.port, other.port)
        one, two = Daemon("central", "run", "-c", centre), Daemon("edge", "run", "-c", edge)
        try:
            one.until("ready")
            two.until("ready")
            document = str(ROOT / "deploy" / "config" / "network.json")
            done = run.invoke(app, ["central", "network", "publish", document, "-c", centre])
            assert done.exit_code == 0, done.output
            two.until("network_applied")
            stock = ROOT / "deploy" / "config" / "stock.json"
            program = mosquitto_path("mosquitto_pub")
            assert program
            topic = "pointsman/v1/dc-1/up/stock.received"
            subprocess.run(
                [program, "-p", str(mosquitto.port), "-q", "1", "-t", topic, "-f", str(stock)],
                check=True,
            )
            two.until("grant_applied")
            sold = run.invoke(
                app, ["pos", "pay", "apple:2", "--store", "store-1", "--to", "23.13,113.26,CN-GD",
                      "--port", str(mosquitto.port)],
            )  # fmt: skip
            assert "dc-1" in sold.output, sold.output
        finally:
            assert two.stop() == 0
            assert one.stop() == 0


@pytest.mark.parametrize(
    "unit,expected",
    [
        ("edge", "edge run edge"),
        ("central", "central run central"),
        ("central-follow", "central follow central"),
        ("api", "central api central"),
    ],
)
def test_a_service_unit_starts_a_command_that_exists(unit: str, expected: str) -> None:
    text = (ROOT / "deploy" / "systemd" / f"pointsman-{unit}.service").read_text()
    (command,) = re.findall(r"^ExecStart=/opt/pointsman/bin/pointsman (.*)$", text, re.M)
    words = command.split()
    group, command, config = expected.split()
    assert words == [group, command, "--config", f"/etc/pointsman/{config}.toml"]
    told = run.invoke(app, [*words[:2], "--help"])
    assert told.exit_code == 0
    assert "--config" in told.output


def test_a_payment_without_a_site_says_who_is_missing(wan: Broker) -> None:
    from tests.brokers import free_port

    gone = run.invoke(
        app, ["pos", "pay", "x", "--store", "s", "--kind", "carry_out", "--port", str(free_port())]
    )
    assert gone.exit_code == 1
    assert "no_answer" in gone.output
    for arguments in (["x:many", "--store", "s"], ["x", "--store", "s", "--to", "nowhere"],
                      ["x", "--store", "s"]):  # fmt: skip
        told = run.invoke(app, ["pos", "pay", *arguments, "--port", str(wan.port)])
        assert told.exit_code == 2, told.output


@pytest.mark.parametrize(
    "command",
    [["edge", "run"], ["edge", "quarantine"], ["central", "run"], ["central", "verify"],
     ["central", "network", "publish", "x.json"], ["central", "fence", "e1"],
     ["central", "sourcing", "publish", "x.json"], ["central", "sourcing", "rollback"],
     ["central", "sourcing", "list"], ["central", "prices", "publish", "x.json"],
     ["central", "follow"], ["central", "webhooks", "list"], ["central", "webhooks", "dead"],
     ["central", "webhooks", "replay"], ["central", "webhooks", "enable", "--endpoint", "x"],
     ["central", "webhooks", "rotate-secret", "--endpoint", "x"],
     ["central", "poison"], ["central", "replay"], ["central", "contact", "o"],
     ["central", "forget", "--order", "o"], ["central", "accesses"], ["central", "rotate-key"],
     ["central", "api"], ["central", "tokens"], ["central", "token", "x", "--role", "reader"],
     ["central", "revoke-token", "x"], ["central", "views"], ["central", "rebuild"],
     ["central", "key"], ["central", "export", "x"], ["central", "import", "x"]],
)  # fmt: skip
def test_a_missing_or_wrong_file_is_told_in_one_breath(command: list[str], tmp_path: Path) -> None:
    missing = run.invoke(app, [*command, "-c", str(tmp_path / "none.toml")])
    assert missing.exit_code == 1
    assert "config" in missing.output
    wrong = run.invoke(app, [*command, "-c", written(tmp_path, "x.toml", "data_dirr = 1")])
    assert wrong.exit_code == 1
    assert "data_dirr" in wrong.output or "data_dir" in wrong.output


def test_schemas_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    done = run.invoke(app, ["schema", "export", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"asyncapi.json", "pointsman.payment.succeeded.v1.schema.json"} <= names


async def test_watching_shows_a_line_for_every_event(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with central(wan) as centre, running_edge(embedded, wan, tmp_path):
        await centre.stock(sku_1=3)
        watcher = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.cli", "pos", "watch", "--port", str(embedded.port),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, env=os.environ | {"COLUMNS": "200"},
        )  # fmt: skip
        assert watcher.stdout is not None
        try:
            seen = asyncio.create_task(watcher.stdout.readline())
            while not seen.done():  # Until the watcher has subscribed, what is said is missed.
                await asyncio.to_thread(
                    run.invoke, app,
                    ["pos", "pay", "sku-1", "--store", "store-1", "--to", "23.1,113.3,CN-GD",
                     "--quote", "--port", str(embedded.port)],
                )  # fmt: skip
            assert b"till-cli/" in await seen
        finally:
            watcher.terminate()  # Not SIGINT: a background job's children ignore it.
            await watcher.wait()
