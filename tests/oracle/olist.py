"""Deliveries of the Olist data set (Brazilian e-commerce), which is not in this repository."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.network import Lane, Network, Node, Product, Service, Step, Tariff
from shared.sourcing import Profile


@dataclass(frozen=True)
class Delivery:
    """One delivered order of one seller. Local times, written as UTC.

    `promised` is the end of the promised day.
    """

    seller: str
    origin: str
    state: str
    lat: float | None
    lon: float | None
    purchased: datetime
    handed_over: datetime
    delivered: datetime
    promised: datetime


def _rows(folder: Path, name: str) -> Iterator[dict[str, str]]:
    with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def deliveries(folder: Path) -> Iterator[Delivery]:
    """Delivered orders of a single seller whose times are all there and in order."""
    places = {
        row["geolocation_zip_code_prefix"]: (
            float(row["geolocation_lat"]), float(row["geolocation_lng"])
        )
        for row in _rows(folder, "geolocation_by_zip_prefix")
    }  # fmt: skip
    customers = {row["customer_id"]: row for row in _rows(folder, "customers")}
    states = {row["seller_id"]: row["seller_state"] for row in _rows(folder, "sellers")}
    sellers: dict[str, set[str]] = {}
    for row in _rows(folder, "order_items"):
        sellers.setdefault(row["order_id"], set()).add(row["seller_id"])
    names = (
        "order_purchase_timestamp", "order_delivered_carrier_date",
        "order_delivered_customer_date", "order_estimated_delivery_date",
    )  # fmt: skip
    for row in _rows(folder, "orders"):
        who = sellers.get(row["order_id"], set())
        if len(who) != 1 or row["order_status"] != "delivered" or not all(row[x] for x in names):
            continue
        (seller,) = who
        if seller not in states:
            continue
        purchased, handed_over, delivered, promised = (_time(row[name]) for name in names)
        if not purchased <= handed_over <= delivered:
            continue
        customer = customers[row["customer_id"]]
        lat, lon = places.get(customer["customer_zip_code_prefix"], (None, None))
        yield Delivery(
            seller, states[seller], customer["customer_state"], lat, lon,
            purchased, handed_over, delivered, promised + timedelta(days=1),
        )  # fmt: skip


def network_of(found: Sequence[Delivery]) -> Network:
    """Sellers as nodes that are always open, a lane for each pair of seller and state."""
    sellers = dict(sorted({x.seller: x.origin for x in found}.items()))
    lanes = sorted({(x.seller, x.state) for x in found})
    return Network(
        version=1,
        currency="BRL",
        profile=Profile(version="calibration"),
        nodes=[
            Node(node_id=seller, name="", kind="store", edge_id="e", lat=0.0, lon=0.0, region=state)
            for seller, state in sellers.items()
        ],
        services=[Service(service_id="parcel", name="", weight_g_max=30_000)],
        tariffs=[Tariff(tariff_id="t", steps=[Step(weight_g_max=30_000, price_minor=1_000)])],
        lanes=[
            Lane(node_id=seller, service_id="parcel", region=state, transit_h=240, tariff_id="t")
            for seller, state in lanes
        ],
        products=[Product(sku="any")],
    )
