"""All that a decision is made by, besides the question and the time; and what of it lasts.

Much of what an option costs and forbids is the same for every order of a region and a profile:
it is worked out once (`Base`) and kept.
"""

from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.capacity import Board, Slots
from edge.failures import Failures
from edge.incoming import Incoming
from edge.network import Ints, Options, Snapshot
from edge.prices import Rates
from edge.routing import fences
from edge.routing.calendar import first_slots, ready_at, unlimited
from edge.routing.question import Question
from edge.sourcing import Rules
from edge.stock import Stock
from shared.lots import Lot
from shared.parts import Limits
from shared.sourcing import Profile

BASES_MAX = 4_096
"""Regions times profiles that are kept worked out."""


@dataclass(frozen=True, slots=True)
class Base:
    """What the options of a region cost and forbid by a profile, whatever the order.

    Attributes:
        options: the options; those of a node follow each other.
        handling, backlog, saturation, preference: int64[O], minor units of a package.
        cost: int64[O], the first three together.
        every: int64[O], 0 and up: the rows of all.
        delay_min: int64[O], how much longer carriers take just now.
        ability: int64[O], bits of the classes of goods that node and service can take.
        limit_g: int64[O], the heaviest package.
        fenced: int64[O], fences that keep the option out.
        nodes: int64[K], the nodes that have options.
        first: int64[K + 1], first option of each, and the end.
        site: int64[O], where in `nodes` an option's node stands.
        rows: of each node, its options.
        elsewhere: nodes without any.
        handling_min: int64[N], how long each node takes just now, its backlog included.
    """

    options: Options
    handling: Ints
    backlog: Ints
    saturation: Ints
    preference: Ints
    cost: Ints
    every: Ints
    delay_min: Ints
    ability: Ints
    limit_g: Ints
    fenced: Ints
    nodes: Ints
    first: Ints
    site: Ints
    rows: dict[int, slice]
    elsewhere: list[int]
    handling_min: Ints


