"""What a decision was made by: taken when it is made, so that it can be made again bit for bit.

The documents that it rests on (network, sourcing, prices) are many decisions' and are named by
their digests; everything else that the router reads of them is in the record. Positions are
those of the network's lists, and of the SKUs asked for in the order of their first lines.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from edge.capacity import Slots
from edge.failures import Failure, Failures
from edge.incoming import Incoming
from edge.network import Snapshot
from edge.prices import Rates
from edge.routing.calendar import full, unlimited
from edge.routing.known import Known
from edge.routing.question import Question, Routed, Want
from edge.routing.router import route
from edge.sourcing import Rules
from edge.stock import Stock
from shared.clock import to_datetime
from shared.frames import decode_bulk
from shared.lots import Lot
from shared.network import Network
from shared.parts import Channel, Customer, Destination, Fulfilment, slot_sku
from shared.prices import Prices
from shared.sourcing import Sourcing

_NO_ROOM: Final = -1


Documents = tuple[bytes, bytes, bytes]
Digests = tuple[bytes, bytes, bytes]


def digests_of(documents: Documents) -> Digests:
    """The names of network, sourcing, prices; empty where there is none."""
    network, sourcing, prices = (hashlib.sha256(x).digest() if x else b"" for x in documents)
    return network, sourcing, prices


class Basis:
    """The documents that decisions rest on, laid out once for all of them.

    Args:
        documents: network, sourcing, prices, as `encode_bulk` wrote them; empty where there was
            none.

    Attributes:
        digests: of these very bytes. A later version may write the same document otherwise.
    """

    def __init__(self, documents: Documents) -> None:
        """See the class."""
        network, sourcing, prices = documents
        self.digests = digests_of(documents)
        self.snapshot = Snapshot(decode_bulk(network, Network))
        self.rules = Rules(decode_bulk(sourcing, Sourcing)) if sourcing else None
        self.rates = Rates(self.snapshot, decode_bulk(prices, Prices) if prices else None)
        self.snapshot.digest = self.digests[0]
        if self.rules is not None:
            self.rules.digest = self.digests[1]
        self.rates.digest = self.digests[2]


class Inputs(Struct, frozen=True, array_like=True):
    """All that one decision was made by.

    Attributes:
        at_ms: when, milliseconds since 1970 UTC.
        documents: digests of network, sourcing, prices; empty where there was none.
        edge_id: whose shares they are; None: everybody's.
        wants: line, SKU, units, ship-together group.
        fulfilment, store_id, customer, destination, packages_used, failed, channel, offer: of
            the question.
        held: bits of bool[S, N], whether there were units of each SKU asked for, by node.
        units: how many, where there were any; row by row.
        slot_times: start and end of pick slots, milliseconds since 1970 UTC.
        slots: of each node with slots its position, the first of these times in which it had
            room (-1: none), and for how many packages.
        failures: node, SKU, score, time and good picks of what picks had taught.
        lots: node, SKU, units, time and chance per mille of stock on its way that no other
            order waits for.
        others: SKUs of the order that were not looked for.
    """

    at_ms: int
    documents: Digests
    edge_id: str | None
    wants: list[tuple[int, str, int, str | None]]
    fulfilment: Fulfilment
    store_id: str
    customer: Customer
    destination: Destination | None
    packages_used: int
    failed: list[str]
    channel: Channel
    offer: bool
    held: bytes
    units: list[int]
    slot_times: list[tuple[int, int]]
    slots: list[tuple[int, int, int]]
    failures: list[tuple[int, ...]]
    lots: list[tuple[int, int, int, int, int]]
    others: list[str] = []

    @classmethod
    def taken(cls, known: Known, question: Question, now_ms: int, *, offer: bool = False) -> Inputs:
        """What `route` reads of all that is known, for one question.

        Args:
            known: what is known.
            question: whole lines, of SKUs that the network has.
            now_ms: the time of the decision.
            offer: as `route` is told.
        """
        snapshot = known.snapshot
        node_ix = snapshot.node_ix
        skus = list(dict.fromkeys(want.sku for want in question.wants))
        share = known.stock.share[[snapshot.sku_ix[sku] for sku in skus]]
        held = share != 0
        slot_times, slots = _slots(known, question, now_ms)
        return cls(
            at_ms=now_ms,
            documents=(
                snapshot.digest,
                b"" if known.rules is None else known.rules.digest,
                known.rates.digest,
            ),
            edge_id=known.stock.edge_id,
            wants=[(want.line, want.sku, want.quantity, want.group) for want in question.wants],
            fulfilment=question.fulfilment,
            store_id=question.store_id,
            customer=question.customer,
            destination=question.destination,
            packages_used=question.packages_used,
            failed=sorted(question.failed),
            channel=question.channel,
            offer=offer,
            held=np.packbits(held).tobytes(),
            units=share[held].tolist(),
            slot_times=slot_times,
            slots=slots,
            failures=[
                (node_ix[x.node_id], at, x.score, x.at_ms, x.good)
                for at, sku in enumerate(skus)
                for x in known.failures.of(sku)
                if x.node_id in node_ix
            ],
            lots=[
                (node_ix[x.node_id], at, x.units, x.expected_ms, x.release_per_mille)
                for at, sku in enumerate(skus)
                for x in known.lots(question, sku, now_ms)
                if x.node_id in node_ix
            ],
            others=sorted(set(question.others).difference(skus)),
        )

    def question(self) -> Question:
        """What was asked."""
        return Question(
            wants=[Want(*want) for want in self.wants],
            fulfilment=self.fulfilment,
            store_id=self.store_id,
            customer=self.customer,
            destination=self.destination,
            packages_used=self.packages_used,
            failed=frozenset(self.failed),
            channel=self.channel,
            others=self.others,
        )


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that goes into the log: what it was made by, and the documents themselves.

    Attributes:
        position: of the log entry that says what was decided.
    """

    position: int
    inputs: Inputs
    documents: Documents

    @classmethod
    def of(cls, known: Known, question: Question, now_ms: int, position: int) -> Decided:
        """Take everything from what is known."""
        return cls(
            position=position,
            inputs=Inputs.taken(known, question, now_ms),
            documents=(
                known.snapshot.packed,
                b"" if known.rules is None else known.rules.packed,
                known.rates.packed,
            ),
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Inputs)


