"""Identifiers that need no registry: the same facts give the same id everywhere."""

import hashlib
import uuid
from zlib import crc32


def order_id(source: str, event_id: str, time_ms: int) -> str:
    """The order that a payment event creates, shaped like a UUIDv7 (RFC 9562, section 5.7).

    The same payment that reaches two edges is the same order, since nothing but the event
    enters: 48 bits of its time (so ids sort by time) and 74 bits of SHA-256 over its identity.

    Args:
        source: CloudEvents `source` of the payment.
        event_id: CloudEvents `id` of the payment.
        time_ms: time of the payment, milliseconds since 1970 UTC; must fit 48 bits.
    """
    assert 0 <= time_ms < 1 << 48, time_ms
    digest = int.from_bytes(hashlib.sha256(f"{source}\0{event_id}".encode()).digest()[:10], "big")
    rand_a = digest >> 68
    rand_b = digest & ((1 << 62) - 1)
    value = time_ms << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
    return str(uuid.UUID(int=value))


def task_id(order_id: str, edge_id: str, epoch: int, attempt: int, package: int) -> str:
    """The pick task of package number `package` in an edge's plan number `attempt` for an order.

    Deterministic, so that a task that arrives by two ways is recognised as one. Another one where
    two edges have planned for the same order, and where an edge plans again after it has lost
    its disk: it may not remember what it has asked for.
    """
    return f"{order_id}.{crc32(edge_id.encode()):08x}.{epoch}.{attempt}.{package}"


def edge_event_id(edge_id: str, epoch: int, sequence: int) -> str:
    """Id of an event that an edge makes: unique because the edge's log positions are."""
    return f"{edge_id}-{epoch}-{sequence}"
