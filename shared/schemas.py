"""JSON Schemas, examples and the AsyncAPI document, generated from the typed definitions.

JSON Schema draft 2020-12; AsyncAPI 3.0. `pointsman schema export` writes them; a test fails
when the committed ones are stale.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from shared import frames, topics
from shared.envelope import CONTENT_TYPE, CONTENT_TYPE_BATCH, Event, encode_event, make_event
from shared.events import (
    BY_TYPE,
    DOWN,
    UP,
    CapacityAnnounced,
    Data,
    EpochBegan,
    InputRejected,
    OrderAccepted,
    OrderCancelled,
    OrderParked,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    Payment,
    PickAccepted,
    PickCompleted,
    PickKept,
    PickRejected,
    PickRequested,
    PickShort,
    PickWithdrawn,
    RoutePlanned,
    RouteRequested,
    ShareReturned,
    StockCounted,
    StockExpected,
    StockMoved,
    StockReceived,
    type_of,
)
from shared.ids import order_id, task_id
from shared.network import Network
from shared.parts import (  # fmt: skip
    CellUnits,
    Contact,
    CountLine,
    Customer,
    Destination,
    Exclusion,
    Fulfilment,
    Line,
    Money,
    Package,
    Plan,
    PlannedLine,
    Shortage,
    Slot,
    StockLine,
)
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.system_examples import (
    CONTACT_MESSAGE,
    SYSTEM_EXAMPLES,
    system_channels,
    system_example,
)

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
VERSION: Final = "0.1.0"

_NINE = datetime(2025, 1, 13, 1, 0, tzinfo=UTC)
_NOON = datetime(2025, 1, 13, 4, 0, tzinfo=UTC)
_EVENING = datetime(2025, 1, 13, 11, 0, tzinfo=UTC)
_NEXT_DAY = datetime(2025, 1, 14, 6, 0, tzinfo=UTC)
_TILL: Final = "till-17"
_NODE: Final = "dc-guangzhou"
_ORDER: Final = order_id("/devices/till-17", "till-17-000123", 1_736_730_000_000)
_TASK: Final = task_id(_ORDER, "edge-south", 1, 1, 0)


def documents() -> dict[str, str]:
    """Every generated document: file name to text."""
    found: dict[str, str] = {}
    for name, kind in BY_TYPE.items():
        found[f"{name}.schema.json"] = _text(event_schema(kind))
        found[f"examples/{name}.json"] = _text(msgspec.json.decode(encode_event(example(kind))))
    found["network.schema.json"] = _text(_standalone(Network, "The network document."))
    found["sourcing.schema.json"] = _text(_standalone(Sourcing, "The sourcing document."))
    found["prices.schema.json"] = _text(_standalone(Prices, "The prices document."))
    found["asyncapi.json"] = _text(asyncapi())
    return found


def event_schema(kind: type[Data]) -> dict[str, Any]:
    """JSON Schema of a whole event: the CloudEvents envelope with this type and its data."""
    (envelope, data), parts = msgspec.json.schema_components(
        (Event, kind), ref_template="#/$defs/{name}"
    )
    definition = parts.pop("Event")
    name = type_of(kind)
    definition["properties"]["type"] = {"const": name}
    definition["properties"]["data"] = data
    del envelope
    return {
        "$schema": DRAFT,
        "$id": f"urn:pointsman:schema:{name}",
        **definition,
        "title": name,
        "description": (kind.__doc__ or "").strip(),
        "$defs": parts,
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of all topics, of the site's broker and of central's."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for name, kind in BY_TYPE.items():
        messages[kind.kind] = {
            "name": name,
            "title": (kind.__doc__ or "").strip().splitlines()[0],
            "contentType": CONTENT_TYPE,
            "payload": {
                "schemaFormat": f"application/schema+json;version={DRAFT}",
                "schema": {"$ref": f"./{name}.schema.json"},
            },
        }
    device = {"device": {"description": "The device's own identity, its user at the broker."}}
    for way, kinds, action in (("up", UP, "receive"), ("down", DOWN, "send")):
        for kind in kinds:
            key = f"{way}.{kind.kind}"
            channels[key] = {
                "address": f"{topics.ROOT}/{{device}}/{way}/{kind.kind}",
                "servers": [{"$ref": "#/servers/site"}],
                "parameters": device,
                "messages": {kind.kind: {"$ref": f"#/components/messages/{kind.kind}"}},
            }
            operations[key] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{key}"},
                "summary": f"The edge {'takes' if action == 'receive' else 'publishes'} it.",
            }
    messages[CONTACT_MESSAGE["name"]] = CONTACT_MESSAGE
    for key, channel, operation in system_channels():
        channels[key], operations[key] = channel, operation
    edge = {"edge": {"description": "The edge's id, its user at central's broker."}}
    for address, title, content_type, action in _STREAMS:
        key = f"wan.{address.replace('/', '.').replace('{', '').replace('}', '')}"
        messages[key] = {"name": key, "title": title, "contentType": content_type}
        channels[key] = {
            "address": f"{topics.ROOT}/{{edge}}/{address}",
            "servers": [{"$ref": "#/servers/central"}],
            "parameters": edge
            | {
                name: {"description": text}
                for name, text in _PARAMETERS.items()
                if f"{{{name}}}" in address
            },
            "messages": {key: {"$ref": f"#/components/messages/{key}"}},
        }
        operations[key] = {"action": action, "channel": {"$ref": f"#/channels/{key}"}}
    channels["events"] = {
        "address": topics.events("{kind}", "{edge}"),
        "servers": [{"$ref": "#/servers/central"}],
        "parameters": {
            "kind": {"description": "The middle of the event's type."},
            "edge": {"description": "The edge in whose stream of the ledger the event is."},
        },
        "messages": {
            kind.kind: {"$ref": f"#/components/messages/{kind.kind}"} for kind in BY_TYPE.values()
        },
    }
    operations["events"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/events"},
        "summary": "Central tells integrators of every event in the ledger.",
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pointsman",
            "version": VERSION,
            "description": "All topics of an edge (server site) and of central (server central).",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "site": {"host": "edge.local:1883", "protocol": "mqtt", "description": "An edge's."},
            "central": {"host": "central:1884", "protocol": "mqtt", "description": "Central's."},
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


_PARAMETERS: Final = {
    "number": "Position in the edge's feed, from 1, no gaps.",
    "peer": "The edge whose node the task is for.",
}
_JSON: Final = "application/json"
_STREAMS: Final = (
    (f"up/{topics.HELLO}", "What the edge has (Hello).", _JSON, "receive"),
    (f"up/{topics.LOG}", "The edge's log, in batches.", CONTENT_TYPE_BATCH, "receive"),
    (f"up/{topics.CONTACTS}", "Contact details (list of ContactFor).", _JSON, "receive"),
    (f"up/{topics.TASKS}/{{peer}}", "A pick task, the fast way.", CONTENT_TYPE, "receive"),
    (f"down/{topics.ACK}", "What central has (Ack).", _JSON, "send"),
    (f"down/{topics.CONTACTS}", "Contacts that central keeps (ContactsAck).", _JSON, "send"),
    (f"down/{topics.FEED}/{{number}}/network", "A network, in columns.", "application/msgpack",
     "send"),
    (f"down/{topics.FEED}/{{number}}/sourcing", "Sourcing profiles, in columns.",
     "application/msgpack", "send"),
    (f"down/{topics.FEED}/{{number}}/prices", "Prices, in columns.", "application/msgpack",
     "send"),
    (f"down/{topics.FEED}/{{number}}/grant", "Shares, in columns.", "application/msgpack", "send"),
    (f"down/{topics.FEED}/{{number}}/event", "An event of another edge.", CONTENT_TYPE, "send"),
    (f"down/{topics.FEED}/{{number}}/recall", "Units wanted back, in columns.",
     "application/msgpack", "send"),
    (f"down/{topics.FEED}/{{number}}/lots", "Stock on its way, in columns.",
     "application/msgpack", "send"),
    (f"down/{topics.FEED}/{{number}}/rejoin", "A new epoch begins (Rejoin).", _JSON, "send"),
    (f"down/{topics.FEED}/{{number}}/past", "Events that a restored edge has lost.",
     CONTENT_TYPE_BATCH, "send"),
    (f"up/{topics.ASK}", "Units wanted at once (Ask).", _JSON, "receive"),
    (f"down/{topics.ASKED}", "What was asked for is granted (Asked).", _JSON, "send"),
)  # fmt: skip
assert {
    "network",
    "sourcing",
    "prices",
    "grant",
    "event",
    "recall",
    "lots",
    "rejoin",
    "past",
} == frames.FEED_KINDS


def example(kind: type[Data]) -> Event:
    """One good event of a kind, as it travels; edges' and logged events with their extensions."""
    if kind in SYSTEM_EXAMPLES:
        return system_example(kind, _ORDER, _NINE)
    data = _EXAMPLES[kind]
    device = _NODE if kind.kind.startswith(("pick.", "package.", "stock.", "capacity.")) else _TILL
    if kind in UP and kind is not OrderCancelled:
        return make_event(
            data, id=f"{device}-000123", source=topics.device_source(device), time=_NINE
        )
    return make_event(
        data,
        id="edge-south-1-42",
        source=topics.edge_source("edge-south"),
        time=_NINE,
        subject=_ORDER,
        sequence=42,
        epoch=1,
        hlc="0194594bd2800000",
        causationid=f"{_TILL}-000123",
        correlationid=_ORDER,
    )


