"""Systems for central's tests: an ERP, an SMS gateway and a WMS that answer by hand."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select

from central.admin import Message
from central.digest import digests
from central.ledger import verify
from central.rebuild import rebuild
from central.systems import System, Systems, TimeLimits
from central.tables import ledger
from shared import topics
from shared.envelope import Event, decode_data, decode_event, encode_event, make_event
from shared.events import Data
from shared.frames import ContactFor, decode_frame, encode_frame
from shared.parts import Contact
from tests.central_scene import NOW

LIMITS = TimeLimits(lock_s=60, confirmation_s=120, pick_acceptance_s=300)
SYSTEMS = Systems(
    [
        System(
            name="erp",
            role="erp",
            states={"NEW": ["accepted", "parked", "part_parked", "planned"], "DONE": "delivered"},
        ),
        System(name="sms", role="sms"),
        System(name="wms", role="wms"),
    ],
    LIMITS,
)
CONTACT = Contact(name="Li Na", phone="139 1234 5678", address="1 Example Road")


class ScriptedSystem:
    """A system that remembers what it was told, and says what it is made to say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[Event] = []
        self.contacts: dict[str, Contact] = {}
        self.said = 0

    def read(self, messages: list[Message]) -> list[Event]:
        """Take in what is for it; returns the events."""
        prefix = topics.down(self.name, "")
        events = []
        for message in messages:
            if message.topic == prefix + topics.CONTACT:
                frame = decode_frame(message.payload, ContactFor)
                self.contacts[frame.order_id] = frame.contact
            elif message.topic.startswith(prefix):
                event = decode_event(message.payload)
                assert message.topic == topics.down(self.name, decode_data(event).kind)
                events.append(event)
        self.told += events
        return events

    def commands(self) -> dict[str, Event]:
        """Those that it was told, by id."""
        return {x.id: x for x in self.told if x.sequence is not None}

    def say(
        self, data: Data, command_id: str | None = None, /, *, at: datetime = NOW, **changes: Any
    ) -> Message:
        """An event of its own."""
        self.said += 1
        event = make_event(
            data,
            id=f"{self.name}-{self.said}",
            source=topics.device_source(self.name),
            time=at,
            causationid=command_id,
        )
        event = msgspec.structs.replace(event, **changes)
        return Message(topics.up(self.name, data.kind), encode_event(event))


def contact(edge_id: str, order_id: str) -> Message:
    """An edge hands a contact over."""
    frames = [ContactFor(order_id=order_id, contact=CONTACT)]
    return Message(topics.up(edge_id, topics.CONTACTS), encode_frame(frames))


def assert_rebuilt_alike(stage):
    with stage.database.begin():
        assert verify(stage.database).position is None
        before = digests(stage.database)
        rebuild(stage.database, stage.now_ms)
        assert digests(stage.database) == before


def tell(stage, edge, *systems):
    """The edge's whole log; what comes of it, read by the systems."""
    out = stage.tell(edge.batch())
    for system in systems:
        system.read(out)
    return out


def codes(stage):
    """Exceptions, but those about what this edge, which is granted nothing, has sold."""
    return [x for x in stage.codes() if x != "oversold"]


def hub_log(stage):
    with stage.database.begin():
        query = select(ledger.c.raw).where(ledger.c.edge_id == "hub").order_by(ledger.c.position)
        return [decode_event(raw) for raw in stage.database.scalars(query)]


def orders_of(system, kind):
    return [data for x in system.told if isinstance(data := decode_data(x), kind)]
