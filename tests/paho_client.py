"""A synchronous MQTT client for tests of brokers: everything it hears waits in a queue."""

import queue
import socket
import threading
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.brokers import Broker

WAIT_S: Final = 10.0


class Client:
    """A paho client in its own thread, with everything it hears in a queue."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        clean: bool = True,
        manual_ack: bool = False,
        user: str | None = None,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
    ) -> None:
        self.heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.session_present = False
        self.reason = ""
        self._answered = threading.Event()
        self.lost = threading.Event()
        self._subscribed = threading.Event()
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if protocol == MQTTProtocolVersion.MQTTv5 else clean,
            protocol=protocol,
            manual_ack=manual_ack,
            reconnect_on_failure=False,
        )
        self.paho.max_inflight_messages_set(1000)
        if user is not None:
            self.paho.username_pw_set(user, f"{user}-secret")
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = lambda *_: self.lost.set()
        self.paho.on_subscribe = lambda *_: self._subscribed.set()
        self.paho.on_message = lambda _client, _data, message: self.heard.put(message)
        self.paho.on_socket_open = self._on_socket_open
        self.paho.connect(broker.host, broker.port, keepalive=30)
        self.paho.loop_start()
        assert self._answered.wait(WAIT_S), "no CONNACK"

    def _on_socket_open(self, _client: paho.Client, _data: object, sock: object) -> None:
        assert isinstance(sock, socket.socket)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(
        self,
        _client: paho.Client,
        _data: object,
        flags: paho.ConnectFlags,
        reason: object,
        _properties: object,
    ) -> None:
        self.session_present = flags.session_present
        self.reason = str(reason)
        self._answered.set()

    def subscribe(self, topic: str) -> "Client":
        self._subscribed.clear()
        self.paho.subscribe(topic, qos=1)
        assert self._subscribed.wait(WAIT_S), "no SUBACK"
        return self

    def publish(self, topic: str, *payloads: bytes, qos: int = 1) -> None:
        for sent in [self.paho.publish(topic, payload, qos) for payload in payloads]:
            sent.wait_for_publish(WAIT_S)
            assert sent.is_published()

    def hear(self, count: int) -> list[paho.MQTTMessage]:
        return [self.heard.get(timeout=WAIT_S) for _ in range(count)]

    def ack(self, message: paho.MQTTMessage) -> None:
        self.paho.ack(message.mid, message.qos)

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def vanish(self) -> None:
        """Break the connection without a DISCONNECT."""
        sock = self.paho.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(socket.SHUT_RDWR)
        assert self.lost.wait(WAIT_S)
        self.paho.loop_stop()


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def payloads(messages: list[paho.MQTTMessage]) -> list[bytes]:
    return [bytes(message.payload) for message in messages]
