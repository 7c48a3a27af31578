"""Every event of the ledger again, on the topics that integrators read at central's broker.

The event's own bytes, QoS 1, in the ledger's order. The cursor moves when the broker has confirmed
a whole page, so a page at most is under way, and is published again if the line breaks or the
process dies: consumers know an event by its source and id.
"""

import asyncio
import time
from typing import Any, Final

import aiomqtt
import structlog
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from central.config import Config
from central.followers.kinds import Kinds, kind_of
from central.followers.store import Store
from central.followers.tail import Tail
from central.link import LinkError, connect
from shared import topics
from shared.envelope import CONTENT_TYPE
from shared.errors import ConfigError
from shared.mqtt import BACKOFF_S_MAX, BACKOFF_S_MIN, QOS

FOLLOWER: Final = "/republish"
"""Its cursor's name; no endpoint can have it."""

POLL_S: Final = 0.25
CONFIRM_S_MAX: Final = 60.0
"""A broker that has not confirmed a page by then is taken for dead."""

_log = structlog.get_logger("central.republish")


class Publisher(aiomqtt.Client):
    """A client that keeps what a PUBACK of MQTT 5 says; aiomqtt waits for it and does not look."""

    refused: ReasonCode | None = None

    def _on_publish(
        self,
        client: PahoClient,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        if reason_code.is_failure:
            self.refused = reason_code
        super()._on_publish(client, userdata, mid, reason_code, properties)


class Republisher:
    """Publishes what the ledger has.

    Args:
        config: central's: where its broker is, and which events.
        store: where the cursor is kept.
        tail: of the ledger; its own.
    """

    name: Final = "republish"

    def __init__(self, config: Config, store: Store, tail: Tail) -> None:
        """See the class."""
        self._broker = config.broker
        self._begin = config.republish.begin
        self._kinds = Kinds(config.republish.kinds)
        self._store = store
        self._tail = tail

    async def run(self) -> None:
        """Publish until cancelled, and connect again when the broker is gone.

        Raises:
            StorageError: a database failed. Nothing is lost; it may be run again.
        """
        position = self._store.cursor(FOLLOWER)
        if position is None:
            position = 0 if self._begin == "first" else self._tail.end()
            self._store.advance(FOLLOWER, position)
        back_off_s = BACKOFF_S_MIN
        while True:
            started_s = time.monotonic()
            try:
                async with connect(self._broker, "pointsman-follow", Publisher) as client:
                    _log.info("connected", host=self._broker.host, port=self._broker.port)
                    while True:
                        position = await self._page(client, position)
            except (aiomqtt.MqttError, LinkError, ConfigError) as error:
                if time.monotonic() - started_s > BACKOFF_S_MAX:
                    back_off_s = BACKOFF_S_MIN
                _log.warning("broker_lost", detail=str(error), retry_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(back_off_s * 2, BACKOFF_S_MAX)

    async def _page(self, client: Publisher, position: int) -> int:
        """Publish what follows a position; returns the position through which it is published."""
        rows = self._tail.read(position)
        if not rows:
            await asyncio.sleep(POLL_S)
            return position
        properties = None
        if self._broker.mqtt_version == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = CONTENT_TYPE
        # All at once and still in order: each is handed to paho before anything waits.
        await asyncio.gather(
            *(
                client.publish(
                    topics.events(kind, row.edge_id),
                    row.raw,
                    qos=QOS,
                    properties=properties,
                    timeout=CONFIRM_S_MAX,
                )
                for row in rows
                if (kind := kind_of(row.type)) is not None and kind in self._kinds
            )
        )
        if client.refused is not None:
            raise LinkError(
                f"the broker refuses events: {client.refused}",
                place="broker",
                expected=f"an access list that lets central write {topics.ROOT}/events/#",
            )
        self._store.advance(FOLLOWER, rows[-1].position)
        return rows[-1].position
