"""Moments from outside are in range; moments that a ledger has can always be told."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from central.wording import moment
from edge.intake import Message, read
from shared.clock import to_datetime, to_ms
from shared.envelope import encode_event
from shared.errors import InvalidDataError, InvalidEnvelopeError
from shared.events import (
    CapacityAnnounced,
    PickAccepted,
    RouteRequested,
    StockExpected,
    StockMoved,
)
from shared.moments import BEYOND, FIRST, check_moments
from shared.parts import Fulfilment, Line, Slot, StockLine, slot_sku
from shared.systems import StatusReported
from shared.topics import up
from tests.central_scene import NOW
from tests.shop import device_event, payment

LATE = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-23, minutes=-59)))
EARLY = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59)))
_STOCK = [StockLine(sku="A", quantity=1)]


@pytest.mark.parametrize("at", [LATE, EARLY, BEYOND, FIRST - timedelta(seconds=1)])
def test_an_event_of_no_time_is_refused_with_its_place(at):
    event = replace(device_event("wh-1", "e1", PickAccepted(task_id="t")), time=at)
    payload = encode_event(event)
    with pytest.raises(InvalidEnvelopeError) as caught:
        read(Message(up("wh-1", PickAccepted.kind), payload, len(payload)))
    assert caught.value.place == "$.time"


@pytest.mark.parametrize("at", [LATE, EARLY])
def test_a_moment_in_the_data_is_refused_with_its_place(at):
    carry = Fulfilment(kind="carry_out", deadline=at)
    paid = payment("sku-1")
    found = {
        "paid_at": replace(paid, paid_at=at),
        "fulfilment.deadline": replace(paid, fulfilment=replace(paid.fulfilment, deadline=at)),
        "expected_at": StockExpected(node_id="dc", lot_id="l", lines=_STOCK, expected_at=at),
        "at": StatusReported(order_id="o", state="NEW", at=at),
    }
    others = (
        StockMoved(node_id="dc", to_node_id="s", lines=_STOCK, expected_at=at),
        RouteRequested(store_id="s", fulfilment=carry, lines=[Line(sku="A", quantity=1)]),
    )
    for place, data in found.items():
        with pytest.raises(InvalidDataError) as caught:
            check_moments(data)
        assert caught.value.place == f"$.data.{place}"
    for data in others:
        with pytest.raises(InvalidDataError):
            check_moments(data)


def test_a_slot_out_of_range_is_named_by_its_number():
    good = Slot(starts_at=NOW, ends_at=NOW + timedelta(hours=1), packages=1)
    bad = Slot(starts_at=NOW, ends_at=LATE, packages=1)
    with pytest.raises(InvalidDataError) as caught:
        check_moments(CapacityAnnounced(node_id="dc", slots=[good, bad]))
    assert caught.value.place == "$.data.slots[1].ends_at"
    check_moments(CapacityAnnounced(node_id="dc", slots=[good]))


@given(st.datetimes(timezones=st.sampled_from([UTC, LATE.tzinfo, EARLY.tzinfo])))
def test_every_moment_can_be_told(at):
    assert moment(at).endswith(" UTC")
    assert slot_sku(at).endswith("Z")
    assert abs(to_ms(to_datetime(to_ms(at))) - to_ms(at)) <= 24 * 3_600_000


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_count_of_milliseconds_is_some_moment(ms):
    assert to_datetime(ms).tzinfo is UTC
