"""Documents that a planner publishes, for tests."""

from typing import Any

import msgspec

from shared.clock import to_datetime
from shared.prices import Backlog, Bid, Prices
from shared.sourcing import Conditions, Profile, Rule, Sourcing
from tests.shop import NOON_MS

PLAIN = Profile(version="plain", split_cost_minor=400, packages_max=4)
CAREFUL = Profile(version="careful", split_cost_minor=4_000, packages_max=1)


def sourcing(version: str = "s1", **changes: Any) -> Sourcing:
    """Orders of `vip` customers by the careful profile, all others by the plain one."""
    values: dict[str, Any] = {
        "version": version,
        "profiles": [PLAIN, CAREFUL],
        "otherwise": "plain",
        "rules": [Rule(profile="careful", when=Conditions(tiers=["vip"]))],
    }
    return Sourcing(**(values | changes))


def prices(version: int = 1, **changes: Any) -> Prices:
    """A bid for one cell, and work that waits at a node."""
    values: dict[str, Any] = {
        "version": version,
        "made_at": to_datetime(NOON_MS),
        "bids": [Bid(node_id="dc-south", sku="sku-1", price_minor=100)],
        "backlogs": [Backlog(node_id="dc-south", delay_min=30)],
    }
    return Prices(**(values | changes))


def written(document: Sourcing | Prices) -> bytes:
    """The planner's JSON."""
    return msgspec.json.encode(document)
