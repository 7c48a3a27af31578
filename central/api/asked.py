"""What may be asked for: the parameters of each route, in path and query, typed and bounded.

A parameter that is not given is UNSET: the document then has no null for it.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from msgspec import UNSET, Meta, Struct, UnsetType

from central.api.problems import ProblemError
from central.desk import OrderState
from central.devices import State
from shared.errors import split_error
from shared.limits import ID_CHARS_MAX, SEQUENCE_MAX
from shared.parts import Name
from shared.tasks import TaskState

LIMIT_MAX: Final = 200
LIMIT: Final = 50
PARAMETERS_MAX: Final = 32
_NUMBERS: Final = frozenset({"limit", "after"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)

OrderId = Annotated[
    str,
    Meta(
        min_length=1, max_length=ID_CHARS_MAX, pattern="^[!-~]+$", description="The order.",
        examples=["0194594b-d280-7000-8000-000000000000"],
    ),
]  # fmt: skip
CursorText = Annotated[
    str,
    Meta(
        min_length=1, max_length=512, pattern="^[A-Za-z0-9_-]+$",
        description="`next` of the page before.",
    ),
]  # fmt: skip
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="At most so many items.")]
Moment = Annotated[datetime, Meta(tz=True, examples=["2026-01-05T09:00:00Z"])]
Flag = Literal["true", "false"]
Code = Annotated[
    str, Meta(min_length=1, max_length=64, pattern="^[a-z_]+$", examples=["late_sale"])
]
Type = Annotated[
    str,
    Meta(
        min_length=1, max_length=256, pattern="^[!-~]+$", description="Only events of this type.",
        examples=["pointsman.order.accepted.v1"],
    ),
]  # fmt: skip
EventId = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]


class Asked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of a route. Those that its path names stand there, the others in the query."""


class Nothing(Asked, frozen=True):
    """No parameters."""


class Page(Asked, frozen=True):
    """Which part of a list."""

    limit: Limit = LIMIT
    cursor: CursorText | UnsetType = UNSET


class Orders(Page, frozen=True):
    """Which orders."""

    state: OrderState | UnsetType = UNSET
    store_id: Annotated[Name, Meta(description="Where it was sold.")] | UnsetType = UNSET
    edge_id: Annotated[Name, Meta(description="The edge that keeps it.")] | UnsetType = UNSET
    promised_before: Annotated[Moment, Meta(description="Promised before then.")] | UnsetType = (
        UNSET
    )
    promised_after: Annotated[Moment, Meta(description="Promised then or later.")] | UnsetType = (
        UNSET
    )
    changed_since: Annotated[Moment, Meta(description="Changed then or later.")] | UnsetType = UNSET
    has_exceptions: Annotated[Flag, Meta(description="With some, or without any.")] | UnsetType = (
        UNSET
    )


class OneOrder(Asked, frozen=True):
    """Which order."""

    order_id: OrderId


class Entries(Page, frozen=True, kw_only=True):
    """Which entries of an order."""

    order_id: OrderId


class Exceptions(Page, frozen=True):
    """Which exceptions."""

    code: Code | UnsetType = UNSET
    order_id: OrderId | UnsetType = UNSET
    edge_id: Name | UnsetType = UNSET
    noted_since: Annotated[Moment, Meta(description="Noted then or later.")] | UnsetType = UNSET


class Tasks(Page, frozen=True):
    """Which tasks."""

    state: TaskState | UnsetType = UNSET
    node_id: Name | UnsetType = UNSET
    order_id: OrderId | UnsetType = UNSET
    late: Annotated[Flag, Meta(description="Promised by now, and still there.")] | UnsetType = UNSET


class Stocks(Page, frozen=True):
    """Which cells."""

    node_id: Name | UnsetType = UNSET
    sku: Name | UnsetType = UNSET


class OneCell(Asked, frozen=True):
    """Which cell."""

    node_id: Name
    sku: Name


class Systems(Asked, frozen=True):
    """Whose beliefs."""

    system: Annotated[Name, Meta(description="Only this one's.")] | UnsetType = UNSET


class Differences(Page, frozen=True):
    """Whose beliefs that differ."""

    system: Annotated[Name, Meta(description="Only this one's.")] | UnsetType = UNSET


class Devices(Page, frozen=True):
    """Which devices."""

    edge_id: Name | UnsetType = UNSET
    node_id: (
        Annotated[Name, Meta(description="Those that are there, and the node's own.")] | UnsetType
    ) = UNSET
    status: (
        Annotated[State, Meta(description="fault: those that have one, be they there or not.")]
        | UnsetType
    ) = UNSET


class Changes(Asked, frozen=True):
    """Which entries of the ledger."""

    after: (
        Annotated[
            EventId,
            Meta(description="Begin after this position; 0: at the start. Without it: from now."),
        ]
        | UnsetType
    ) = UNSET
    type: Type | UnsetType = UNSET
    order_id: OrderId | UnsetType = UNSET


A = TypeVar("A", bound=Asked)
T = TypeVar("T")


def asked_of(request: Request[Any, Any, Any], kind: type[A]) -> A:
    """The parameters of a request.

    Raises:
        ProblemError: 400; one is missing, unknown, given twice, or not what it may be.
    """
    values: dict[str, Any] = dict(request.path_params)
    try:
        given = parse_qsl(
            request.scope["query_string"].decode("ascii"), keep_blank_values=True,
            errors="strict", max_num_fields=PARAMETERS_MAX,
        )  # fmt: skip
    except ValueError as error:
        raise _wrong(str(error), "query", "parameters in UTF-8, percent-encoded") from None
    for name, value in given:
        if name in values:
            raise _wrong("it is given more than once", name[:64], "each parameter once")
        # Here, not by msgspec's lax mode: that takes "0.5" for a time, too.
        number = name in _NUMBERS and _NUMBER.fullmatch(value)
        values[name] = int(value) if number else value
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        detail, place = split_error(error)
        names = ", ".join(kind.__struct_fields__) or "no parameters"
        raise _wrong(detail, place.removeprefix("$.").lstrip("$") or "query", names) from None


def given(value: T | UnsetType) -> T | None:
    """A parameter, or None if it was not given."""
    return None if isinstance(value, UnsetType) else value


def flag(value: Flag | UnsetType) -> bool | None:
    """A flag, or None if it was not given."""
    return None if isinstance(value, UnsetType) else value == "true"


def _wrong(detail: str, place: str, expected: str) -> ProblemError:
    return ProblemError(400, "invalid_parameter", detail, place=place, expected=expected)
