"""One burst: what was decided together and becomes durable together."""

from dataclasses import dataclass, field

from edge.intake import Message
from edge.records import Decision, Send
from shared.errors import PointsmanError, StorageError


@dataclass(slots=True)
class Burst:
    """Messages and decisions of one transaction, and what is to be said after it.

    Attributes:
        messages: everything to be acknowledged once the burst is settled.
        decisions: what was decided, in order.
        refused: messages with the reason why they were refused.
        greet: central should hear how far the feed is applied.
        asked: a payment waits for units that central may have.
    """

    messages: list[Message] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    refused: list[tuple[Message, PointsmanError]] = field(default_factory=list)
    greet: bool = False
    asked: bool = False

    def fail(self, error: StorageError) -> None:
        """Nothing of it became durable, so nothing of it was decided: all is refused."""
        known = {id(message) for message, _ in self.refused}
        self.refused += [(x, error) for x in self.messages if id(x) not in known]
        self.decisions.clear()


@dataclass(slots=True)
class Outcome:
    """What a burst has led to, once it is durable.

    Attributes:
        sends: to be published to devices.
        done: messages to be acknowledged, after that.
        news: there is something for central.
        network: a network was applied.
        rejoined: an epoch has begun; what is remembered outside the store must say so first.
    """

    sends: list[Send] = field(default_factory=list)
    done: list[Message] = field(default_factory=list)
    news: bool = False
    network: bool = False
    rejoined: bool = False
