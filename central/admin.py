"""What an operator says to a running central, and what it answers."""

from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from shared.errors import PointsmanError
from shared.frames import Frame
from shared.limits import SEQUENCE_MAX, TEXT_CHARS_MAX
from shared.parts import Contact, Name, Reference

ADMIN: Final = "admin"
"""The device name under which an operator speaks to central."""

NETWORK: Final = "network"
SOURCING: Final = "sourcing"
ROLLBACK: Final = "rollback"
PRICES: Final = "prices"
FENCE: Final = "fence"
REPLAY: Final = "replay"
FORGET: Final = "forget"
CONTACT: Final = "contact"

DOCUMENTS: Final = (NETWORK, SOURCING, PRICES)
"""Requests that are a whole document."""

REQUESTS: Final = (*DOCUMENTS, ROLLBACK, FENCE, REPLAY, FORGET, CONTACT)
"""Kinds of requests; each is answered on the topic of the same kind."""


class Message(NamedTuple):
    """A topic and what is on it."""

    topic: str
    payload: bytes


class Rollback(Frame, frozen=True):
    """Put the sourcing document back in force that was so before."""


class Fence(Frame, frozen=True):
    """Take an edge's shares back, and let it begin a new epoch when it is heard again."""

    edge_id: Name


class Replay(Frame, frozen=True):
    """Read poison events again: all, or of one edge, or at one position."""

    edge_id: Name | None = None
    sequence: Annotated[int, Meta(ge=1, le=SEQUENCE_MAX)] | None = None


Person = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS_MAX, pattern=r"^[^\x00]+$")]
"""Who asks, as they call themselves: central's broker has let them in, and knows no more."""


class Forget(Frame, frozen=True):
    """Destroy the contacts of a customer, or of an order."""

    by: Person
    customer: Reference | None = None
    order_id: Reference | None = None

    def __post_init__(self) -> None:
        """One of the two."""
        if (self.customer is None) == (self.order_id is None):
            raise ValueError("one of customer and order_id")


class ShowContact(Frame, frozen=True):
    """Show the contact of an order."""

    by: Person
    order_id: Reference


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer to any request; with a `code` it is a refusal."""

    code: str = ""
    detail: str = ""
    place: str = ""
    expected: str = ""


class Published(Answer, frozen=True):
    """The version of the network, or of the prices, that central has now."""

    version: int | None = None


class InForce(Answer, frozen=True):
    """The version of the sourcing document in force, and the one a rollback would bring back."""

    version: str | None = None
    before: str | None = None


class Fenced(Answer, frozen=True):
    """The epoch that the edge will begin."""

    epoch: int | None = None


class Replayed(Answer, frozen=True):
    """How many poison events have their effect now, and how many have none yet, by code."""

    replayed: int = 0
    remaining: dict[str, int] = {}


class Forgotten(Answer, frozen=True):
    """How many contacts were destroyed.

    `pending`: somebody reads the database, so its log is not emptied yet; copies of the keys may
    stand there. Central tries again.
    """

    contacts: int = 0
    pending: bool = False


class Shown(Answer, frozen=True):
    """The contact of an order."""

    order_id: str = ""
    contact: Contact | None = None


def refusal(error: PointsmanError) -> Answer:
    """The answer that carries an error."""
    return Answer(code=error.code, detail=error.detail, place=error.place, expected=error.expected)


def raise_refusal(answer: Answer) -> None:
    """Raise the error that an answer carries, if any.

    Raises:
        PointsmanError: with central's code, place and expectation.
    """
    if answer.code:
        error = PointsmanError(answer.detail, place=answer.place, expected=answer.expected)
        error.code = answer.code  # type: ignore[misc]  # what central has said, word for word
        raise error
