"""One question at a time, against a network of a few nodes whose times are certain.

Every node works day and night, has a package ready after an hour, and hands it to a carrier who
needs the lane's hours to the minute, so that a test can add up what a plan costs and when it
arrives. `near` is cheaper than `far` for everything, until a test gives a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from edge.capacity import Slots
from edge.failures import Failure, Failures
from edge.incoming import Incoming
from edge.network import Snapshot
from edge.prices import Rates
from edge.routing.known import Known
from edge.routing.question import Question, Routed, Want
from edge.routing.router import route
from edge.sourcing import Rules
from edge.stock import Stock
from shared.clock import to_datetime
from shared.network import (
    LEVELS_PER_MILLE,
    Lane,
    Network,
    Node,
    Product,
    Service,
    Step,
    Tariff,
    Transit,
)
from shared.parts import Customer, Destination, Fulfilment, Limits, Plan, slot_sku
from shared.prices import Prices
from shared.sourcing import Profile

NOW_MS = 1_767_571_200_000
"""Monday 2026-01-05, 00:00 UTC."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HERE = Destination(lat=23.1, lon=113.3, region="CN-GD")
SKUS = [f"sku-{number}" for number in range(6)]
HANDLING_MINOR = 100
UNIT_G = 400


def certain(minutes: int) -> list[int]:
    """The spread of a duration that is always the same."""
    return [minutes] * len(LEVELS_PER_MILLE)


def a_node(node_id: str, **changes: Any) -> Node:
    """A distribution centre of edge-1."""
    values: dict[str, Any] = {
        "node_id": node_id, "name": node_id, "kind": "dc", "edge_id": "edge-1", "lat": 23.0,
        "lon": 113.0, "region": "CN-GD", "handling_min": 60, "handling_minor": HANDLING_MINOR,
        "handling_spread_min": certain(60),
    }  # fmt: skip
    return Node(**(values | changes))


def a_lane(node_id: str, service_id: str = "road", **changes: Any) -> Lane:
    """A day to the customer by the near tariff."""
    values: dict[str, Any] = {
        "node_id": node_id, "service_id": service_id, "region": "CN-GD", "transit_h": 24,
        "tariff_id": "near", "transit_id": "h24",
    }  # fmt: skip
    return Lane(**(values | changes))


def a_network(*nodes: Node, lanes: Sequence[Lane], **changes: Any) -> Network:
    """Services road and air, tariffs near (500, 1,500 above 1 kg) and far (900, 2,500)."""
    prices = {"near": (500, 1_500), "far": (900, 2_500)}
    values: dict[str, Any] = {
        "version": 1,
        "currency": "CNY",
        "profile": Profile(version="p1", split_cost_minor=400, reroute_minor=2_000),
        "nodes": list(nodes),
        "services": [
            Service(service_id=name, name=name, weight_g_max=20_000) for name in ("road", "air")
        ],
        "tariffs": [
            Tariff(
                tariff_id=name,
                steps=[
                    Step(weight_g_max=1_000, price_minor=light),
                    Step(weight_g_max=20_000, price_minor=heavy),
                ],
            )
            for name, (light, heavy) in prices.items()
        ],
        "lanes": list(lanes),
        "products": [Product(sku=sku, weight_g=UNIT_G) for sku in SKUS],
        "transits": [
            Transit(transit_id=f"h{hours}", spread_min=certain(60 * hours))
            for hours in (4, 24, 48, 72)
        ],
    }
    return Network(**(values | changes))


def near_and_far(**changes: Any) -> Network:
    """Two nodes: from near a package costs 600, from far 1,000; both take 25 hours."""
    lanes = [a_lane("near"), a_lane("far", tariff_id="far")]
    return a_network(a_node("near"), a_node("far"), lanes=lanes, **changes)


def judged(of: Network, **changes: Any) -> Network:
    """The network with another profile."""
    return msgspec.structs.replace(of, profile=msgspec.structs.replace(of.profile, **changes))


def with_node(of: Network, node_id: str, **changes: Any) -> Network:
    """The network with a node changed."""
    nodes = [
        msgspec.structs.replace(node, **changes) if node.node_id == node_id else node
        for node in of.nodes
    ]
    return msgspec.structs.replace(of, nodes=nodes)


def with_lane(of: Network, node_id: str, **changes: Any) -> Network:
    """The network with the lanes of a node changed."""
    lanes = [
        msgspec.structs.replace(lane, **changes) if lane.node_id == node_id else lane
        for lane in of.lanes
    ]
    return msgspec.structs.replace(of, lanes=lanes)


