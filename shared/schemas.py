"""JSON Schemas, examples and the AsyncAPI document, generated from the typed definitions.

JSON Schema draft 2020-12; AsyncAPI 3.0. `pointsman schema export` writes them; a test fails
when the committed ones are stale.
"""

import json
from typing import Any, Final

import msgspec

from shared import frames, topics
from shared.envelope import CONTENT_TYPE, CONTENT_TYPE_BATCH, Event, encode_event
from shared.events import (
    BY_TYPE,
    DOWN,
    UP,
    Data,
    type_of,
)
from shared.examples import example
from shared.network import Network
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.system_examples import (
    CONTACT_MESSAGE,
    system_channels,
)

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
VERSION: Final = "0.1.0"


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


def _standalone(kind: type, description: str) -> dict[str, Any]:
    (root,), parts = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    return {"$schema": DRAFT, "description": description, **root, "$defs": parts}


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
