"""Random small worlds for Hypothesis: networks, shares, profiles and questions with fences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st

from edge.routing.question import Question, Want
from shared.network import Area
from shared.parts import Limits
from shared.sourcing import TierPromise
from tests.oracle.relaxing_oracle import BREAKABLE, Instance
from tests.routing_scene import SKUS, Scene, a_lane, a_network, a_node, a_question, judged

NODES = ["a", "b", "c"]
FAR = Area(radius_m=1_000)
"""A geofence that does not hold the destination."""


@dataclass
class World:
    """What Hypothesis draws.

    Attributes:
        scene: network with its profile, and shares.
        asked: what `Scene.ask` takes besides the lines.
        wants: the lines.
    """

    scene: Scene
    wants: list[Want]
    asked: dict[str, Any]

    def question(self) -> Question:
        return a_question(self.wants, **dict(self.asked))

    def instance(self) -> Instance:
        """The same for the oracle."""
        of = self.scene.of
        outside = {node.node_id for node in of.nodes if node.area is FAR}
        return Instance(of, self.scene.cells(), self.question(), outside)


@st.composite
def worlds(draw: st.DrawFn, lines_max: int = 3, kinds_max: int = 4, groups: bool = True) -> World:
    """Up to four kinds of fences on options, besides packages and splits.

    With more of them than that, the router's tries would run out.
    """
    kinds = draw(st.sets(st.sampled_from(BREAKABLE[:7]), max_size=kinds_max))
    nodes = NODES[: draw(st.integers(2, 3))]
    some = st.lists(st.sampled_from(nodes), min_size=1, max_size=2, unique=True)
    service = st.lists(st.sampled_from(["road", "air"]), min_size=1, max_size=1)
    cold = draw(st.booleans())
    built = [
        a_node(
            name,
            handling_minor=draw(st.integers(0, 6)) * 100,
            walk_in_units=draw(st.integers(0, 2)) if "walk_in" in kinds else 0,
            area=draw(st.sampled_from([None, FAR])) if "area" in kinds else None,
            abilities=["cold"] if draw(st.booleans()) else [],
        )
        for name in nodes
    ]
    lanes = [
        a_lane(
            name,
            carrier,
            tariff_id=draw(st.sampled_from(["near", "far"])),
            transit_id=draw(st.sampled_from(["h4", "h24", "h48"])),
        )
        for name in nodes
        for carrier in ("road", "air")
        if draw(st.integers(0, 3))
    ]
    of = a_network(*built, lanes=lanes)
    of = msgspec.structs.replace(
        of,
        services=[
            msgspec.structs.replace(
                x, weight_g_max=draw(st.sampled_from([900, 20_000])), abilities=["cold"]
            )
            for x in of.services
        ],
        products=[
            msgspec.structs.replace(x, classes=["cold"] if cold and x.sku == "sku-0" else [])
            for x in of.products
        ],
    )

    def limits() -> Limits:
        return Limits(
            required_nodes=draw(some) if "required_nodes" in kinds else [],
            forbidden_nodes=draw(some) if "forbidden_nodes" in kinds else [],
            required_services=draw(service) if "required_services" in kinds else [],
            forbidden_services=draw(service) if "forbidden_services" in kinds else [],
            preferred_nodes=draw(st.one_of(st.just([]), some)),
        )

    promise = TierPromise(tier="vip", within_h=24, on_time_per_mille=950)
    split_lines = draw(st.booleans())
    of = judged(
        of,
        split_cost_minor=draw(st.sampled_from([0, 400])),
        packages_max=draw(st.integers(1, 3)),
        tier_promises=[promise] if "tier_promise" in kinds else [],
        limits=limits(),
        not_preferred_minor=draw(st.sampled_from([0, 150])),
        relax=draw(st.lists(st.sampled_from(BREAKABLE), unique=True, max_size=4)),
        split_lines=split_lines,
    )
    units = {
        name: {sku: draw(st.integers(0, 3)) for sku in SKUS[:lines_max]}
        for name in nodes
        if draw(st.integers(0, 4))
    }
    group = st.sampled_from([None, None, "gift"]) if groups else st.none()
    wants = [
        Want(line, draw(st.sampled_from(SKUS[:lines_max])), draw(st.integers(1, 3)), draw(group))
        for line in range(draw(st.integers(1, lines_max)))
    ]
    asked: dict[str, Any] = {
        "split_allowed": draw(st.booleans()),
        "packages_max": draw(st.sampled_from([None, 1, 2])),
        "tier": draw(st.sampled_from(["standard", "vip"])),
        "limits": limits() if draw(st.booleans()) else Limits(),
    }
    return World(Scene(of, units), wants, asked)
