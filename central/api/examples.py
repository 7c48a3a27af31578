"""One good example of each answer, for the OpenAPI document."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Raw, Struct

from central.api import answers
from central.api.problems import TYPE_PREFIX, Problem
from shared.envelope import decode_data, encode_event
from shared.events import OrderAccepted, Payment
from shared.examples import example
from shared.parts import Contact

_AT: Final = datetime(2025, 1, 13, 1, 0, 1, tzinfo=UTC)
_LATER: Final = datetime(2025, 1, 14, 6, 0, tzinfo=UTC)
_EVENT: Final = example(OrderAccepted)
_TAKEN: Final = decode_data(_EVENT)
_PAID: Final = decode_data(example(Payment))
assert isinstance(_TAKEN, OrderAccepted)
_ORDER_ID: Final = _TAKEN.order_id
_HASH: Final = "9f" * 32
_NEXT: Final = "IjAxOTQ1OTRiIg"

_ORDER: Final = answers.Order(
    order_id=_ORDER_ID, state="part_parked", edge_id="edge-south", store_id="store-guangzhou-1",
    units=3, amount_minor=2_845, currency="CNY", cancelled=False, promised_at=_LATER,
    opened_at=_AT, changed_at=_AT, exceptions=1,
)  # fmt: skip
_TASK: Final = answers.Task(
    task_id=f"{_ORDER_ID}.0f0f0f0f.1.1.0", order_id=_ORDER_ID, node_id="dc-guangzhou",
    home_edge_id="edge-south", service_id="standard", state="accepted", units=2, missing=0,
    promised_at=_LATER, changed_at=_AT, late=False,
)  # fmt: skip
_EXCEPTION: Final = answers.OrderException(
    number=17, code="late_sale", detail="2 units were sold after the fence", order_id=_ORDER_ID,
    edge_id="edge-south", epoch=1, sequence=42, noted_at=_AT,
)  # fmt: skip
_ENTRY: Final = answers.Entry(
    position=41, edge_id="edge-south", epoch=1, sequence=42, hash=_HASH, type=_EVENT.type,
    event=Raw(encode_event(_EVENT)), withheld=False,
)  # fmt: skip
_EDGE: Final = answers.Edge(
    edge_id="edge-south", epoch=1, sequence=42, head=_HASH, last_heard_at=_AT, fenced=False,
    feed_sent=17, feed_applied=17,
)  # fmt: skip
_STOCK: Final = answers.Stock(
    node_id="dc-guangzhou", sku="22423", pool=20, committed=2, shipped=0, received=48, adjusted=0,
    shares=[answers.Share(edge_id="edge-south", units=26, coming_back=0)],
)  # fmt: skip

EXAMPLES: Final[dict[type[Struct], Any]] = {
    answers.OrderPage: answers.OrderPage(items=[_ORDER], next=_NEXT),
    answers.OrderDetail: answers.OrderDetail(
        order=_ORDER, tasks=[_TASK], exceptions=[_EXCEPTION],
        waiting=[
            answers.WaitingLine(
                line=1, sku="85123A", units=1, reason="share", edge_id="edge-south",
                nodes=["dc-guangzhou"],
            )
        ],
    ),
    answers.Timeline: answers.Timeline(
        order_id=_ORDER_ID, complete=True,
        steps=[
            answers.Step(
                at=_AT, kind="order.accepted", source="/edges/edge-south", event_id=_EVENT.id,
                caused_by="till-17-000123", edge_id="edge-south", position=41, hlc=_EVENT.hlc,
            )
        ],
    ),
    answers.Why: answers.Why(
        order_id=_ORDER_ID, state="part_parked", since=_AT,
        findings=[
            answers.Finding(
                code="waits_share", detail="1 x 85123A of line 1", who=["dc-guangzhou"], since=None
            )
        ],
    ),
    answers.EntryPage: answers.EntryPage(items=[_ENTRY], next=_NEXT),
    answers.Accepted: answers.Accepted(
        order_id=_ORDER_ID, edge_id="edge-south", plan=_TAKEN.plan, parked=_TAKEN.parked
    ),
    answers.Pending: answers.Pending(order_id=_ORDER_ID, look_at=f"/v1/orders/{_ORDER_ID}"),
    answers.OrderContact: answers.OrderContact(
        order_id=_ORDER_ID,
        contact=Contact(name="Receiver", phone="000 0000 0000", address="1 Example Road"),
    ),
    answers.TaskPage: answers.TaskPage(items=[_TASK], next=None),
    answers.ExceptionPage: answers.ExceptionPage(items=[_EXCEPTION], next=None),
    answers.EdgePage: answers.EdgePage(items=[_EDGE], next=None),
    answers.StockPage: answers.StockPage(items=[_STOCK], next=None),
    answers.StockDetail: answers.StockDetail(
        stock=_STOCK,
        incoming=[
            answers.Incoming(
                lot_id="asn-7781", units=60, expected_at=_LATER, release_per_mille=1_000,
                reason="purchase",
            )
        ],
    ),
    answers.AgreementList: answers.AgreementList(
        items=[answers.Agreement(system="erp", told=1_200, differing=3)]
    ),
    answers.DeviceList: answers.DeviceList(
        items=[
            answers.Device(
                device="wh-3", edge_id="edge-south", state="lost", since=_AT, last_seen_at=_AT,
                detail="silent",
            )
        ]
    ),
    answers.LedgerState: answers.LedgerState(
        last_position=41, signed_position=40, checkpoint=2, signed_at=_AT, hash=_HASH, key=_HASH
    ),
    answers.Health: answers.Health(status="ok", orders="open"),
    Payment: _PAID,
    Problem: Problem(
        type=f"{TYPE_PREFIX}not_found", title="Not Found", status=404, code="not_found",
        detail="there is no such order", place="order_id", expected="",
        request_id="5f2c9a10b3e4d687",
    ),
}  # fmt: skip