def encode_inputs(inputs: Inputs) -> bytes:
    """MessagePack; equal inputs give equal bytes."""
    return _encoder.encode(inputs)


def decode_inputs(payload: bytes) -> Inputs:
    """Read what `encode_inputs` wrote."""
    return _decoder.decode(payload)


def known_from(inputs: Inputs, basis: Basis) -> Known:
    """What was known, as far as the decision read it.

    Args:
        inputs: of the decision.
        basis: the documents that it names.
    """
    assert inputs.documents == basis.digests, "these are other documents"
    snapshot = basis.snapshot
    names = [node.node_id for node in snapshot.network.nodes]
    skus = list(dict.fromkeys(sku for _, sku, _, _ in inputs.wants))
    bits = np.frombuffer(inputs.held, np.uint8)
    held = np.unpackbits(bits, count=len(skus) * len(names)).reshape(len(skus), len(names))
    cells = [
        (names[node], skus[at], units)
        for (at, node), units in zip(np.argwhere(held).tolist(), inputs.units, strict=True)
    ]
    announced, room = [], []
    for node, at, packages in inputs.slots:
        starts_ms, ends_ms = (0, 0) if at == _NO_ROOM else inputs.slot_times[at]
        announced.append((names[node], starts_ms, ends_ms))
        room.append((names[node], slot_sku(to_datetime(starts_ms)), packages))
    lots = [
        Lot(names[node], str(number), skus[at], units, expected_ms, release_per_mille)
        for number, (node, at, units, expected_ms, release_per_mille) in enumerate(inputs.lots)
    ]
    return Known(
        snapshot,
        Stock(snapshot, cells, inputs.edge_id),
        Slots(announced, room),
        Failures(Failure(names[node], skus[at], *rest) for node, at, *rest in inputs.failures),
        Incoming(lots),
        basis.rules,
        basis.rates,
    )


def replay(inputs: Inputs, basis: Basis) -> Routed:
    """Decide again."""
    known = known_from(inputs, basis)
    return route(known, inputs.question(), inputs.at_ms, offer=inputs.offer)


def _slots(
    known: Known, question: Question, now_ms: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """Of each node in reach that has slots, the first with room once a package could be ready."""
    base = known.base(question, known.profile(question, now_ms), now_ms)
    first = known.first_slots(question, base, known.ready_ms(base, now_ms))
    if first is None:
        return [], []
    board, slots = first
    times: dict[tuple[int, int], int] = {}
    found = []
    for node, at in zip(base.nodes.tolist(), slots.tolist(), strict=True):
        if at == full:
            found.append((node, _NO_ROOM, 0))
        elif at != unlimited:
            slot = board.slots[at]
            time = times.setdefault((slot.starts_ms, slot.ends_ms), len(times))
            found.append((node, time, int(board.left[at])))
    return list(times), found
