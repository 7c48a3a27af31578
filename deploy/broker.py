"""The embedded broker: amqtt, mended where it loses messages. For the demo and the tests.

MQTT 3.1.1 in pure Python, installed by pip, started without root. A shop runs Mosquitto.

amqtt 0.12 as it comes keeps nothing for an anonymous client that is away, throws a QoS 1
message away when its PUBACK takes more than five seconds or the connection breaks first,
marks a client as gone when it reconnects before the old connection was seen to end, and
may drop the last messages of a client that publishes and leaves. The classes below mend
these. What is left undone is said in deploy/README.md; the daemons trust no broker anyway.

    python -m deploy.broker --host 127.0.0.1 --port 1883
"""

import argparse
import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any, Final

from amqtt.adapters import ReaderAdapter, StreamReaderAdapter, StreamWriterAdapter, WriterAdapter
from amqtt.broker import Broker, RetainedApplicationMessage, Server
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.constants import QOS_1, QOS_2
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import OutgoingApplicationMessage, Session
from amqtt.utils import gen_client_id

PACKET_BYTES_MAX: Final = 16 * 1024 * 1024
"""A larger packet ends its sender's connection. The same limit as in deploy/mosquitto."""

INFLIGHT_MAX: Final = 1_000
"""Messages sent to one client and not acknowledged yet; the next ones queue up."""

QUEUED_MAX: Final = 100_000
"""Messages kept for one client beyond those in flight. More are dropped, with a warning."""

CLIENTS_MAX: Final = 1_000
CONNECT_S_MAX: Final = 10.0
"""A connection that has not introduced itself by then is closed."""

STOP_S_MAX: Final = 5.0

_SET_BY_CONNECT: Final = (
    "keep_alive",
    "password",
    "remote_address",
    "remote_port",
    "username",
    "will_flag",
    "will_message",
    "will_qos",
    "will_retain",
    "will_topic",
)

_log = logging.getLogger(__name__)


class OpenDoor(BaseAuthPlugin):
    """Lets everybody in, as named clients: amqtt keeps no session of one it calls anonymous."""

    async def authenticate(self, *, session: Session) -> bool:
        """Always yes; the embedded broker listens on loopback."""
        session.is_anonymous = False
        return True


class _BoundedReader(StreamReaderAdapter):
    """Refuses to collect more than one packet's limit in memory."""

    async def read(self, n: int = -1) -> bytes:
        if n > PACKET_BYTES_MAX:
            # Anything but an MQTTError, on which amqtt would go on in the middle of the packet.
            raise ValueError(f"packet of {n} bytes, at most {PACKET_BYTES_MAX} are taken")
        return await super().read(n)


class _QuietWriter(StreamWriterAdapter):
    """Writes nothing to a connection that is known to be gone."""

    def write(self, data: bytes) -> None:
        if not self._writer.is_closing():
            super().write(data)


