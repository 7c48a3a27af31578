"""The wire to a site's broker: the API as one of its tills. Payments out, the edge's answers in."""

import asyncio
import secrets
import time
from typing import Final

import aiomqtt
import structlog

from central.link import LinkError, connect
from shared import topics
from shared.envelope import Event, decode_data, decode_event, encode_event
from shared.errors import (
    ConfigError,
    OverloadedError,
    PayloadTooLargeError,
    PointsmanError,
)
from shared.events import InputRejected, OrderAccepted, Payment, type_of
from shared.limits import PAYLOAD_BYTES_MAX
from shared.mqtt import BACKOFF_S_MAX, BACKOFF_S_MIN, QOS, SUBACK_REFUSED
from shared.settings import Broker

ASKING_MAX: Final = 256
"""Payments that wait for their answer; more are refused."""

_ANSWERS: Final = frozenset({type_of(OrderAccepted), type_of(InputRejected)})

_log = structlog.get_logger("central.api.till")

Answer = tuple[Event, OrderAccepted | InputRejected]


class Till:
    """One connection for all payments.

    Args:
        broker: the site's.
        device: under which name.
    """

    def __init__(self, broker: Broker, device: str) -> None:
        """See the class."""
        self.device = device
        self._broker = broker
        self._client: aiomqtt.Client | None = None
        # The same key may be asked for twice at once: both get the answer.
        self._asking: dict[str, set[asyncio.Future[Answer]]] = {}

    @property
    def connected(self) -> bool:
        """Whether the site's broker is there."""
        return self._client is not None

    async def run(self) -> None:
        """Connect, listen, and connect again when the broker is gone. Ends when cancelled."""
        back_off_s = BACKOFF_S_MIN
        while True:
            started_s = time.monotonic()
            try:
                identifier = f"{self.device}-{secrets.token_hex(6)}"
                async with connect(self._broker, identifier) as client:
                    await self._serve(client)
            except (aiomqtt.MqttError, LinkError, ConfigError) as error:
                if time.monotonic() - started_s > BACKOFF_S_MAX:
                    back_off_s = BACKOFF_S_MIN
                _log.warning("site_lost", detail=str(error), retry_s=back_off_s)
            finally:
                self._client = None
            await asyncio.sleep(back_off_s)
            back_off_s = min(back_off_s * 2, BACKOFF_S_MAX)

    async def ask(self, event: Event, timeout_s: float) -> Answer | None:
        """Send a payment, and wait for the edge's answer to it; None: not in time.

        Raises:
            LinkError: the site's broker is not there, or was lost while it was sent.
            OverloadedError: too many payments wait.
            PayloadTooLargeError: the event is larger than an edge takes.
        """
        client = self._client
        if client is None:
            raise LinkError(
                "the broker of the site that takes orders is not there", place="api.lan",
                expected="the same request, later",
            )  # fmt: skip
        payload = encode_event(event)
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise PayloadTooLargeError(
                f"{len(payload)} bytes as an event", expected=f"at most {PAYLOAD_BYTES_MAX}"
            )
        if sum(map(len, self._asking.values())) >= ASKING_MAX:
            raise OverloadedError("too many orders wait for their answer", expected="later")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asking.setdefault(event.id, set()).add(answer)
        try:
            async with asyncio.timeout(timeout_s):
                await client.publish(topics.up(self.device, Payment.kind), payload, qos=QOS)
                return await answer
        except TimeoutError:
            return None
        except aiomqtt.MqttError as error:
            raise LinkError(
                str(error), place="api.lan", expected="the same request, later"
            ) from None
        finally:
            same = self._asking[event.id]
            same.discard(answer)
            if not same:
                del self._asking[event.id]

    async def _serve(self, client: aiomqtt.Client) -> None:
        (code,) = await client.subscribe(topics.down(self.device, "#"), QOS)
        if (code if isinstance(code, int) else code.value) >= SUBACK_REFUSED:
            raise LinkError(
                f"the broker does not let {self.device} read its answers", place="api.lan",
                expected=f"the account {self.device}, as deploy/mosquitto/edge.acl has it",
            )  # fmt: skip
        self._client = client
        _log.info("site_connected", host=self._broker.host, port=self._broker.port)
        async for message in client.messages:
            self._hear(bytes(message.payload))

    def _hear(self, payload: bytes) -> None:
        try:
            event = decode_event(payload)
            if event.type not in _ANSWERS or event.causationid not in self._asking:
                return  # what becomes of an order later is in the ledger
            data = decode_data(event)
        except PointsmanError as error:
            _log.warning("answer_not_read", code=error.code, place=error.place)
            return
        assert isinstance(data, OrderAccepted | InputRejected)
        for answer in self._asking[event.causationid]:
            if not answer.done():
                answer.set_result((event, data))
