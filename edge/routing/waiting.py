"""Options that wait: stock on its way, or in inspection, ships later or not at all.

A node that will have enough of a group once its lots have arrived is an option again, with a
later ship date. Nothing of it can be promised, since no share has it yet: a package by such an
option is parked, and says what it waits for. The profile's `incoming_minor_per_h` lets it
compete with what is on the shelf elsewhere; without that price, only groups wait that nobody
has.

That an inspection lets the units through is an independent chance for each lot; what comes of
it if not is a re-route, like a failed pick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from edge.network import Ints
from edge.routing import fences
from edge.routing.fences import fence_masks

if TYPE_CHECKING:
    from edge.routing.gather import Gathered

MOMENTS_MAX: Final = 4
"""Ship dates of one node that are looked at, the earliest first."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The options of one node once its lots of a moment have arrived.

    Attributes:
        node: position.
        until_ms: when they may ship, milliseconds since 1970 UTC.
        rows: int64[K], the options of the shelf that they are like.
        masks: int64[K, G], fences.
        release_per_mille: of each group, how likely the lots that it needs are let through;
            the likelier lots are taken first.
    """

    node: int
    until_ms: int
    rows: Ints
    masks: Ints
    release_per_mille: list[int]


def waiting_for(gathered: Gathered) -> list[Waiting]:
    """The options that stock on its way opens, by node and time."""
    asked, snapshot = gathered.asked, gathered.snapshot
    if asked.question.fulfilment.kind == "carry_out":
        return []
    coming: dict[int, list[tuple[int, int, int, int]]] = {}
    for entry, sku in enumerate(gathered.skus):
        for lot in asked.known.lots(asked.question, sku, asked.now_ms):
            node = snapshot.node_ix.get(lot.node_id, -1)
            if node in gathered.base.rows and lot.release_per_mille:
                coming.setdefault(node, []).append(
                    (lot.expected_ms, entry, lot.units, lot.release_per_mille)
                )
    if not coming:
        return []
    shipped = (gathered.masks & ~asked.relaxed == 0).any(axis=0)
    found = []
    for node in sorted(coming):
        found += _moments(gathered, node, sorted(coming[node]), shipped)
    return found


def _moments(
    gathered: Gathered, node: int, lots: list[tuple[int, int, int, int]], shipped: Ints
) -> list[Waiting]:
    asked, base = gathered.asked, gathered.base
    rows = np.arange(base.rows[node].start, base.rows[node].stop)
    lacking = (fences.share | fences.walk_in) & ~asked.relaxed
    here = gathered.masks[rows[0]] & lacking == 0
    units = gathered.shares[:, node : node + 1].copy()
    reserve = asked.known.stock.reserve[node : node + 1]
    column = np.zeros(len(rows), np.int64)
    pieces = [group[0].node_id is not None for group in gathered.groups]
    moments = sorted({expected_ms for expected_ms, *_ in lots})[:MOMENTS_MAX]
    found = []
    for until_ms in moments:
        for expected_ms, entry, more, _ in lots:
            if expected_ms == until_ms:
                units[entry, 0] += more
        masks = fence_masks(
            units, reserve, gathered.demand, gathered.starts, gathered.weight_g,
            gathered.classes, column, base.limit_g[rows], base.ability[rows],
            gathered.fenced[rows],
        )  # fmt: skip
        masks[:, here] |= fences.share  # What is there already need not wait.
        masks[:, pieces] |= fences.share
        if asked.profile.incoming_minor_per_h is None:
            masks[:, shipped] |= fences.share
        if (masks & fences.share == 0).any():
            arrived = [lot for lot in lots if lot[0] <= until_ms]
            release = _release(gathered, gathered.shares[:, node].tolist(), arrived)
            found.append(Waiting(node, until_ms, rows, masks, release))
    return found


def _release(
    gathered: Gathered, held: list[int], lots: list[tuple[int, int, int, int]]
) -> list[int]:
    """Of each group, the chance in thousandths that the lots that it needs are let through."""
    chance = [1_000] * len(gathered.groups)
    starts, demand = gathered.starts.tolist(), gathered.demand.tolist()
    surest = sorted(lots, key=lambda lot: -lot[3])
    for group in range(len(gathered.groups)):
        for entry in range(starts[group], starts[group + 1]):
            lacking = demand[entry] - held[entry]
            for _, of, units, release_per_mille in surest:
                if of == entry and lacking > 0:
                    chance[group] = chance[group] * release_per_mille // 1_000
                    lacking -= units
    return chance


def later_ready_ms(gathered: Gathered, waiting: Waiting) -> Ints:
    """int64[K], when the options of a node are ready once its stock has arrived."""
    base = gathered.base
    ready_ms = gathered.asked.known.ready_ms(base, waiting.until_ms)
    return ready_ms[base.site[waiting.rows]]
