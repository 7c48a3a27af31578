"""What the routes need of the process that they run in."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from litestar import Request
from litestar.di import NamedDependency

from central.api.changes import Changes
from central.api.readers import Readers
from central.api.till import Till
from central.api.tokens import Token
from central.systems import Systems
from central.tracing import Inquiry
from shared.clock import Clock
from shared.parts import Contact


class Contacts(Protocol):
    """Asks central for a contact."""

    async def __call__(self, by: str, order_id: str) -> Contact:
        """The contact of an order; that `by` has read it is recorded.

        Raises:
            PointsmanError: there is none, or central does not answer.
        """
        ...


@dataclass(frozen=True)
class Service:
    """The parts of the process.

    Attributes:
        readers: of the database.
        changes: of the ledger.
        contacts: central's vault.
        till: the site that takes orders; None: orders cannot be put in.
        clock: for what is late.
        answer_s: how long to wait for the answer to an order.
        systems: whom central drives, and what their words for states mean.
    """

    readers: Readers
    changes: Changes
    contacts: Contacts
    till: Till | None
    clock: Clock
    answer_s: float
    systems: Systems

    @cached_property
    def inquiry(self) -> Inquiry:
        """For questions about single orders."""
        return Inquiry(self.systems)


Here = NamedDependency[Service]
"""For the routes: the service of the process that they run in."""


def token_of(request: Request[Any, Any, Any]) -> Token:
    """Whose token the door has seen; for routes that need one."""
    token = request.scope["user"]
    assert isinstance(token, Token), "the door lets nobody in without one"
    return token