class _Handler(BrokerProtocolHandler):
    """One connection. An outgoing message stays with the session until its PUBACK."""

    def __init__(self, broker: "EmbeddedBroker") -> None:
        super().__init__(broker.plugins_manager)
        self._broker = broker
        self._live = False
        self._closing: asyncio.Task[None] | None = None

    async def mqtt_publish(
        self,
        topic: str,
        data: bytes | bytearray,
        qos: int | None,
        retain: bool,
        ack_timeout: int | None = None,
    ) -> OutgoingApplicationMessage:
        if qos != QOS_1 or self.session is None:
            return await super().mqtt_publish(topic, data, qos, retain, ack_timeout)
        self._broker.keep(self.session, topic, data, retain=retain)
        # The client may have come back on another connection since this call was scheduled.
        await self._broker.pump(self.session)
        return OutgoingApplicationMessage(None, topic, qos, data, retain)

    async def pump(self) -> None:
        """Send what the session has queued, as far as the window allows."""
        session = self.session
        while self._live and session and len(session.inflight_out) < INFLIGHT_MAX:
            if session.retained_messages.empty():
                return
            queued = session.retained_messages.get_nowait()
            message = OutgoingApplicationMessage(
                session.next_packet_id, queued.topic, QOS_1, queued.data, queued.retain
            )
            assert message.packet_id is not None
            session.inflight_out[message.packet_id] = message
            await self._send_packet(message.build_publish_packet())

    async def handle_puback(self, puback: PubackPacket) -> None:
        if self.session and puback.variable_header:
            self.session.inflight_out.pop(puback.variable_header.packet_id, None)
            await self.pump()

    async def stop(self) -> None:
        # From here on nothing may be marked as sent that this connection no longer carries.
        self._live = False
        if self._reader_ready and not self._reader_ready.is_set() and self._reader_task:
            # Cancelled before its first step, a reader says neither that it began nor that it
            # ended, and amqtt waits for both for ever.
            self._reader_task.cancel()
            self._reader_ready.set()
            self._reader_stopped.set()
        await super().stop()

    async def _retry_deliveries(self) -> None:
        # Runs when a client is back: what it had not acknowledged goes first, in its order.
        if self.session:
            for message in list(self.session.inflight_out.values()):
                await self._send_packet(message.build_publish_packet(dup=True))
        self._live = True

    async def handle_publish(self, publish_packet: PublishPacket) -> None:
        header = publish_packet.variable_header
        if publish_packet.qos == QOS_2 or header is None or self.session is None:
            await super().handle_publish(publish_packet)
            return
        # Routed before it is acknowledged, and not through the session's own queue: a client
        # that publishes and leaves must not take its messages with it.
        if not await self._broker.take(self.session, publish_packet):
            await self.handle_connection_closed()
        elif publish_packet.qos == QOS_1 and header.packet_id is not None:
            await self._send_packet(PubackPacket.build(header.packet_id))

    def handle_read_timeout(self) -> None:
        _log.info("client is silent for more than its keep-alive: closed")
        self._closing = self._loop.create_task(self.handle_connection_closed())


