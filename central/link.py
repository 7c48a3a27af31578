"""The wire between central and its broker: bursts in, messages out, back for ever.

aiomqtt confirms each message as it arrives and keeps it in a queue without a bound. Both are
harmless here: the edges' windows bound what can be under way, and an edge deletes nothing
from its log until central's own acknowledgement, which follows the commit.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar

import aiomqtt
import msgspec
import structlog
from paho.mqtt.reasoncodes import ReasonCode

from central.admin import (
    ADMIN,
    CONTACT,
    FENCE,
    FORGET,
    NETWORK,
    PRICES,
    REPLAY,
    REQUESTS,
    ROLLBACK,
    SOURCING,
    Answer,
    Fence,
    Fenced,
    Forget,
    Forgotten,
    InForce,
    Message,
    Published,
    Replay,
    Replayed,
    Rollback,
    ShowContact,
    Shown,
    raise_refusal,
)
from central.config import Config
from central.core import Central
from shared import topics
from shared.clock import Clock
from shared.errors import ConfigError, InvalidDataError, PointsmanError, split_error
from shared.frames import Frame, encode_frame
from shared.mqtt import BACKOFF_S_MAX, BACKOFF_S_MIN, KEEPALIVE_S, NO_DELAY, QOS, SUBACK_REFUSED
from shared.parts import Contact
from shared.settings import Broker

BURST_MESSAGES_MAX: Final = 16
"""Full batches of one transaction: about half a second of work at most."""

TICK_S: Final = 0.5
CATCH_UP_S: Final = 0.02
"""How often a worker looks what others have left for its edges: a payment waits 100 ms at most."""

SUBSCRIPTIONS: Final = (
    topics.up("+", topics.HELLO),
    topics.up("+", topics.LOG),
    topics.up("+", topics.CONTACTS),
    topics.up("+", topics.ASK),
    *(topics.up(ADMIN, kind) for kind in REQUESTS),
)

_log = structlog.get_logger("central.link")


class LinkError(PointsmanError):
    """Central's broker, or central behind it, does not do what was asked."""

    code: ClassVar[str] = "link"


C = TypeVar("C", bound=aiomqtt.Client)


def connect(broker: Broker, identifier: str, kind: type[C] = aiomqtt.Client) -> C:  # type: ignore[assignment]
    """A client of central's broker, to be entered with `async with`. No session is kept.

    Raises:
        ConfigError: the password file cannot be read.
    """
    version_5 = broker.mqtt_version == "5"
    client = kind(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password(),
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V5 if version_5 else aiomqtt.ProtocolVersion.V311,
        clean_session=None if version_5 else True,
        max_inflight_messages=1_000,
        keepalive=KEEPALIVE_S,
        socket_options=[NO_DELAY],
    )
    client.pending_calls_threshold = 10_000  # many publishes under way are normal here
    return client


