"""One good example of each answer, for the OpenAPI document."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Raw, Struct

from central.api import answers
from central.api.problems import TYPE_PREFIX, Problem
from central.evidence import Fact, Reason
from central.lines import LineMove, LineUnits
from central.story import Cause, Change, Step, TaskStory
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
_GIVEN: Final = (
    f"pick task {_ORDER_ID}.0f0f0f0f.1.1.0 was given to wh-3, and not accepted since "
    "2025-01-13 01:00:01 UTC"
)

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
        order_id=_ORDER_ID, state="planned", lifecycle=1, edge_id="edge-south",
        store_id="store-guangzhou-1", sold_by="till-17", opened_at=_AT, promised_at=_LATER,
        lines=[LineUnits(0, "22423", 2, {"picking": 2})],
        tasks=[
            TaskStory(
                task_id=_TASK.task_id, node_id="dc-guangzhou", given_at=_AT, given_step=2,
                since=_AT, ready_at=_LATER, arrives_at=_LATER,
            )
        ],
        waiting=[], waiting_step=None, complete=True, archived=[],
        steps=[
            Step(
                number=1, kind="order.accepted", what="edge-south has taken the order.",
                by="edge-south", edge_id="edge-south", epoch=1, sequence=42, position=41,
                time=_AT, hlc=_EVENT.hlc, event_id=_EVENT.id, received_at=_AT,
                cause=Cause("till-17-000123"), order=Change("accepted", "planned"),
                lines=[LineMove(0, "22423", 2, None, "planned")],
            )
        ],
    ),
    answers.Why: answers.Why(
        order_id=_ORDER_ID, state="planned", stuck=True, what=_GIVEN, since=_AT, by="wh-3",
        reasons=[
            Reason(
                code="pick_not_accepted", what=_GIVEN, since=_AT, by="wh-3", blocks=True,
                facts=[
                    Fact(_AT, "wh-3 reported a fault of printer: paper_out, "
                         "2025-01-13 01:00:01 UTC"),
                    Fact(_AT, "device wh-3 last seen 2025-01-13 01:00:01 UTC, "
                         "lost since 2025-01-13 01:00:01 UTC"),
                ],
            )
        ],
        next=None, next_by=None, archived=[],
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
        items=[answers.Agreement(system="erp", told=1_200, differing=3, unknown_words=0)]
    ),
    answers.DifferencePage: answers.DifferencePage(
        items=[
            answers.Difference(
                system="erp", order_id=_ORDER_ID, word="NEW", state="shipped", since=_AT
            )
        ],
        next=_NEXT,
    ),
    answers.DevicePage: answers.DevicePage(
        items=[
            answers.Device(
                edge_id="edge-south", device="wh-3", node_id="wh-3", status="lost", since=_AT,
                last_seen_at=_AT, detail="silent",
                faults=[
                    answers.DeviceFault(
                        part="printer", code="paper_out", since=_AT, detail="tray 1"
                    )
                ],
            )
        ],
        next=None,
    ),
    answers.LedgerState: answers.LedgerState(
        last_position=41, signed_position=40, checkpoint=2, signed_at=_AT, hash=_HASH, key=_HASH,
        archives=[
            answers.Archive(
                number=1, file="ledger-000000000000001-000000000000020.jsonl.gz", first=1, last=20,
                entries=20, sha256=_HASH,
                moved_at=_AT,
            )
        ],
    ),
    answers.Health: answers.Health(status="ok", orders="open"),
    Payment: _PAID,
    Problem: Problem(
        type=f"{TYPE_PREFIX}not_found", title="Not Found", status=404, code="not_found",
        detail="there is no such order", place="order_id", expected="",
        request_id="5f2c9a10b3e4d687",
    ),
}  # fmt: skip
