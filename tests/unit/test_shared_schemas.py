"""The committed schemas are fresh, and an independent validator agrees with them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.envelope import decode_data, decode_event
from shared.events import BY_TYPE, DOWN, UP
from shared.examples import example
from shared.prices import parse_prices
from shared.schemas import asyncapi, documents
from shared.sourcing import parse_sourcing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "shared" / "schemas"
SAMPLES = ROOT / "deploy" / "config"


def test_the_committed_documents_are_the_generated_ones() -> None:
    committed = {
        str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8")
        for path in FOLDER.rglob("*.json")
    }
    assert committed == documents(), "stale: run `pointsman schema export`"


@pytest.mark.parametrize("name", sorted(BY_TYPE))
def test_every_example_is_valid_by_schema_and_by_our_decoder(name: str) -> None:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    document = (FOLDER / "examples" / f"{name}.json").read_bytes()
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    validator.validate(json.loads(document))
    assert decode_data(decode_event(document)) == decode_data(example(BY_TYPE[name]))


@pytest.mark.parametrize("name", sorted(BY_TYPE))
def test_every_schema_bounds_every_string_list_and_number(name: str) -> None:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert list(unbounded(schema, "$")) == []


@pytest.mark.parametrize("name, parse", [("sourcing", parse_sourcing), ("prices", parse_prices)])
def test_the_sample_documents_are_valid_by_schema_and_by_our_decoder(name: str, parse: Any) -> None:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    document = (SAMPLES / f"{name}.json").read_bytes()
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(json.loads(document))
    assert parse(document).version


def unbounded(schema: Any, place: str) -> Any:
    """Places of strings, arrays and numbers without an upper bound."""
    if isinstance(schema, list):
        for number, item in enumerate(schema):
            yield from unbounded(item, f"{place}[{number}]")
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    free = "enum" not in schema and "const" not in schema
    patterned = str(schema.get("pattern", "")).endswith(("}$", "-9]$"))
    dated = schema.get("format") == "date-time"
    if free and kind == "string" and not ("maxLength" in schema or patterned or dated):
        yield place
    if free and kind == "array" and "maxItems" not in schema:
        yield place
    bounded = {"maximum", "exclusiveMaximum"} & schema.keys()
    if free and kind in ("integer", "number") and not bounded:
        yield place
    for name, value in schema.items():
        if name not in ("examples", "description"):
            yield from unbounded(value, f"{place}.{name}")


def test_no_event_has_room_for_card_data() -> None:
    words = ("card", "pan", "cvv", "cvc", "track", "pin")
    for name in BY_TYPE:
        schema = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
        for part in [schema, *schema["$defs"].values()]:
            for field in part.get("properties", {}):
                assert not any(word == bit for word in words for bit in field.split("_")), field
        for part in schema["$defs"].values():
            assert part.get("additionalProperties") is False or "properties" not in part


def test_the_asyncapi_document_has_a_channel_for_every_topic() -> None:
    document = asyncapi()
    addresses = {channel["address"] for channel in document["channels"].values()}
    for way, kinds in (("up", UP), ("down", DOWN)):
        for kind in kinds:
            assert f"pointsman/v1/{{device}}/{way}/{kind.kind}" in addresses
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            name = message["$ref"].removeprefix("#/components/messages/")
            assert name in document["components"]["messages"]
    payloads = [m["payload"] for m in document["components"]["messages"].values() if "payload" in m]
    for payload in payloads:
        assert (FOLDER / payload["schema"]["$ref"]).exists()
