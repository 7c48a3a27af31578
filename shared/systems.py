"""Events between central and the systems that it drives: ERP, SMS gateway, WMS.

A command is an event of central's (`SYSTEM_DOWN`). A system answers it by an event of its own
(`SYSTEM_UP`) whose `causationid` is the command's id.
"""

from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta

from shared.limits import LOCK_LINES_MAX, WORD_CHARS_MAX
from shared.parts import Data, Moment, Money, Name, Part, Quantity, Reference, Text

Step = Literal["lock", "confirmation", "pick_acceptance"]
"""What central waits for: the ERP's lock, the gateway's confirmation, the warehouse's word."""

EventId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[!-~]+$")]

_SIGN: Final = r"[^\x00-,./:-@\[-^`{-\xbf\u2000-\u206f\u2190-\u2bff\u3000-\u303f\ufe00-\uff20]"

Word = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=WORD_CHARS_MAX,
        # A code, no sentence, without a number that `masked` would mask: letters of any script,
        # digits, _ and -, single spaces. Said by what is left out, as JSON Schema has no \\w but
        # ASCII's.
        pattern=rf"^(?!.*\d(?:[ _-]{{0,3}}\d){{6}}){_SIGN}+(?: {_SIGN}+)*$(?!\n)",
    ),
]


class AboutOrder(Data, frozen=True, kw_only=True):
    """What is said of one order."""

    order_id: Reference


class Command(AboutOrder, frozen=True, kw_only=True):
    """Central wants a system to do something, and waits for its answer."""

    step: ClassVar[Step]

    system: Annotated[Name, Meta(description="Who is to do it.")]


class LockLine(Part, frozen=True):
    """Units of one SKU that an order holds, at a node if that is known."""

    sku: Name
    quantity: Quantity
    node_id: Annotated[Name, Meta(description="Absent: not decided yet.")] | None = None


class InventoryLockRequested(Command, frozen=True, kw_only=True):
    """All units that an order holds now. It replaces every earlier revision for this order."""

    kind: ClassVar[str] = "inventory.lock.requested"
    step: ClassVar[Step] = "lock"

    revision: Annotated[
        int, Meta(ge=1, le=10**9, description="Counts up per order; an older one is out of date.")
    ]
    lines: Annotated[
        list[LockLine],
        Meta(
            max_length=LOCK_LINES_MAX,
            description="Units that have shipped stay in it; empty: nothing is held any more.",
        ),
    ]


class PaymentConfirmationRequested(Command, frozen=True, kw_only=True):
    """The customer is to be told that the payment was taken. The contact travels apart."""

    kind: ClassVar[str] = "payment.confirmation.requested"
    step: ClassVar[Step] = "confirmation"

    amount: Money
    promised_at: Annotated[Moment, Meta(description="Absent: no line is planned yet.")] | None = (
        None
    )


class ReportRecorded(AboutOrder, frozen=True, kw_only=True):
    """What a system has said is in the ledger; said again for an event that is repeated."""

    kind: ClassVar[str] = "report.recorded"

    event_id: Annotated[EventId, Meta(description="Of the system's event.")]


class InventoryLocked(AboutOrder, frozen=True, kw_only=True):
    """The ERP has locked exactly what the command names."""

    kind: ClassVar[str] = "inventory.locked"


class InventoryLockRefused(AboutOrder, frozen=True, kw_only=True):
    """The ERP will not lock what the command names."""

    kind: ClassVar[str] = "inventory.lock_refused"

    reason: Text


class MessageSent(AboutOrder, frozen=True, kw_only=True):
    """The gateway has handed the message to the carrier."""

    kind: ClassVar[str] = "message.sent"


class MessageFailed(AboutOrder, frozen=True, kw_only=True):
    """The gateway could not send the message."""

    kind: ClassVar[str] = "message.failed"

    reason: Text
    retryable: Annotated[
        bool, Meta(description="The gateway tries again, and another answer is to come.")
    ] = False


class StatusReported(AboutOrder, frozen=True, kw_only=True):
    """What a system believes an order's state to be, in its own word. Answers no command."""

    kind: ClassVar[str] = "status.reported"

    state: Annotated[Word, Meta(description="The system's own word.")]
    at: Annotated[Moment, Meta(description="Since when.")]


class AnswerMissed(AboutOrder, frozen=True, kw_only=True):
    """An expected answer stays out beyond its time limit. Found by central, once per command."""

    kind: ClassVar[str] = "answer.missed"

    system: Annotated[Name, Meta(description="Who has not answered; for a pick task its node.")]
    step: Step
    command_id: EventId
    since: Annotated[Moment, Meta(description="When the command was given.")]
    task_id: Annotated[Reference, Meta(description="Of a pick task.")] | None = None
    edge_id: (
        Annotated[Name, Meta(description="Of a pick task: its node's edge, which was last seen.")]
        | None
    ) = None
    last_seen: Annotated[Moment, Meta(description="Its last sign of life, if any.")] | None = None


SYSTEM_DOWN: Final[tuple[type[AboutOrder], ...]] = (
    InventoryLockRequested, PaymentConfirmationRequested, ReportRecorded,
)  # fmt: skip
"""What central publishes to systems, besides `input.rejected`."""

SYSTEM_UP: Final[tuple[type[AboutOrder], ...]] = (
    InventoryLocked, InventoryLockRefused, MessageSent, MessageFailed, StatusReported,
)  # fmt: skip
"""What systems publish."""

SYSTEMS: Final[tuple[type[AboutOrder], ...]] = (*SYSTEM_DOWN, *SYSTEM_UP, AnswerMissed)
"""What stands in central's own stream, or is said about it."""

ANSWERS: Final[dict[Step, tuple[type[AboutOrder], ...]]] = {
    "lock": (InventoryLocked, InventoryLockRefused),
    "confirmation": (MessageSent, MessageFailed),
}
"""What may answer the command of a step. A pick task's answer is any report of it."""
