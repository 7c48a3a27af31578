"""The Mosquitto configurations that we ship really start, fence and keep."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.brokers import HOST, free_port, mosquitto_path, running, user_line
from tests.conftest import skip_without_mosquitto
from tests.paho_client import WAIT_S, Client, numbers, payloads

pytestmark = pytest.mark.mosquitto
MOSQUITTO_DIR = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto"


def shipped(name: str, directory: Path, users: list[str]) -> tuple[Path, int]:
    """A copy of a shipped configuration with its paths and its port replaced."""
    port = free_port()
    directory.mkdir()
    text = (MOSQUITTO_DIR / f"{name}.conf").read_text()
    text, listeners = re.subn(r"(?m)^listener 188[34]$", f"listener {port} {HOST}", text)
    assert listeners == 1
    text = text.replace("/etc/pointsman/mosquitto/", f"{directory}/")
    text = text.replace("/var/lib/mosquitto/", f"{directory}/")
    conf = directory / f"{name}.conf"
    conf.write_text(f"{text}\n{user_line()}\n")
    shutil.copy(MOSQUITTO_DIR / f"{name}.acl", directory)
    passwords = directory / f"{name}.passwd"
    passwords.touch(mode=0o600)
    program = mosquitto_path("mosquitto_passwd")
    assert program
    for user in users:
        subprocess.run([program, "-b", passwords, user, f"{user}-secret"], check=True)
    return conf, port


@contextmanager
def fenced(name: str, directory: Path, users: list[str]) -> Iterator[Callable[[str], Client]]:
    """A Mosquitto with a shipped configuration; yields what connects a user to it."""
    skip_without_mosquitto()
    conf, port = shipped(name, directory, users)
    clients: list[Client] = []
    with running("mosquitto", directory, conf, port) as broker:

        def login(user: str) -> Client:
            clients.append(Client(broker, user, user=user))
            return clients[-1]

        yield login
        for client in clients:
            client.close()


def test_shipped_edge_broker_fences_each_till(tmp_path):
    users = ["edge", "till-1", "till-2"]
    with fenced("edge", tmp_path / "broker", users) as login:
        edge, honest, nosy = (login(user) for user in users)
        edge.subscribe("pointsman/v1/+/up/#")
        honest.subscribe("pointsman/v1/till-1/down/#")
        nosy.subscribe("pointsman/v1/till-1/down/#").subscribe("pointsman/v1/+/down/#")
        nosy.subscribe("#")

        # Writing as another, or as the daemon, reaches nobody.
        nosy.publish("pointsman/v1/till-1/up/payment.succeeded", b"forged")
        nosy.publish("pointsman/v1/till-1/down/order.accepted", b"forged")
        nosy.publish("pointsman/v1/till-2/up/payment.succeeded", b"own")
        assert payloads(edge.hear(1)) == [b"own"]

        # Another's replies are not read.
        edge.publish("pointsman/v1/till-1/down/order.accepted", b"reply")
        edge.publish("pointsman/v1/till-2/down/order.accepted", b"for till-2")
        assert payloads(honest.hear(1)) == [b"reply"]
        # It hears its own replies through both wildcards, once or twice, and nothing else.
        assert payloads(nosy.hear(1)) == [b"for till-2"]
        nosy.publish("pointsman/v1/till-2/up/payment.succeeded", b"last")
        assert payloads(edge.hear(1)) == [b"last"]
        rest = [nosy.heard.get().payload for _ in range(nosy.heard.qsize())]
        assert set(rest) <= {b"for till-2"}
        assert honest.heard.empty()


def test_shipped_edge_broker_takes_a_message_of_10_megabytes(tmp_path):
    with fenced("edge", tmp_path / "broker", ["edge", "till-1"]) as login:
        edge = login("edge").subscribe("pointsman/v1/+/up/#")
        login("till-1").publish("pointsman/v1/till-1/up/payment.succeeded", b"x" * 10_000_000)
        assert len(edge.hear(1)[0].payload) == 10_000_000


def test_shipped_central_broker_gives_an_edge_only_its_own_tasks(tmp_path):
    users = ["central", "edge-1", "edge-2", "edge-3"]
    with fenced("central", tmp_path / "broker", users) as login:
        central, sender, receiver, other = (login(user) for user in users)
        central.subscribe("pointsman/v1/+/up/#")
        receiver.subscribe("pointsman/v1/+/up/tasks/edge-2").subscribe("pointsman/v1/edge-2/down/#")
        other.subscribe("pointsman/v1/+/up/tasks/edge-2").subscribe("pointsman/v1/edge-3/down/#")
        other.subscribe("pointsman/v1/+/up/#")

        sender.publish("pointsman/v1/edge-1/up/tasks/edge-2", b"pick")
        assert payloads(receiver.hear(1)) == [b"pick"]
        assert payloads(central.hear(1)) == [b"pick"]

        other.publish("pointsman/v1/edge-1/up/log", b"forged")
        central.publish("pointsman/v1/edge-3/down/ack", b"ack")
        assert payloads(other.hear(1)) == [b"ack"]
        sender.publish("pointsman/v1/edge-1/up/log", b"own")
        assert payloads(central.hear(1)) == [b"own"]
        assert other.heard.empty()


def test_shipped_central_broker_lets_an_integrator_read_events_and_nothing_else(tmp_path):
    with fenced("central", tmp_path / "broker", ["central", "edge-1", "integrator"]) as login:
        central, edge, integrator = (login(x) for x in ("central", "edge-1", "integrator"))
        central.subscribe("pointsman/v1/+/up/#")
        integrator.subscribe("pointsman/v1/events/#").subscribe("pointsman/v1/+/down/#")
        edge.subscribe("pointsman/v1/events/#").subscribe("pointsman/v1/edge-1/down/#")

        for forger in (integrator, edge):
            forger.publish("pointsman/v1/events/order.accepted/edge-1", b"forged")
        integrator.publish("pointsman/v1/integrator/up/hello", b"forged")
        integrator.publish("pointsman/v1/edge-1/up/log", b"forged")
        central.publish("pointsman/v1/edge-1/down/ack", b"ack")
        central.publish("pointsman/v1/events/order.accepted/edge-1", b"event")
        edge.publish("pointsman/v1/edge-1/up/log", b"own")
        assert payloads(integrator.hear(1)) == [b"event"]
        assert payloads(edge.hear(1)) == [b"ack"]
        assert payloads(central.hear(1)) == [b"own"]
        for client in (integrator, edge, central):
            assert client.heard.empty()


def test_shipped_brokers_let_nobody_in_without_a_password(tmp_path):
    skip_without_mosquitto()
    conf, port = shipped("edge", tmp_path / "broker", ["edge"])
    with running("mosquitto", tmp_path / "broker", conf, port) as broker:
        for user in (None, "stranger"):
            client = Client(broker, "x", user=user)
            client.close()
            assert client.reason == "Not authorized"


def test_shipped_edge_broker_survives_a_power_cut_with_its_sessions(tmp_path):
    skip_without_mosquitto()
    conf, port = shipped("edge", tmp_path / "broker", ["edge", "till-1"])
    database = tmp_path / "broker" / "pointsman-edge.db"
    with running("mosquitto", tmp_path / "broker", conf, port) as broker:
        Client(broker, "edge", user="edge", clean=False).subscribe("pointsman/v1/+/up/#").close()
        till = Client(broker, "till-1", user="till-1")
        till.publish("pointsman/v1/till-1/up/payment.succeeded", *numbers(500))
        # Acknowledged is not yet saved: that takes up to autosave_interval, plus a turn.
        deadline = time.monotonic() + WAIT_S
        while not database.exists() or b"499" not in database.read_bytes():
            assert time.monotonic() < deadline, "Mosquitto has not saved"
            time.sleep(0.05)
        broker.kill()
        till.close()
        broker.start()
        back = Client(broker, "edge", user="edge", clean=False)
        assert payloads(back.hear(500)) == numbers(500)
        back.close()


def test_loopback_configuration_starts_and_listens_on_loopback_only(tmp_path):
    skip_without_mosquitto()
    program = mosquitto_path()
    assert program
    port = free_port()
    command = [program, "-c", str(MOSQUITTO_DIR / "loopback.conf"), "-p", str(port)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + WAIT_S
            while True:
                try:
                    socket.create_connection((HOST, port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            listening = Path("/proc/net/tcp").read_text()
            assert f" 0100007F:{port:04X} " in listening
            assert f" 00000000:{port:04X} " not in listening
        finally:
            process.terminate()