def by(hours: float) -> datetime:
    """So many hours from now."""
    return to_datetime(NOW_MS + int(hours * HOUR_MS))


def prices(made_ms: int = NOW_MS, **values: Any) -> Prices:
    """A prices document."""
    return Prices(version=1, made_at=to_datetime(made_ms), **values)


def slots(packages: int, starts_h: int = 0, node_id: str = "near") -> Slots:
    """One slot of three hours, with room for so many packages of this edge."""
    starts_ms = NOW_MS + starts_h * HOUR_MS
    cell = (node_id, slot_sku(to_datetime(starts_ms)), packages)
    return Slots([(node_id, starts_ms, starts_ms + 3 * HOUR_MS)], [cell])


def failed(score: int, at_ms: int = NOW_MS) -> Failures:
    """Near has failed sku-0: so many thousandths of a failure."""
    return Failures([Failure("near", "sku-0", score, at_ms)])


def want(line: int, quantity: int = 1, group: str | None = None, sku: str = "") -> Want:
    """A line of the SKU of its number."""
    return Want(line, sku or SKUS[line], quantity, group)


ONE = [want(0)]
PLENTY = 50


@dataclass
class Scene:
    """What a decision is made by, as plain parts.

    Attributes:
        units: node to units of every SKU, or of each; None: plenty at every node.
    """

    of: Network = field(default_factory=near_and_far)
    units: Mapping[str, int | Mapping[str, int]] | None = None
    prices: Prices | None = None
    slots: Slots | None = None
    failures: Failures | None = None
    incoming: Incoming | None = None
    rules: Rules | None = None
    edge_id: str | None = None
    now_ms: int = NOW_MS

    def cells(self) -> list[tuple[str, str, int]]:
        """Every share."""
        units = self.units
        if units is None:
            units = {node.node_id: PLENTY for node in self.of.nodes}
        found = []
        for node_id, of_node in units.items():
            each = dict.fromkeys(SKUS, of_node) if isinstance(of_node, int) else of_node
            found += [(node_id, sku, n) for sku, n in each.items()]
        return found

    def known(self) -> Known:
        snapshot = Snapshot(self.of)
        return Known(
            snapshot, Stock(snapshot, self.cells(), self.edge_id), self.slots, self.failures,
            self.incoming, self.rules, Rates(snapshot, self.prices),
        )  # fmt: skip

    def ask(
        self,
        wants: Sequence[Want] = ONE,
        *,
        offer: bool = False,
        alternatives: bool = False,
        **changes: Any,
    ) -> Routed:
        """Route one question; `changes` are of the question, or of its limits' names."""
        asked = a_question(wants, **changes)
        return route(self.known(), asked, self.now_ms, offer=offer, alternatives=alternatives)


def a_question(wants: Sequence[Want] = ONE, **changes: Any) -> Question:
    """A delivery, unless changed; deadline and limits may be given by themselves."""
    kind = changes.pop("kind", "delivery")
    fulfilment = Fulfilment(
        kind=kind,
        node_id=changes.pop("node_id", None),
        deadline=changes.pop("deadline", None),
        limits=changes.pop("limits", Limits()),
    )
    customer = Customer(
        **{
            name: changes.pop(name)
            for name in ("tier", "speed", "credit", "split_allowed", "packages_max")
            if name in changes
        }
    )
    values: dict[str, Any] = {
        "wants": wants, "fulfilment": fulfilment, "store_id": "near", "customer": customer,
        "destination": HERE if kind == "delivery" else None,
    }  # fmt: skip
    return Question(**(values | changes))


def plan_of(answer: Routed) -> Plan:
    """The plan; there is one."""
    assert answer.plan is not None, answer.shortages
    return answer.plan


def nodes_of(answer: Routed) -> list[str]:
    """Nodes of the packages, in order."""
    return [package.node_id for package in plan_of(answer).packages]


def winner(answer: Routed) -> str:
    """The node of the only package."""
    (node_id,) = nodes_of(answer)
    return node_id


def codes_of(answer: Routed) -> dict[str, str]:
    """Excluded nodes with their codes."""
    return {exclusion.node_id: exclusion.code for exclusion in plan_of(answer).excluded}


def reasons_of(answer: Routed) -> dict[int, str]:
    """Lines that wait with their reasons."""
    return {shortage.line: shortage.reason for shortage in answer.shortages}
