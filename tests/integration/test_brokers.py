"""What the daemons may expect of a broker, asked of the embedded one and of Mosquitto."""

import asyncio
import socket
import statistics
import time
from collections.abc import Callable, Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from deploy.broker import PACKET_BYTES_MAX, STOP_S_MAX, EmbeddedBroker
from tests.brokers import HOST, Broker, free_port
from tests.paho_client import WAIT_S, Client, numbers, payloads


@pytest.fixture
def connect(broker: Broker) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(client_id: str, **options: object) -> Client:
        clients.append(Client(broker, client_id, **options))  # type: ignore[arg-type]
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_messages_for_a_client_that_is_away_wait_for_it_in_order(connect):
    connect("wms", clean=False).subscribe("tasks/#").close()
    connect("edge").publish("tasks/1", *numbers(300))

    back = connect("wms", clean=False)

    assert back.session_present
    assert payloads(back.hear(300)) == numbers(300)


def test_what_was_not_acknowledged_comes_again_after_a_broken_connection(connect):
    wms = connect("wms", clean=False, manual_ack=True).subscribe("tasks/#")
    connect("edge").publish("tasks/1", *numbers(10))
    first = wms.hear(10)
    for message in first[:4]:
        wms.ack(message)
    wms.publish("done", b"")  # its PUBACK comes after the broker has read the four
    wms.vanish()

    again = connect("wms", clean=False).hear(6)

    assert payloads(again) == numbers(10)[4:]
    assert all(message.dup for message in again)


def test_200_messages_may_be_outstanding_and_acknowledged_late(connect):
    daemon = connect("edge", clean=False, manual_ack=True).subscribe("up/#")
    till = connect("till")
    till.publish("up/pay", *numbers(200))
    outstanding = daemon.hear(200)
    assert payloads(outstanding) == numbers(200)

    for message in outstanding:
        daemon.ack(message)
    till.publish("up/pay", b"next")

    assert payloads(daemon.hear(1)) == [b"next"]
    assert daemon.heard.empty()


def test_more_than_the_window_is_delivered_as_acknowledgements_come(connect):
    daemon = connect("edge", clean=False, manual_ack=True).subscribe("up/#")
    connect("till").publish("up/pay", *numbers(1_500))
    heard: list[paho.MQTTMessage] = []
    while len(heard) < 1_500:
        heard += daemon.hear(1)
        daemon.ack(heard[-1])

    assert payloads(heard) == numbers(1_500)


def test_broken_connections_in_a_busy_stream_lose_nothing(connect):
    daemon = connect("edge", clean=False).subscribe("up/#")
    till = connect("till")
    seen: set[bytes] = set()
    for number in range(400):
        till.paho.publish("up/pay", b"%d" % number, 1)
        if number % 80 == 79:
            daemon.vanish()
            daemon.paho.loop_stop()
            while not daemon.heard.empty():
                seen.add(bytes(daemon.heard.get().payload))
            daemon = connect("edge", clean=False)
    while len(seen) < 400:
        seen.update(payloads(daemon.hear(1)))

    assert seen == set(numbers(400))


def test_second_connection_of_a_client_takes_over_from_the_first(connect):
    first = connect("edge", clean=False).subscribe("up/#")
    second = connect("edge", clean=False)
    assert first.lost.wait(WAIT_S)

    connect("till").publish("up/pay", *numbers(20))

    assert payloads(second.hear(20)) == numbers(20)
    assert first.heard.empty()


def test_client_that_was_clean_can_come_back_with_a_session(connect):
    connect("edge").subscribe("up/#").close()
    connect("edge", clean=False).subscribe("up/#").close()
    connect("till").publish("up/pay", b"1")

    assert payloads(connect("edge", clean=False).hear(1)) == [b"1"]


@pytest.mark.parametrize("qos", [0, 1])
def test_messages_of_a_client_that_leaves_at_once_arrive(connect, qos):
    daemon = connect("edge").subscribe("up/#")
    for number in range(20):
        till = connect(f"till-{number}")
        till.publish("up/pay", *numbers(5), qos=qos)
        till.close()

    assert sorted(payloads(daemon.hear(100))) == sorted(numbers(5) * 20)


