"""A device's last will, from a broken socket to central's view."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from central.devices import DeviceState, read_devices
from shared.clock import SystemClock, to_datetime
from shared.devices import DeviceReported
from shared.envelope import encode_event, make_event
from shared.topics import device_source, up
from tests.brokers import Broker
from tests.integration.test_central_link import PATIENCE_S, config_for, serving
from tests.site import running_edge

ROW_S = 0.05


class Handheld:
    """A warehouse's device by MQTT 3.1.1, with a last will."""

    def __init__(self, broker: Broker, name: str, connection: str) -> None:
        self.name, self.connection = name, connection
        self.mqtt = paho.Client(
            CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )  # fmt: skip
        will = self._event("lost", connection=connection)
        self.mqtt.will_set(up(name, DeviceReported.kind), will, qos=1)
        self.mqtt.connect(broker.host, broker.port, keepalive=30)
        self.mqtt.loop_start()
        self.say("online", connection=connection)

    def _event(self, status: Any, **more: Any) -> bytes:
        now_ms = SystemClock().now_ms()
        event = make_event(
            DeviceReported(status=status, **more),
            id=f"{self.connection}-{status}-{now_ms}",
            source=device_source(self.name),
            time=to_datetime(now_ms),
        )
        return encode_event(event)

    def say(self, status: Any, **more: Any) -> None:
        sent = self.mqtt.publish(up(self.name, DeviceReported.kind), self._event(status, **more), 1)
        sent.wait_for_publish(PATIENCE_S)

    def vanish(self) -> None:
        """Close the socket without a DISCONNECT."""
        sock = self.mqtt.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(socket.SHUT_RDWR)
        self.mqtt.loop_stop()

    def leave(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


async def listed(data_dir: Path, true: Any) -> list[DeviceState]:
    """Central's rows, once they are so."""
    async with asyncio.timeout(PATIENCE_S):
        while not true(rows := read_devices(data_dir)[0]):  # noqa: ASYNC110  # a file tells nobody
            await asyncio.sleep(ROW_S)
    return rows


@pytest.mark.mosquitto
async def test_a_device_whose_socket_breaks_is_lost_at_central_with_its_last_sign_of_life(
    mosquitto: Broker, wan: Broker, tmp_path: Path
) -> None:
    config = config_for(wan, tmp_path)
    async with serving(config), running_edge(mosquitto, wan, tmp_path):
        device = Handheld(mosquitto, "wh-3", "c1")
        device.say("fault", part="printer", code="paper_out")
        rows = await listed(config.data_dir, lambda x: len(x) == 2)
        assert [(x.device, x.status, x.fault) for x in rows] == [
            ("wh-3", "fault", "paper_out"), ("wh-3", "online", ""),
        ]  # fmt: skip
        beat_ms = SystemClock().now_ms()
        device.say("heartbeat")
        device.vanish()
        rows = await listed(config.data_dir, lambda x: x[0].status == "lost")
        lost = rows[0]
        assert (lost.edge_id, lost.device) == ("edge-1", "wh-3")
        assert lost.last_seen_ms is not None
        assert beat_ms <= lost.last_seen_ms <= lost.since_ms

        again = Handheld(mosquitto, "wh-3", "c2")
        rows = await listed(config.data_dir, lambda x: len(x) == 1)
        assert (rows[0].status, rows[0].last_seen_ms) == ("online", rows[0].since_ms)
        again.leave()
