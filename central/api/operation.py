"""What a route says of itself: who may call it, what it takes and answers.

The door (`central.api.access`) and the OpenAPI document (`central.api.contract`) read it.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from central.api.asked import Asked, Nothing

Role = Literal["reader", "support", "operator", "admin"]
Right = Literal["read", "contact", "order"]

ROLES: Final[dict[Role, frozenset[Right]]] = {
    "reader": frozenset({"read"}),
    "support": frozenset({"read", "contact"}),
    "operator": frozenset({"read", "order"}),
    "admin": frozenset({"read", "contact", "order"}),
}
"""What each role may do. Who may see contacts may also see customers and places in events."""

_KEY: Final = "operation"


@dataclass(frozen=True)
class Operation:
    """One route.

    Attributes:
        name: for programs that generate clients from the document.
        tag: the group it belongs to.
        right: what a token needs; None: everybody may.
        answers: status to the type of the answer; None: without body.
        asked: its parameters.
        problems: statuses of refusals besides those that all have.
        single: it has an ETag.
        body: the type of its body, if it takes one.
        headers: request headers, name to (required, JSON Schema).
        media_type: of the answer.
    """

    name: str
    tag: str
    right: Right | None
    answers: dict[int, Any]
    asked: type[Asked] = Nothing
    problems: tuple[int, ...] = ()
    single: bool = False
    body: Any = None
    headers: dict[str, tuple[bool, dict[str, Any]]] = field(default_factory=dict)
    media_type: str = "application/json"

    @property
    def opt(self) -> dict[str, Any]:
        """For the route's decorator."""
        return {_KEY: self}


def operation_of(opt: dict[str, Any]) -> Operation | None:
    """The operation of a route; None: it is the framework's own."""
    return opt.get(_KEY)
