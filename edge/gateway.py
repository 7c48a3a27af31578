"""MQTT on the local network: paho-mqtt, its socket on our loop, acknowledgements by hand.

A message is acknowledged only when what it caused is durable; until then the broker keeps it.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import structlog
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.intake import Message
from edge.records import Send
from shared.devices import DeviceReported
from shared.envelope import CONTENT_TYPE
from shared.events import OrderCancelled, Payment, RouteRequested
from shared.limits import EXCERPT_BYTES_MAX, PAYLOAD_BYTES_MAX
from shared.mqtt import BACKOFF_S_MAX, BACKOFF_S_MIN, KEEPALIVE_S, NO_DELAY, QOS, SESSION_EXPIRY_S
from shared.settings import Broker
from shared.topics import ALL_UP, down

INTAKE_MESSAGES_MAX: Final = 2_000
"""What may wait for a decision; beyond it what stands for itself is answered "overloaded"."""

READ_MESSAGES_MAX: Final = 10_000
REPORTS_MAX: Final = 40_000
"""Reports are not refused: those behind would overtake one that is, and a later state of its task
be taken before it. When so much waits as the first says, nothing more is read for a while; the
second leaves room for what paho reads in one go, since a broker may send all that it has."""

HEALTH_MESSAGES_MAX: Final = 2_000
"""Beyond it devices are told to come later: their health takes no room from payments."""

INTAKE_BYTES_MAX: Final = 64 * 1024 * 1024

READ_PACKETS_MAX: Final = 256
"""Packets read from the socket before decisions get their turn."""

OUT_MESSAGES_MAX: Final = 20_000

_HEALTH: Final = f"/up/{DeviceReported.kind}"
_QUESTION: Final = f"/up/{RouteRequested.kind}"
_ANY_TIME: Final = tuple(f"/up/{kind.kind}" for kind in (RouteRequested, Payment, OrderCancelled))
"""What stands for itself: it may come later than what was sent after it."""

log = structlog.get_logger()


class Gateway:
    """The edge's ear and mouth on the local network.

    Attributes:
        questions: route requests that wait: they commit nothing, so they wait for no disk.
        health: what devices say of their health, which waits behind all else.
        intake: everything else that waits, in the order in which it came.

    Args:
        edge_id: names the MQTT session.
        broker: the site's broker.
        on_message: called when something waits in `intake`.
        on_overflow: called with a message for which there is no room.
        on_connect: called when the subscription stands, also after a reconnect.
        on_loss: called when the connection is gone.
    """

    def __init__(
        self,
        edge_id: str,
        broker: Broker,
        on_message: Callable[[], None],
        on_overflow: Callable[[Message], None],
        on_connect: Callable[[], None],
        on_loss: Callable[[], None],
    ) -> None:
        """See the class."""
        self.intake: deque[Message] = deque()
        self.questions: deque[Message] = deque()
        self.health: deque[Message] = deque()
        self._broker = broker
        self._on_message = on_message
        self._on_overflow = on_overflow
        self._on_connect = on_connect
        self._on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lost = asyncio.Event()
        self._connection = 0
        self._waiting_bytes = 0
        self._stood = False
        self._unread: socket.socket | None = None
        self._version5 = broker.mqtt_version == "5"
        self._content: Properties | None = None
        if self._version5:
            self._content = _properties(PacketTypes.PUBLISH, ContentType=CONTENT_TYPE)
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"pointsman-{edge_id}",
            # A clean session would lose what tills sent while this daemon was down.
            clean_session=None if self._version5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._version5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
            # `run` reconnects; paho would do it inside a callback, and block there.
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(1_000)
        client.max_queued_messages_set(OUT_MESSAGES_MAX)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password())
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        client.on_socket_open = self._socket_opened
        client.on_socket_close = self._socket_closed
        client.on_socket_register_write = self._write_wanted
        client.on_socket_unregister_write = self._write_done

    async def run(self) -> None:
        """Keep connected until cancelled."""
        backoff_s = BACKOFF_S_MIN
        try:
            while True:
                self._lost.clear()
                self._stood = False
                try:
                    # The TCP connect blocks; tills are away as well, but the uplink is not.
                    await self._loop.run_in_executor(None, self._connect)
                except OSError as error:
                    log.warning("lan_unreachable", broker=self._address, error=str(error))
                else:
                    await self._keep_alive()
                    # A broker that refuses the login is not asked faster than one that is away.
                    backoff_s = BACKOFF_S_MIN if self._stood else backoff_s
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
        finally:
            self._client.disconnect()

    def take(self, waiting: deque[Message], messages_max: int) -> list[Message]:
        """The oldest of `questions` or `intake`, at most so many."""
        taken = [waiting.popleft() for _ in range(min(len(waiting), messages_max))]
        self._waiting_bytes -= sum(len(message.payload) for message in taken)
        if self._unread is not None and not self._full:
            self._loop.add_reader(self._unread.fileno(), self._readable, self._unread)
            self._unread = None
        return taken

    @property
    def _full(self) -> bool:
        waiting = max(len(self.intake), len(self.questions))
        return waiting >= READ_MESSAGES_MAX or self._waiting_bytes >= INTAKE_BYTES_MAX // 2

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that this message is done with, unless it will come again anyway."""
        if message.connection == self._connection:
            self._client.ack(message.mid, message.qos)

    def publish(self, send: Send) -> None:
        """Publish to a device at QoS 1; kept and sent again over a reconnect.

        What finds no room is named in the log. A device that repeats its event gets the stored
        answer, and tasks are sent again until they are accepted; later news is not said twice.
        """
        topic = down(send.device, send.kind)
        info = self._client.publish(topic, send.payload, QOS, properties=self._content)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            log.error("lan_queue_full", topic=topic, messages_max=OUT_MESSAGES_MAX)

    @property
    def _address(self) -> str:
        return f"{self._broker.host}:{self._broker.port}"

    def _connect(self) -> None:
        extra: dict[str, Any] = {}
        if self._version5:
            session = _properties(PacketTypes.CONNECT, SessionExpiryInterval=SESSION_EXPIRY_S)
            extra = {"clean_start": False, "properties": session}
        self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_S, **extra)

    async def _keep_alive(self) -> None:
        while not self._lost.is_set():
            self._client.loop_misc()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._lost.wait()

    # paho's callbacks. An exception in one would be lost, so none does more than take note.

    def _connected(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, __: Any
    ) -> None:
        if reason.is_failure:
            log.error("lan_refused", broker=self._address, reason=str(reason))
            return
        # Always: a broker that has lost its disk has lost the subscription too.
        client.subscribe(ALL_UP, QOS)

    def _subscribed(
        self, client: Client, _: Any, __: Any, reasons: list[ReasonCode], ___: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            # Connected but deaf would be worse than away.
            log.error("lan_refused", broker=self._address, topic=ALL_UP, expected="read access")
            client.disconnect()
            return
        log.info("lan_connected", broker=self._address)
        self._stood = True
        self._on_connect()

    def _disconnected(self, _: Client, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        log.warning("lan_lost", broker=self._address, reason=str(reason))
        # What was not acknowledged comes again, with other message ids.
        self.intake.clear()
        self.questions.clear()
        self.health.clear()
        self._waiting_bytes = 0
        self._connection += 1
        self._on_loop(self._on_loss)
        self._on_loop(self._lost.set)

    def _received(self, _: Client, __: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        content_type = getattr(message.properties, "ContentType", None)
        size = len(message.payload)
        kept = size if size <= PAYLOAD_BYTES_MAX else EXCERPT_BYTES_MAX
        received = Message(
            topic,
            bytes(message.payload[:kept]),
            size,
            message.mid,
            message.qos,
            self._connection,
            content_type,
        )
        waiting, room, room_bytes = self.intake, REPORTS_MAX, INTAKE_BYTES_MAX
        if topic.endswith(_HEALTH):
            waiting, room, room_bytes = self.health, HEALTH_MESSAGES_MAX, INTAKE_BYTES_MAX // 4
        elif topic.endswith(_ANY_TIME):
            room = INTAKE_MESSAGES_MAX
            waiting = self.questions if topic.endswith(_QUESTION) else self.intake
        if len(waiting) >= room or self._waiting_bytes + len(received.payload) > room_bytes:
            self._on_overflow(received)
            return
        self._waiting_bytes += len(received.payload)
        waiting.append(received)
        self._on_message()

    # While connecting, paho calls these from the executor's thread; else on the loop, where a
    # socket must be let go of before paho closes it.

    def _socket_opened(self, _: Client, __: Any, sock: Any) -> None:
        sock.setsockopt(*NO_DELAY)
        self._on_loop(self._loop.add_reader, sock.fileno(), self._readable, sock)

    def _socket_closed(self, _: Client, __: Any, sock: Any) -> None:
        self._unread = None
        self._on_loop(self._loop.remove_reader, sock.fileno())
        self._on_loop(self._loop.remove_writer, sock.fileno())

    def _write_wanted(self, client: Client, _: Any, sock: Any) -> None:
        self._on_loop(self._loop.add_writer, sock.fileno(), client.loop_write)

    def _write_done(self, _: Client, __: Any, sock: Any) -> None:
        self._on_loop(self._loop.remove_writer, sock.fileno())

    def _on_loop(self, call: Callable[..., object], *values: Any) -> None:
        if threading.get_ident() == self._thread:
            call(*values)
        else:
            self._loop.call_soon_threadsafe(call, *values)

    def _readable(self, sock: socket.socket) -> None:
        """Read a burst: whatever has arrived by now is decided and committed together."""
        for _ in range(READ_PACKETS_MAX):
            if self._full:
                # The rest stays in the socket, and behind it with the broker, in its order.
                self._loop.remove_reader(sock.fileno())
                self._unread = sock
                return
            self._client.loop_read()
            try:
                sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except OSError:  # Nothing more for now, or closed meanwhile.
                return


def _properties(packet: int, **values: Any) -> Properties:
    """MQTT 5 properties of a packet."""
    properties = Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    for name, value in values.items():
        setattr(properties, name, value)
    return properties
