"""The envelope: what is read, what is refused, and where the fault is said to be."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.envelope import (
    decode_data,
    decode_event,
    encode_batch,
    encode_event,
    make_event,
    split_batch,
)
from shared.errors import (
    InvalidDataError,
    InvalidEnvelopeError,
    NotJsonError,
    PointsmanError,
    UnknownTypeError,
)
from shared.events import PickAccepted, type_of
from tests.shop import device_event, payment


def document(**changes: object) -> bytes:
    event = json.loads(encode_event(device_event("till-1", "p1", payment("sku-1"))))
    return json.dumps(event | changes).encode()


def test_an_event_survives_the_wire_byte_for_byte() -> None:
    event = device_event("till-1", "p1", payment("sku-1", "sku-2"))
    again = decode_event(encode_event(event))
    assert encode_event(again) == encode_event(event)
    assert decode_data(again) == payment("sku-1", "sku-2")


@pytest.mark.parametrize(
    "payload, error, place",
    [
        (b"", NotJsonError, "$"),
        (b"{", NotJsonError, "$"),
        (b"\xff", NotJsonError, "$"),
        (b'{"specversion":"1.0","data":' + b"[" * 200_000, NotJsonError, "$"),
        (b"{}", InvalidEnvelopeError, "$"),
        (document(specversion="0.3"), InvalidEnvelopeError, "$.specversion"),
        (document(id=""), InvalidEnvelopeError, "$.id"),
        (document(id="with space"), InvalidEnvelopeError, "$.id"),
        (document(time="2025-01-13T04:00:00"), InvalidEnvelopeError, "$.time"),
        (document(sequence="7"), InvalidEnvelopeError, "$.sequence"),
    ],
)
def test_a_bad_envelope_is_refused_with_its_place(
    payload: bytes, error: type[PointsmanError], place: str
) -> None:
    with pytest.raises(error) as caught:
        decode_event(payload)
    assert caught.value.place == place


def test_unknown_extension_attributes_are_permitted() -> None:
    assert decode_event(document(tracestate="a=b")).id == "p1"


def test_bad_data_names_the_path_inside_the_event() -> None:
    event = decode_event(document(data={"task_id": 7}, type="pointsman.pick.accepted.v1"))
    with pytest.raises(InvalidDataError) as caught:
        decode_data(event)
    assert caught.value.place == "$.data.task_id"
    assert caught.value.detail == "Expected `str`, got `int`"


def test_an_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(UnknownTypeError, match=r"pointsman\.payment\.succeeded\.v1"):
        decode_data(decode_event(document(type="pointsman.x.y.v1")))


def test_data_that_is_not_utf8_is_refused_and_not_a_crash() -> None:
    raw = document(type="pointsman.pick.accepted.v1", data={"task_id": "XX"})
    with pytest.raises(PointsmanError):
        decode_data(decode_event(raw.replace(b"XX", b"\xff\xfe")))


def test_a_batch_keeps_each_events_bytes() -> None:
    events = [document(id=f"e{n}") for n in range(5)]
    assert split_batch(encode_batch(events)) == events
    with pytest.raises(NotJsonError):
        split_batch(b'{"no": "list"}')


def test_an_event_without_position_has_no_number() -> None:
    with pytest.raises(InvalidEnvelopeError):
        decode_event(document()).number()


@given(st.binary(max_size=400))
def test_no_bytes_ever_raise_anything_but_a_refusal(payload: bytes) -> None:
    with contextlib.suppress(PointsmanError):
        decode_data(decode_event(payload))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_characters="\0")),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["lines", "sku", "quantity", "x"]), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_no_json_in_the_data_raises_anything_but_a_refusal(data: object) -> None:
    event = decode_event(document(data=data))
    with pytest.raises(InvalidDataError) as caught:
        decode_data(event)
    assert caught.value.place.startswith("$.data")


def test_the_type_is_the_datas_own() -> None:
    event = make_event(
        PickAccepted(task_id="t"), id="1", source="/x", time=payment("sku-1").paid_at, sequence=7,
        epoch=1, hlc="0" * 16,
    )  # fmt: skip
    assert event.type == type_of(PickAccepted) == "pointsman.pick.accepted.v1"
    assert event.number() == 7
    assert msgspec.json.decode(encode_event(event))["sequence"] == "0000000000000007"