class Link:
    """Carries messages between the broker and the core.

    Args:
        broker: where the broker is.
        central: the core; nobody else calls it while this runs.
        clock: for stamps.
        worker: name of this process among several at the broker; empty: it is the only one.
    """

    def __init__(self, broker: Broker, central: Central, clock: Clock, worker: str = "") -> None:
        """See the class."""
        self._among_others = bool(worker)
        self._identifier = f"pointsman-central-{worker}" if worker else "pointsman-central"
        self._broker = broker
        self._central = central
        self._clock = clock
        self.subscribed = asyncio.Event()
        """Set once the edges are heard for the first time."""

    async def run(self) -> None:
        """Connect, serve, and connect again when the broker is gone. Ends when cancelled."""
        back_off_s = BACKOFF_S_MIN
        while True:
            started_s = time.monotonic()
            try:
                async with connect(self._broker, self._identifier) as client:
                    try:
                        await self._serve(client)
                    finally:
                        self._central.disconnected()
            except* (aiomqtt.MqttError, LinkError, ConfigError) as errors:
                if time.monotonic() - started_s > BACKOFF_S_MAX:
                    back_off_s = BACKOFF_S_MIN
                details = sorted({str(error) for error in _leaves(errors)})
                _log.warning("broker_lost", details=details, retry_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(back_off_s * 2, BACKOFF_S_MAX)

    async def _serve(self, client: aiomqtt.Client) -> None:
        systems = [topics.up(name, "#") for name in self._central.systems.by_name]
        wanted = (*SUBSCRIPTIONS, *systems)
        codes: Sequence[int | ReasonCode] = await client.subscribe(
            [(topic, QOS) for topic in wanted]
        )
        for topic, code in zip(wanted, codes, strict=True):
            if (code if isinstance(code, int) else code.value) >= SUBACK_REFUSED:
                raise LinkError(
                    f"the broker does not let us read {topic}",
                    place="broker",
                    expected="an access list that lets central read pointsman/v1/+/up/#",
                )
        _log.info("connected", host=self._broker.host, port=self._broker.port)
        # Bounded by the edges' windows: one acknowledgement for what they send, and the feed's.
        out: asyncio.Queue[Message] = asyncio.Queue()
        self._put(out, self._central.connected(_elapsed_ms()))
        self.subscribed.set()
        # Tasks of their own: a publish that waits for a dead broker must not hide its death.
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(client, out))
            tasks.create_task(self._speak(client, out))
            tasks.create_task(self._tick(out))
            if self._among_others:
                tasks.create_task(self._catch_up(out))

    async def _listen(self, client: aiomqtt.Client, out: asyncio.Queue[Message]) -> None:
        messages = client.messages
        while True:
            burst = [_message(await anext(messages))]
            while len(messages) and len(burst) < BURST_MESSAGES_MAX:
                burst.append(_message(await anext(messages)))
            now_ms = self._clock.now_ms()
            self._put(out, self._central.receive(burst, now_ms=now_ms, elapsed_ms=_elapsed_ms()))

    async def _speak(self, client: aiomqtt.Client, out: asyncio.Queue[Message]) -> None:
        while True:
            burst = [await out.get()]
            while not out.empty():
                burst.append(out.get_nowait())
            # All at once and still in order: each is handed to paho before anything waits.
            await asyncio.gather(*(client.publish(x.topic, x.payload, qos=QOS) for x in burst))

    async def _tick(self, out: asyncio.Queue[Message]) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._put(out, self._central.tick(_elapsed_ms(), self._clock.now_ms()))

    async def _catch_up(self, out: asyncio.Queue[Message]) -> None:
        while True:
            await asyncio.sleep(CATCH_UP_S)
            self._put(out, self._central.catch_up(_elapsed_ms()))

    @staticmethod
    def _put(out: asyncio.Queue[Message], messages: list[Message]) -> None:
        for message in messages:
            out.put_nowait(message)


async def publish_network(config: Config, document: bytes, *, timeout_s: float = 30.0) -> int:
    """Hand a network document to the running central, and wait until every edge's feed has it.

    Args:
        config: central's own: where its broker is.
        document: JSON, see `shared.network`.
        timeout_s: how long to wait for the answer.

    Returns:
        The version that central has now.

    Raises:
        PointsmanError: central refuses the document; code, place and expectation are central's.
        LinkError: no broker, or no answer.
    """
    answer = await _request(config, NETWORK, document, Published, timeout_s)
    assert answer.version is not None, answer
    return answer.version


async def publish_prices(config: Config, document: bytes, *, timeout_s: float = 30.0) -> int:
    """The same for a prices document, see `shared.prices`."""
    answer = await _request(config, PRICES, document, Published, timeout_s)
    assert answer.version is not None, answer
    return answer.version


async def publish_sourcing(config: Config, document: bytes, *, timeout_s: float = 30.0) -> InForce:
    """Let the running central put a sourcing document in force, see `shared.sourcing`.

    Raises:
        PointsmanError: central refuses the document; code, place and expectation are central's.
        LinkError: no broker, or no answer.
    """
    return await _request(config, SOURCING, document, InForce, timeout_s)


