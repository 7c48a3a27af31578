"""Good events between central and its systems, and their topics, for the generated documents."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from shared import topics
from shared.envelope import Event, make_event
from shared.events import InputRejected
from shared.parts import Data, Money
from shared.systems import (
    SYSTEM_DOWN,
    SYSTEM_UP,
    AboutOrder,
    AnswerMissed,
    InventoryLocked,
    InventoryLockRefused,
    InventoryLockRequested,
    LockLine,
    MessageFailed,
    MessageSent,
    PaymentConfirmationRequested,
    ReportRecorded,
    StatusReported,
)

_COMMAND: Final = "hub-1-42"
_DAY: Final = timedelta(days=1)

SYSTEM_EXAMPLES: Final[dict[type[Data], Callable[[str, datetime], AboutOrder]]] = {
    InventoryLockRequested: lambda order_id, _: InventoryLockRequested(
        order_id=order_id,
        system="erp",
        revision=1,
        lines=[
            LockLine(sku="22423", quantity=2, node_id="dc-guangzhou"),
            LockLine(sku="85123A", quantity=1),
        ],
    ),
    PaymentConfirmationRequested: lambda order_id, at: PaymentConfirmationRequested(
        order_id=order_id,
        system="sms",
        amount=Money(minor=2_845, currency="CNY"),
        promised_at=at + _DAY,
    ),
    ReportRecorded: lambda order_id, _: ReportRecorded(order_id=order_id, event_id="erp-000123"),
    InventoryLocked: lambda order_id, _: InventoryLocked(order_id=order_id),
    InventoryLockRefused: lambda order_id, _: InventoryLockRefused(
        order_id=order_id, reason="SKU 22423 is blocked"
    ),
    MessageSent: lambda order_id, _: MessageSent(order_id=order_id),
    MessageFailed: lambda order_id, _: MessageFailed(
        order_id=order_id, reason="the number is not in use"
    ),
    StatusReported: lambda order_id, at: StatusReported(
        order_id=order_id, state="TO_BE_PACKED", at=at
    ),
    AnswerMissed: lambda order_id, at: AnswerMissed(
        order_id=order_id,
        system="erp",
        step="lock",
        command_id=_COMMAND,
        since=at - timedelta(minutes=15),
        last_seen=at - timedelta(minutes=17),
    ),
}


CONTACT_MESSAGE: Final = {
    "name": "system.contact",
    "title": "Who is to be told (ContactFor); role sms.",
    "contentType": "application/json",
}


def system_example(kind: type[Data], order_id: str, at: datetime) -> Event:
    """One good event of a kind, as it travels."""
    data = SYSTEM_EXAMPLES[kind](order_id, at)
    if kind in SYSTEM_UP:
        system = "sms" if data.kind.startswith("message.") else "erp"
        return make_event(
            data,
            id=f"{system}-000123",
            source=topics.device_source(system),
            time=at,
            causationid=None if kind is StatusReported else _COMMAND,
        )
    if kind is ReportRecorded:
        return make_event(
            data,
            id="erp-000123.report.recorded",
            source=topics.HUB_SOURCE,
            time=at,
            causationid="erp-000123",
        )
    return make_event(
        data,
        id=_COMMAND if kind is not AnswerMissed else "hub-1-43",
        source=topics.HUB_SOURCE,
        time=at,
        subject=order_id,
        sequence=42 if kind is not AnswerMissed else 43,
        epoch=1,
        hlc="0194594bd2800000",
        causationid=_COMMAND if kind is AnswerMissed else "edge-south-1-42",
        correlationid=order_id,
    )


def system_channels() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Key, channel and operation of each topic between central and a system, for AsyncAPI."""
    rejected: tuple[type[Data], ...] = (*SYSTEM_DOWN, InputRejected)
    ways: tuple[tuple[str, tuple[type[Data], ...]], ...] = (("up", SYSTEM_UP), ("down", rejected))
    found = [(f"{way}/{x.kind}", x.kind) for way, kinds in ways for x in kinds]
    found.append((f"down/{topics.CONTACT}", CONTACT_MESSAGE["name"]))
    for path, name in found:
        key = f"system.{path.replace('/', '.')}"
        taken = path.startswith("up/")
        yield (
            key,
            {
                "address": f"{topics.ROOT}/{{system}}/{path}",
                "servers": [{"$ref": "#/servers/central"}],
                "parameters": {"system": {"description": "Its user at central's broker."}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            },
            {
                "action": "receive" if taken else "send",
                "channel": {"$ref": f"#/channels/{key}"},
                "summary": f"Central {'takes' if taken else 'publishes'} it.",
            },
        )