class EmbeddedBroker(Broker):
    """amqtt's broker with the mended connection handler, and with take-over that works."""

    def __init__(self, host: str, port: int) -> None:
        """Prepare a broker; `start` opens its port."""
        listener = ListenerConfig(bind=f"{host}:{port}", max_connections=CLIENTS_MAX)
        super().__init__(
            BrokerConfig(listeners={"default": listener}, plugins={"deploy.broker.OpenDoor": {}})
        )
        self._connections: dict[str, tuple[BrokerProtocolHandler, asyncio.Event]] = {}
        self._stopping = False

    def keep(
        self, session: Session, topic: str, data: bytes | bytearray, *, retain: bool = False
    ) -> None:
        """Queue a message for a client, present or away, up to the bound."""
        if session.retained_messages.qsize() >= QUEUED_MAX:
            _log.warning("queue of %s is full: message on %s dropped", session.client_id, topic)
            return
        message = RetainedApplicationMessage(None, topic, data, QOS_1)
        message.retain = retain
        session.retained_messages.put_nowait(message)

    async def pump(self, session: Session) -> None:
        """Send what waits for a client, if it is there."""
        handler = self._get_handler(session)
        if isinstance(handler, _Handler):
            await handler.pump()

    async def take(self, session: Session, packet: PublishPacket) -> bool:
        """Route one incoming message; False if its topic breaks the protocol."""
        topic, data = packet.topic_name, packet.data
        if not topic or topic.startswith("$") or "#" in topic or "+" in topic or data is None:
            return False
        await self._broadcast_message(session, topic, data)
        if packet.retain_flag:
            await self.retain_message(session, topic, data, packet.qos)
        return True

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        """Grant at most QoS 1: the mended delivery knows no other."""
        topic_filter, qos = subscription
        # Subscribing again replaces the granted QoS [MQTT-3.8.4-3].
        self._del_subscription(topic_filter, session)
        return await super().add_subscription((topic_filter, min(qos, QOS_1)), session)

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one connection. asyncio has set TCP_NODELAY on it (a test looks)."""
        try:
            await self._client_connected(
                listener_name, _BoundedReader(reader), _QuietWriter(writer)
            )
        except ConnectionError as exc:
            _log.debug("connection lost: %s", exc)
        finally:
            writer.close()

    async def shutdown(self) -> None:
        """End all connections and close the port."""
        self._stopping = True
        for server in self._servers.values():
            server.instance.close()  # first, or clients come in while others are seen off
        await super().shutdown()

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                _, session = await BrokerProtocolHandler.init_from_connect(
                    reader, writer, self.plugins_manager
                )
        except (AMQTTError, MQTTError, NoDataError, TimeoutError, ValueError) as exc:
            raise AMQTTError(f"no proper CONNECT: {exc}") from exc
        client_id = session.client_id = session.client_id or gen_client_id()
        while client_id in self._connections:
            # The old connection must be gone to its end, or its end would mark the new one so.
            previous, ended = self._connections[client_id]
            await previous.handle_connection_closed()
            await ended.wait()
        session.parent = 0
        if session.clean_session:
            await self._delete_session(client_id)
        elif client_id in self._sessions:
            kept, _ = self._sessions[client_id]
            for name in _SET_BY_CONNECT:
                setattr(kept, name, getattr(session, name))
            session = kept
            session.parent = 1
        # A client pings about once per keep-alive; it is gone after one and a half of them.
        session.keep_alive += session.keep_alive // 2
        return _Handler(self), session

    async def _handle_client_session(
        self,
        reader: ReaderAdapter,
        writer: WriterAdapter,
        client_session: Session,
        handler: BrokerProtocolHandler,
        server: Server,
        listener_name: str,
    ) -> None:
        # No await between the look for an older connection and this: there is none.
        client_id = client_session.client_id or ""
        ended = asyncio.Event()
        self._connections[client_id] = (handler, ended)
        try:
            await super()._handle_client_session(
                reader, writer, client_session, handler, server, listener_name
            )
        finally:
            if client_session.clean_session and not self._stopping:
                # At once: the next connection may want a session that is kept.
                await self._delete_session(client_id)
            del self._connections[client_id]
            ended.set()

    async def _cleanup_session(self, client_id: str) -> None:
        session, _ = self._sessions.get(client_id, (None, None))
        # amqtt's monitor may come late: the client can be back already.
        if self._stopping or (session and session.transitions.state != "connected"):
            await super()._cleanup_session(client_id)

    async def _retain_broadcast_message(
        self, broadcast: dict[str, Any], qos: int, target_session: Session
    ) -> None:
        self.keep(target_session, broadcast["topic"], broadcast["data"])

    async def _publish_session_retained_messages(self, session: Session) -> None:
        # Does not wait for the PUBACKs: the client may have to subscribe or publish first.
        await self.pump(session)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        # amqtt asks this for every filter of every client when one of them comes back.
        if any(owner is session for owner, _ in self._subscriptions.get(subscription[0], [])):
            await super()._publish_retained_messages_for_subscription(subscription, session)


async def serve(host: str, port: int, ready: Callable[[], None] | None = None) -> None:
    """Run a broker until SIGTERM, SIGINT or cancellation.

    Args:
        host: address to listen on. The door is open to all: use loopback.
        port: TCP port.
        ready: called once the port is open.

    Raises:
        amqtt.errors.BrokerError: the port can't be opened.
    """
    # amqtt warns of each client that leaves in a hurry, and calls a port probe an error.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    broker = EmbeddedBroker(host, port)
    await broker.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        if ready:
            ready()
        await stop.wait()
    finally:
        try:
            await asyncio.wait_for(broker.shutdown(), STOP_S_MAX)
        except TimeoutError:
            _log.warning("some connections did not end in %s s and are cut", STOP_S_MAX)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def main() -> None:
    """Serve from the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.broker", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=1883)
    args = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s")

    def ready() -> None:
        print(f"broker ready on {args.host}:{args.port}", flush=True)

    asyncio.run(serve(args.host, args.port, ready))


if __name__ == "__main__":
    main()