async def roll_back_sourcing(config: Config, *, timeout_s: float = 30.0) -> InForce:
    """Let the running central put the sourcing document back in force that was so before.

    Raises:
        PointsmanError: there is none.
        LinkError: no broker, or no answer.
    """
    return await _request(config, ROLLBACK, _asked(Rollback), InForce, timeout_s)


async def fence_edge(config: Config, edge_id: str, *, timeout_s: float = 30.0) -> int:
    """Let the running central take an edge's shares back; returns the epoch that follows.

    Raises:
        PointsmanError: central does not know the edge.
        LinkError: no broker, or no answer.
    """
    answer = await _request(config, FENCE, _asked(Fence, edge_id=edge_id), Fenced, timeout_s)
    assert answer.epoch is not None, answer
    return answer.epoch


async def replay_poison(
    config: Config,
    edge_id: str | None = None,
    sequence: int | None = None,
    *,
    timeout_s: float = 30.0,
) -> Replayed:
    """Let the running central read poison events again: all, of one edge, or at one position.

    Raises:
        PointsmanError: central could not.
        LinkError: no broker, or no answer.
    """
    payload = _asked(Replay, edge_id=edge_id, sequence=sequence)
    return await _request(config, REPLAY, payload, Replayed, timeout_s)


async def forget_contacts(
    config: Config,
    by: str,
    customer: str | None = None,
    order_id: str | None = None,
    *,
    timeout_s: float = 30.0,
) -> Forgotten:
    """Let the running central destroy the contacts of a customer or of an order.

    Args:
        config: central's own.
        by: who asks; it is recorded.
        customer: token of the customer, or
        order_id: of the order.
        timeout_s: how long to wait for the answer.

    Raises:
        PointsmanError: central could not.
        LinkError: no broker, or no answer.
    """
    payload = _asked(Forget, by=by, customer=customer, order_id=order_id)
    return await _request(config, FORGET, payload, Forgotten, timeout_s)


async def read_contact(
    config: Config, by: str, order_id: str, *, timeout_s: float = 30.0
) -> Contact:
    """The contact of an order; that it was read, the running central records.

    Raises:
        PointsmanError: there is none.
        LinkError: no broker, or no answer.
    """
    payload = _asked(ShowContact, by=by, order_id=order_id)
    answer = await _request(config, CONTACT, payload, Shown, timeout_s)
    if answer.contact is None or answer.order_id != order_id:
        raise LinkError(
            "the answer is to another request", place="broker", expected="one at a time; try again"
        )
    return answer.contact


def _asked(kind: type[Frame], **values: Any) -> bytes:
    try:
        return encode_frame(msgspec.convert(values, kind))
    except msgspec.ValidationError as error:
        detail, place = split_error(error)
        raise InvalidDataError(detail, place=place, expected=f"a {kind.__name__} request") from None


A = TypeVar("A", bound=Answer)


async def _request(
    config: Config, kind: str, payload: bytes, answer: type[A], timeout_s: float
) -> A:
    try:
        async with connect(config.broker, f"pm-admin-{secrets.token_hex(6)}") as client:
            await client.subscribe(topics.down(ADMIN, kind), QOS)
            await client.publish(topics.up(ADMIN, kind), payload, qos=QOS)
            async with asyncio.timeout(timeout_s):
                answered = msgspec.json.decode(
                    _message(await anext(client.messages)).payload, type=answer
                )
    except TimeoutError:
        raise LinkError(
            f"no answer within {timeout_s:g} s", place="broker", expected="a running central"
        ) from None
    except aiomqtt.MqttError as error:
        raise LinkError(
            str(error), place="broker", expected="central's broker, as in its configuration"
        ) from None
    raise_refusal(answered)
    return answered


def _message(message: aiomqtt.Message) -> Message:
    return Message(message.topic.value, message.payload)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _elapsed_ms() -> int:
    return time.monotonic_ns() // 1_000_000
