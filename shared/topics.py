"""Topics. The device's own identity stands at a whole level, so that one ACL fences all.

    pointsman/v1/{device}/up/{kind}      only that device writes
    pointsman/v1/{device}/down/{kind}    only that device reads

On an edge's broker the devices are tills, warehouses, shops; on central's broker they are
the edges. `kind` is the short event type (`payment.succeeded`), or one of the stream names
below between an edge and central.

    pointsman/v1/events/{kind}/{edge_id}    on central's broker, only central writes
"""

import re
from typing import Final

from shared.errors import TopicMismatchError

ROOT: Final = "pointsman/v1"
ALL_UP: Final = f"{ROOT}/+/up/#"

# Between an edge and central.
HELLO: Final = "hello"
LOG: Final = "log"
ACK: Final = "ack"
FEED: Final = "feed"
TASKS: Final = "tasks"
CONTACTS: Final = "contacts"
ASK: Final = "ask"
ASKED: Final = "asked"

# Between central and a system.
CONTACT: Final = "contact"

HUB: Final = "hub"
"""The name of central's own stream."""

HUB_SOURCE: Final = "/hub"
"""CloudEvents `source` of what central itself says."""

RESERVED: Final = frozenset({HUB, "admin", "events"})
"""Names that no edge and no system may have: central, its operator, and what integrators read."""

_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def up(device: str, kind: str) -> str:
    """The topic on which `device` publishes `kind`."""
    return f"{ROOT}/{device}/up/{kind}"


def down(device: str, kind: str) -> str:
    """The topic on which `device` receives `kind`."""
    return f"{ROOT}/{device}/down/{kind}"


def events(kind: str, edge_id: str) -> str:
    """The topic on which central tells integrators of an event in an edge's stream."""
    return f"{ROOT}/events/{kind}/{edge_id}"


def parse_up(topic: str) -> tuple[str, str]:
    """Device and kind of a topic that a device wrote to.

    Raises:
        TopicMismatchError: the topic is not of the form above.
    """
    prefix = f"{ROOT}/"
    if topic.startswith(prefix):
        device, way, kind = ([*topic.removeprefix(prefix).split("/", 2), "", ""])[:3]
        if way == "up" and kind and _DEVICE.fullmatch(device):
            return device, kind
    raise TopicMismatchError(
        f"{topic[:200]!r} is not a topic for devices",
        place="topic",
        expected=f"{ROOT}/{{device}}/up/{{event type}}",
    )


def parse_down(topic: str) -> tuple[str, str]:
    """Device and kind of a topic that a device reads. Our own brokers' topics only."""
    device, way, kind = topic.removeprefix(f"{ROOT}/").split("/", 2)
    assert way == "down", topic
    return device, kind


def device_source(device: str) -> str:
    """CloudEvents `source` of a device."""
    return f"/devices/{device}"


def device_of(source: str) -> str:
    """The device of a `device_source`."""
    return source.removeprefix("/devices/")


def edge_of(source: str) -> str:
    """The edge of an `edge_source`."""
    return source.removeprefix("/edges/")


def edge_source(edge_id: str) -> str:
    """CloudEvents `source` of an edge daemon."""
    return f"/edges/{edge_id}"