_LINES = [
    Line(sku="22423", quantity=2, unit_price_minor=1_275, group="gift-1"),
    Line(sku="85123A", quantity=1, unit_price_minor=295, group="gift-1"),
]
_CUSTOMER = Customer(token="c-8f31", tier="gold", speed="standard")  # noqa: S106
_GUANGZHOU = Destination(lat=23.13, lon=113.26, region="CN-GD")
_WANTED = Fulfilment(kind="delivery", deadline=_NEXT_DAY)
_PLANNED = [PlannedLine(line=0, sku="22423", quantity=2)]
_PAYMENT = Payment(
    payment_id="pay-90017",
    terminal_id=_TILL,
    store_id="store-guangzhou-1",
    paid_at=_NINE,
    amount=Money(minor=2_845, currency="CNY"),
    channel="pos",
    fulfilment=_WANTED,
    lines=_LINES,
    customer=_CUSTOMER,
    destination=_GUANGZHOU,
    contact=Contact(name="Receiver", phone="000 0000 0000", address="1 Example Road"),
)
_PLAN = Plan(
    packages=[
        Package(
            package=0,
            node_id=_NODE,
            service_id="standard",
            lines=_PLANNED,
            cost_minor=1_180,
            ready_at=_NOON,
            arrives_at=_NEXT_DAY,
            edd_at=_EVENING,
            on_time_per_mille=900,
        )
    ],
    cost=Money(minor=1_180, currency="CNY"),
    bound_minor=1_180,
    optimal=True,
    profile="2025-01",
    snapshot="0f" * 16,
    excluded=[Exclusion(node_id="store-harbin-1", code="area")],
)
_SHORT = [Shortage(line=1, sku="85123A", quantity=1, reason="share", expected_at=_NEXT_DAY)]
_CELLS = [CellUnits(node_id=_NODE, sku="22423", quantity=2)]