def test_message_of_10_megabytes_arrives(connect):
    daemon = connect("edge").subscribe("up/#")
    connect("till").publish("up/pay", b"x" * 10_000_000)

    assert len(daemon.hear(1)[0].payload) == 10_000_000


def test_packet_beyond_the_limit_ends_only_its_senders_connection(connect):
    daemon = connect("edge").subscribe("up/#")
    greedy = connect("greedy")
    greedy.paho.publish("up/pay", b"x" * (PACKET_BYTES_MAX + 1_000), 1)
    assert greedy.lost.wait(WAIT_S)

    connect("till").publish("up/pay", b"fits")

    assert payloads(daemon.hear(1)) == [b"fits"]


def test_garbage_on_the_port_hurts_nobody(broker, connect):
    daemon = connect("edge").subscribe("up/#")
    for noise in (b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\x7f", b"\xff" * 64):
        with socket.create_connection((broker.host, broker.port), WAIT_S) as sock:
            sock.sendall(noise)
    connect("till").publish("up/pay", b"1")

    assert payloads(daemon.hear(1)) == [b"1"]


def test_request_and_reply_are_not_held_up_by_small_packets(connect):
    # Without TCP_NODELAY on both ends each exchange takes more than 80 ms.
    daemon = connect("edge").subscribe("up/#")
    daemon.paho.on_message = lambda *_: daemon.paho.publish("down/x", b"reply", 1)
    till = connect("till").subscribe("down/#")
    took_ms = []
    for _ in range(30):
        start = time.perf_counter()
        till.paho.publish("up/x", b"request", 1)
        till.hear(1)
        took_ms.append((time.perf_counter() - start) * 1_000)

    assert statistics.median(took_ms) < 40, took_ms


def test_broker_ends_properly_when_told_to(broker, connect):
    connect("wms", clean=False).subscribe("tasks/#")
    connect("till").subscribe("down/#")

    assert broker.stop() == 0
    assert "Traceback" not in broker.output()


def test_embedded_broker_ends_while_clients_are_coming_in(embedded):
    hello = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x1e\x00\x04"
    for turn in range(10):
        sockets = [socket.create_connection((HOST, embedded.port)) for _ in range(30)]
        for number, sock in enumerate(sockets):
            sock.sendall(hello + b"%04d" % number)
        sockets[turn].recv(4)
        started = time.monotonic()
        assert embedded.stop() == 0
        assert time.monotonic() - started < STOP_S_MAX, "cut, not ended"
        for sock in sockets:
            sock.close()
        embedded.start()


def test_restarted_broker_keeps_its_sessions_only_if_it_is_durable(broker, connect):
    connect("wms", clean=False).subscribe("tasks/#").close()
    broker.restart()
    assert connect("wms", clean=False).session_present == broker.durable
    broker.restart(wipe=True)
    assert not connect("wms", clean=False).session_present


def test_embedded_broker_says_that_it_speaks_3_1_1_only(embedded):
    client = Client(embedded, "till", protocol=MQTTProtocolVersion.MQTTv5)
    client.close()
    assert client.reason == "Unsupported protocol version"


def test_embedded_broker_is_silent_while_clients_come_and_go(embedded):
    for number in range(5):
        client = Client(embedded, "till", clean=bool(number % 2)).subscribe("down/#")
        client.publish("down/x", b"1")
        client.vanish()
    embedded.stop()
    assert embedded.output() == f"broker ready on {HOST}:{embedded.port}\n"


async def test_embedded_broker_sets_nodelay_on_what_it_accepts():
    options: list[int] = []

    class Watched(EmbeddedBroker):
        async def stream_connected(
            self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
        ) -> None:
            sock = writer.get_extra_info("socket")
            options.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            await super().stream_connected(reader, writer, listener_name)

    port = free_port()
    broker = Watched(HOST, port)
    await broker.start()
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await broker.shutdown()

    assert options == [1]