class Known:
    """What a decision is made by.

    Args:
        snapshot: the network.
        stock: shares, laid out for the same snapshot.
        slots: pick capacity; none is limited without.
        failures: what picks have taught.
        incoming: stock on its way and in inspection.
        rules: sourcing profiles; without them the network's own counts.
        rates: prices, laid out for the same snapshot.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        stock: Stock,
        slots: Slots | None = None,
        failures: Failures | None = None,
        incoming: Incoming | None = None,
        rules: Rules | None = None,
        rates: Rates | None = None,
    ) -> None:
        """See the class."""
        self.snapshot = snapshot
        self.stock = stock
        self.slots = slots or Slots()
        self.failures = failures or Failures()
        self.incoming = incoming or Incoming()
        self.rules = rules
        self.rates = rates or Rates(snapshot)
        self._bases: dict[tuple[str, int, str, int], Base] = {}

    def profile(self, question: Question, now_ms: int) -> Profile:
        """What the order is judged by."""
        if self.rules is None:
            return self.snapshot.network.profile
        snapshot = self.snapshot
        products = snapshot.network.products
        return self.rules.choose(
            channel=question.channel,
            tier=question.customer.tier,
            speed=question.customer.speed,
            credit=question.customer.credit,
            kind=question.fulfilment.kind,
            region=None if question.destination is None else question.destination.region,
            store_id=question.store_id,
            tags={
                tag
                for sku in (*(want.sku for want in question.wants), *question.others)
                if sku in snapshot.sku_ix  # A later network may have dropped it.
                for tag in products[snapshot.sku_ix[sku]].tags
            },
            now_ms=now_ms,
        )

    def lots(self, question: Question, sku: str, now_ms: int) -> list[Lot]:
        """What is expected of a SKU and no other order of this edge waits for, earliest first."""
        found: list[Lot] = []
        left: dict[str, int] = {}
        for lot in self.incoming.lots(sku, now_ms):
            key = lot.node_id, sku
            if lot.node_id not in left:
                left[lot.node_id] = self.incoming.claimed(*key) - question.waited.get(key, 0)
            taken = min(max(left[lot.node_id], 0), lot.units)
            left[lot.node_id] -= taken
            if taken < lot.units:
                found.append(msgspec.structs.replace(lot, units=lot.units - taken))
        return found

    def base(self, question: Question, profile: Profile, now_ms: int) -> Base:
        """The options that reach the customer."""
        region, node = "", -1
        if question.fulfilment.kind == "delivery":
            assert question.destination is not None
            region = question.destination.region
        else:
            name = question.fulfilment.node_id or question.store_id
            node = self.snapshot.node_ix.get(name, -1)
        counted = self.rates.counted_per_mille(now_ms)
        key = region, node, profile.version, counted
        base = self._bases.get(key)
        if base is None:
            if len(self._bases) >= BASES_MAX:
                self._bases.clear()
            base = self._bases[key] = self._work_out(region, node, profile, counted)
        return base

    def ready_ms(self, base: Base, from_ms: int) -> Ints:
        """int64[K], when each node of a base has a package ready that is ordered at a moment."""
        return ready_at(from_ms, base.nodes, self.snapshot.calendar, base.handling_min)

    def first_slots(
        self, question: Question, base: Base, ready_ms: Ints
    ) -> tuple[Board, Ints] | None:
        """The slots, and of each node of a base the first with room; see `calendar.first_slots`.

        None where nobody picks the goods, or no node in reach has announced slots.
        """
        board = self.slots.board(self.snapshot.node_ix)
        if board is None or question.fulfilment.kind == "carry_out":
            return None
        slot = first_slots(ready_ms, base.nodes, board.first, board.ends_ms, board.left)
        return None if (slot == unlimited).all() else (board, slot)

    def _work_out(self, region: str, node: int, profile: Profile, counted: int) -> Base:
        snapshot, rates = self.snapshot, self.rates
        options = snapshot.options(region) if region else snapshot.counter(node)
        delay_min, saturation = rates.saturation(options, region or None)
        ability = snapshot.node_ability[options.node]
        if region:
            ability = ability & snapshot.service_ability[options.service]
        starts = np.flatnonzero(np.diff(options.node, prepend=-1))
        first = np.append(starts, len(options.node))
        nodes = options.node[starts]
        handling = snapshot.handling_minor[options.node]
        backlog = rates.node_minor[options.node] * counted // 1_000
        saturation = saturation * counted // 1_000
        fenced, preference = self.limits(options, profile.limits, profile.not_preferred_minor)
        rows = {
            node: slice(start, end)
            for node, (start, end) in zip(nodes.tolist(), pairwise(first.tolist()), strict=True)
        }
        return Base(
            options=options,
            handling=handling,
            backlog=backlog,
            saturation=saturation,
            preference=preference,
            cost=handling + backlog + saturation,
            every=np.arange(len(options.node)),
            delay_min=delay_min * counted // 1_000,
            ability=ability,
            limit_g=snapshot.limit_g[options.tariff],
            fenced=fenced,
            nodes=nodes,
            first=first,
            site=np.repeat(np.arange(len(nodes)), np.diff(first)),
            rows=rows,
            elsewhere=[node for node in range(len(snapshot.node_ix)) if node not in rows],
            handling_min=snapshot.handling_min + rates.node_delay_min * counted // 1_000,
        )

    def limits(
        self, options: Options, limits: Limits, not_preferred_minor: int
    ) -> tuple[Ints, Ints]:
        """int64[O] fences of the options, int64[O] what not being preferred costs them.

        Names that the network does not have are no node or service of it; the counter is no
        service.
        """
        fenced: Ints = np.zeros(len(options.node), np.int64)
        cost: Ints = np.zeros(len(options.node), np.int64)
        snapshot = self.snapshot
        for of, known, required, forbidden, preferred, bits in (
            (options.node, snapshot.node_ix, limits.required_nodes, limits.forbidden_nodes,
             limits.preferred_nodes, (fences.required_nodes, fences.forbidden_nodes)),
            (options.service, snapshot.service_ix, limits.required_services,
             limits.forbidden_services, limits.preferred_services,
             (fences.required_services, fences.forbidden_services)),
        ):  # fmt: skip
            if required:
                fenced[~_among(of, known, required) & (of >= 0)] |= bits[0]
            if forbidden:
                fenced[_among(of, known, forbidden)] |= bits[1]
            if preferred:
                cost[~_among(of, known, preferred) & (of >= 0)] += not_preferred_minor
        return fenced, cost


def _among(of: Ints, known: dict[str, int], names: list[str]) -> NDArray[np.bool_]:
    return np.isin(of, [known[name] for name in names if name in known])