_EXAMPLES: Final[dict[type[Data], Data]] = {
    CapacityAnnounced: CapacityAnnounced(
        node_id=_NODE, slots=[Slot(starts_at=_NINE, ends_at=_NOON, packages=240)]
    ),
    PickWithdrawn: PickWithdrawn(task_id=_TASK, node_id=_NODE, home_edge_id="edge-south"),
    PickKept: PickKept(task_id=_TASK, node_id=_NODE, home_edge_id="edge-south"),
    ShareReturned: ShareReturned(cells=_CELLS, recall=17),
    EpochBegan: EpochBegan(epoch=2, previous_epoch=1, previous_sequence=1_041),
    Payment: _PAYMENT,
    RouteRequested: RouteRequested(
        store_id="store-guangzhou-1",
        fulfilment=_WANTED,
        lines=_LINES,
        customer=_CUSTOMER,
        destination=_GUANGZHOU,
    ),
    RoutePlanned: RoutePlanned(plan=_PLAN, parked=_SHORT),
    OrderAccepted: OrderAccepted(
        order_id=_ORDER,
        payment_source=topics.device_source(_TILL),
        payment_event_id=f"{_TILL}-000123",
        payment=msgspec.structs.replace(_PAYMENT, contact=None),
        plan=_PLAN,
        parked=_SHORT,
    ),
    OrderParked: OrderParked(order_id=_ORDER, parked=_SHORT),
    OrderCancelled: OrderCancelled(
        order_id=_ORDER,
        reason="changed their mind",
        lines=_PLANNED,
        withdrawn=[_TASK],
        released=_CELLS,
    ),
    InputRejected: InputRejected(
        code="invalid_data",
        detail="Expected `int` >= 1",
        place="$.data.lines[0].quantity",
        expected="the JSON Schema of pointsman.payment.succeeded.v1",
    ),
    PickRequested: PickRequested(
        task_id=_TASK,
        order_id=_ORDER,
        home_edge_id="edge-south",
        node_id=_NODE,
        service_id="standard",
        lines=_PLANNED,
        ready_at=_NOON,
        arrives_at=_NEXT_DAY,
    ),
    PickAccepted: PickAccepted(task_id=_TASK),
    PickCompleted: PickCompleted(task_id=_TASK),
    PickShort: PickShort(
        task_id=_TASK, missing=[PlannedLine(line=0, sku="22423", quantity=1)]
    ),
    PickRejected: PickRejected(task_id=_TASK, reason="cold store out of order"),
    PackagePacked: PackagePacked(task_id=_TASK, weight_g=830),
    PackageShipped: PackageShipped(task_id=_TASK, tracking="EX0001"),
    PackageDelivered: PackageDelivered(task_id=_TASK),
    StockReceived: StockReceived(
        node_id=_NODE, lines=[StockLine(sku="22423", quantity=48)], reason="purchase"
    ),
    StockExpected: StockExpected(
        node_id=_NODE,
        lot_id="asn-7781",
        lines=[StockLine(sku="22423", quantity=60)],
        expected_at=_NEXT_DAY,
    ),
    StockCounted: StockCounted(node_id=_NODE, lines=[CountLine(sku="22423", quantity=46)]),
    StockMoved: StockMoved(
        node_id=_NODE,
        to_node_id="store-guangzhou-1",
        lines=[StockLine(sku="22423", quantity=6)],
        expected_at=_NEXT_DAY,
    ),
}  # fmt: skip


def _standalone(kind: type, description: str) -> dict[str, Any]:
    (root,), parts = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    return {"$schema": DRAFT, "description": description, **root, "$defs": parts}


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
