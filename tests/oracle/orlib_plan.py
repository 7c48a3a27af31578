"""OR-Library's instances as the files of `pointsman plan`, and what its plan really costs.

Sites are nodes whose handling is the opening cost, customers are lines, and what it costs to
serve a customer from a site is the bid price of the line's SKU there. Documents hold whole minor
units, so costs are rounded to hundredths; the plan that comes back is costed by the instance's
own numbers, exactly.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from deploy.planning.formats import AskedOrder, PlannedOrder
from deploy.planning.run import Task, plan
from shared.clock import to_datetime
from shared.network import Lane, Network, Node, Product, Service, Step, Tariff
from shared.parts import Destination, Fulfilment, Line
from shared.prices import Bid, Prices
from shared.sourcing import Profile

SCALE: Final = 100
AT: Final = to_datetime(1_767_603_600_000)
_HERE: Final = Destination(lat=0.0, lon=0.0, region="all")


class Instance(NamedTuple):
    """Opening cost of each site, and of each customer the cost by site."""

    opening: list[Decimal]
    serving: list[list[Decimal]]


def read(text: str) -> Instance:
    """An instance as OR-Library writes it; capacities are left out, as its optimum does."""
    words = iter(text.split())
    sites, customers = int(next(words)), int(next(words))
    opening = []
    for _ in range(sites):
        next(words)
        opening.append(Decimal(next(words)))
    serving = []
    for _ in range(customers):
        next(words)
        serving.append([Decimal(next(words)) for _ in range(sites)])
    return Instance(opening, serving)


def planned(instance: Instance, folder: Path) -> PlannedOrder:
    """Write the documents, run `pointsman plan` over them, read what it wrote."""
    sites, customers = range(len(instance.opening)), range(len(instance.serving))
    network = Network(
        version=1,
        currency="USD",
        profile=Profile(version="orlib", packages_max=64),
        nodes=[
            Node(
                node_id=f"site-{site}", name="", kind="dc", edge_id="edge-1", lat=0.0, lon=0.0,
                region="all", handling_min=0, handling_minor=_scaled(instance.opening[site]),
            )
            for site in sites
        ],
        services=[Service(service_id="any", name="", weight_g_max=10**6)],
        tariffs=[Tariff(tariff_id="free", steps=[Step(weight_g_max=10**6, price_minor=0)])],
        lanes=[
            Lane(
                node_id=f"site-{site}", service_id="any", region="all", transit_h=0,
                tariff_id="free",
            )
            for site in sites
        ],
        products=[Product(sku=f"customer-{customer}", weight_g=1) for customer in customers],
    )  # fmt: skip
    prices = Prices(
        version=1,
        made_at=AT,
        bids=[
            Bid(
                node_id=f"site-{site}",
                sku=f"customer-{customer}",
                price_minor=_scaled(instance.serving[customer][site]),
            )
            for customer in customers
            for site in sites
        ],
    )
    order = AskedOrder(
        id="instance",
        at=AT,
        store_id="site-0",
        fulfilment=Fulfilment(kind="delivery"),
        lines=[Line(sku=f"customer-{customer}", quantity=1) for customer in customers],
        destination=_HERE,
    )
    for name, document in (("network", network), ("prices", prices), ("orders", order)):
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(document) + b"\n")
    out = folder / "plans.jsonl"
    plan(
        Task(
            network=folder / "network.json", orders=folder / "orders.json", out=out, stock=None,
            prices=folder / "prices.json", consume=False, at=None,
        ),
        None,
    )  # fmt: skip
    return msgspec.json.decode(out.read_bytes(), type=PlannedOrder)


def cost_of(instance: Instance, answer: PlannedOrder) -> Decimal:
    """What a plan costs by the instance's own numbers."""
    assert answer.plan is not None
    assert not answer.parked
    total = Decimal(0)
    for package in answer.plan.packages:
        site = int(package.node_id.removeprefix("site-"))
        total += instance.opening[site]
        total += sum(instance.serving[line.line][site] for line in package.lines)
    return total


def _scaled(cost: Decimal) -> int:
    return int((cost * SCALE).to_integral_value())
