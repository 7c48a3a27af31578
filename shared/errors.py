"""Errors that teach: what is wrong, where, what was expected.

Every refusal that reaches a device, an operator or a log is a `PointsmanError`. Its
`code` is stable and may be programmed against; the text is for people.
"""

from typing import ClassVar


class PointsmanError(Exception):
    """A refusal with a stable code.

    Args:
        detail: what is wrong, one sentence for a person.
        place: JSON path of the fault in the document (``$.data.lines[3].sku``), or where else.
        expected: what would have been right, and what to do.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, place: str = "$", expected: str = "") -> None:
        """See the class."""
        super().__init__(detail)
        self.detail = detail
        self.place = place
        self.expected = expected

    def __str__(self) -> str:
        """The whole lesson in one line."""
        tail = f" (expected: {self.expected})" if self.expected else ""
        return f"{self.code} at {self.place}: {self.detail}{tail}"


class PayloadTooLargeError(PointsmanError):
    """The message exceeds `limits.PAYLOAD_BYTES_MAX`."""

    code = "payload_too_large"


class NotJsonError(PointsmanError):
    """The payload is not JSON, or is nested too deeply to be read."""

    code = "not_json"


class ContentTypeError(PointsmanError):
    """The MQTT 5 content type says that this is not a structured CloudEvent in JSON."""

    code = "wrong_content_type"


class InvalidEnvelopeError(PointsmanError):
    """A CloudEvents attribute is missing or malformed."""

    code = "invalid_envelope"


class UnknownTypeError(PointsmanError):
    """The event type is not one that this receiver takes."""

    code = "unknown_type"


class TopicMismatchError(PointsmanError):
    """The topic's device or type contradicts the event."""

    code = "topic_mismatch"


class InvalidDataError(PointsmanError):
    """The event's data breaks its schema."""

    code = "invalid_data"


class UnknownSkuError(PointsmanError):
    """A line names a SKU that the network snapshot does not hold."""

    code = "unknown_sku"


class UnknownNodeError(PointsmanError):
    """A node is not in the network snapshot, or belongs to another edge."""

    code = "unknown_node"


class UnknownOrderError(PointsmanError):
    """No order of this edge has that id."""

    code = "unknown_order"


class UnknownTaskError(PointsmanError):
    """No pick task of this edge has that id."""

    code = "unknown_task"


class WrongStateError(PointsmanError):
    """The report does not fit the state of its task (shipped before packed, say)."""

    code = "wrong_state"


class IdReusedError(PointsmanError):
    """The event id was used before with other content."""

    code = "id_reused"


class NoNetworkError(PointsmanError):
    """The edge has not received a network snapshot yet, so it cannot decide anything."""

    code = "no_network"


class OverloadedError(PointsmanError):
    """The edge has more waiting than it takes. Send the same event again later."""

    code = "overloaded"


class StorageError(PointsmanError):
    """The edge could not make the decision durable, so it did not make it."""

    code = "storage_failed"


class InternalError(PointsmanError):
    """A fault of ours. The input is quarantined with it."""

    code = "internal"


class GapError(PointsmanError):
    """A numbered stream skipped; the receiver goes back to what it has."""

    code = "sequence_gap"


class OutboxFullError(PointsmanError):
    """Central has not taken the edge's log for so long that no more of it may pile up."""

    code = "outbox_full"


class AnswerPrunedError(PointsmanError):
    """The event was handled long ago; its answer is in central's ledger, and no longer here."""

    code = "answer_pruned"


class DecisionPrunedError(PointsmanError):
    """What an order was decided by is no longer kept."""

    code = "decision_pruned"


class StaleStoreError(PointsmanError):
    """The edge's store is older than what central has of it, or a copy: it must not sell."""

    code = "stale_store"


class ConfigError(PointsmanError):
    """A configuration file is missing or wrong."""

    code = "config"


def split_error(error: Exception, root: str = "$") -> tuple[str, str]:
    """What msgspec says, apart from where: ("Expected `int`, got `str`", "$.lines[0].sku")."""
    text, _, path = str(error).partition(" - at `")
    place = path.rstrip("`") or "$"
    if place.startswith("key "):  # "key in `$.map": the fault is in a key
        place = place.partition("`")[2] or "$"
    return text, root + place.removeprefix("$")
