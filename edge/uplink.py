"""The way to central: aiomqtt, an asyncio task beside the gateway on the same loop.

Carries what `edge.sync` says and hears. Sends when it can; nothing on the local network ever
waits for it.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Final

import aiomqtt
import structlog

from edge.sync import Sync, Words
from shared.ending import end
from shared.errors import ConfigError
from shared.mqtt import BACKOFF_S_MAX, BACKOFF_S_MIN, KEEPALIVE_S, NO_DELAY, QOS, SUBACK_REFUSED
from shared.settings import Broker

CONNECT_S_MAX: Final = 3.0

log = structlog.get_logger()


class Uplink:
    """The edge's link to central.

    Args:
        edge_id: this edge.
        broker: central's broker.
        sync: the conversation.
        elapsed_ms: a clock that only moves forward.
        idle: to be awaited before the store is read: no commit is under way then.
        on_heard: called when something came down.
    """

    def __init__(
        self,
        edge_id: str,
        broker: Broker,
        sync: Sync,
        elapsed_ms: Callable[[], int],
        idle: Callable[[], Awaitable[None]],
        on_heard: Callable[[], None],
    ) -> None:
        """See the class."""
        self._edge_id = edge_id
        self._broker = broker
        self._sync = sync
        self._elapsed_ms = elapsed_ms
        self._idle = idle
        self._on_heard = on_heard
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something to say."""
        self._wake.set()

    async def run(self) -> None:
        """Keep connected until cancelled."""
        backoff_s = BACKOFF_S_MIN
        while True:
            try:
                async with self._client() as client:
                    backoff_s = BACKOFF_S_MIN
                    await self._converse(client)
            except (aiomqtt.MqttError, ConfigError) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    return  # Leaving failed as well; it must not hide that we were told to stop.
                log.warning("wan_lost", broker=self._broker.host, error=str(error))
            finally:
                self._sync.disconnected()
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    def _client(self) -> aiomqtt.Client:
        version = self._broker.mqtt_version
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            identifier=f"pointsman-{self._edge_id}-uplink",
            username=self._broker.username,
            password=self._broker.password(),
            protocol=aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311,
            # Nothing is owed to a session: both ends say what they have when they meet.
            clean_session=None if version == "5" else True,
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_S_MAX,
            socket_options=[NO_DELAY],
        )

    async def _converse(self, client: aiomqtt.Client) -> None:
        topics = [(topic, QOS) for topic in self._sync.subscriptions]
        granted = await client.subscribe(topics)
        if any(
            (code if isinstance(code, int) else code.value) >= SUBACK_REFUSED for code in granted
        ):
            raise ConfigError(
                "central's broker does not let this edge read its topics",
                place="wan",
                expected=f"an access list like deploy/mosquitto/central.acl for {self._edge_id}",
            )
        log.info("wan_connected", broker=self._broker.host)
        self._sync.connected()
        # Side by side: a publish that waits on a dead line must not hide that it is dead.
        listener = asyncio.create_task(self._listen(client))
        speaker = asyncio.create_task(self._keep_speaking(client))
        try:
            done, _ = await asyncio.wait({listener, speaker}, return_when="FIRST_COMPLETED")
        finally:
            await end(listener, speaker)
        for task in done:
            task.result()

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic, payload = str(message.topic), bytes(message.payload)
            self._sync.take(topic, payload, self._elapsed_ms())
            self._on_heard()
            self._wake.set()

    async def _keep_speaking(self, client: aiomqtt.Client) -> None:
        while True:
            self._wake.clear()
            await self._speak(client)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._wake.wait()

    async def _speak(self, client: aiomqtt.Client) -> None:
        """Say whatever is to be said now."""
        while True:
            await self._idle()
            words: list[Words] = self._sync.next_words(self._elapsed_ms())
            if not words:
                return
            # However slow the line is: if it breaks, the listener ends this.
            await asyncio.gather(
                *(client.publish(x.topic, x.payload, QOS, timeout=math.inf) for x in words)
            )
            self._sync.said(words, self._elapsed_ms())
