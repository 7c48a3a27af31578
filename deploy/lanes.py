"""Transit and handling times of a network, fitted from the history of its shipments.

A thin lane borrows from the other lanes between its two regions, they from lanes of the same
service over a like distance, these from the whole service, and that from everything; a node
borrows from its kind in its region, then everywhere, then from all (`deploy.pooling`).
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from deploy.history import Shipment, read_history
from deploy.plain import plain
from deploy.pooling import Floats, Hierarchy, Ints
from edge.network import Snapshot
from shared.clock import to_datetime, to_ms
from shared.errors import InvalidDataError
from shared.network import LEVELS_PER_MILLE, Lane, Network, Node, Transit, parse_network

CLASSES_KM: Final = (50, 150, 400, 800, 1_500, 3_000)
"""Upper ends of the distance classes; one more is beyond them, and one is for unknown."""
_EARTH_RADIUS_KM: Final = 6_371.0
_SETTLED: Final = 0.98
HALF_LIFE_DAYS: Final = 90.0
_MINUTE_MS: Final = 60_000
_DAY_MIN: Final = 1_440
_MEDIAN, _NINTH = LEVELS_PER_MILLE.index(500), LEVELS_PER_MILLE.index(900)

LaneKey = tuple[str, str, str, str]
"""Service, origin region, destination region, node; the node is empty where it is not known."""
Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FittedLane:
    """What is known of one lane now.

    Attributes:
        shipments: deliveries of the lane itself.
        near: deliveries between the same two regions by the same service.
        spread_min: minutes at `LEVELS_PER_MILLE`; None: nothing near enough to go by.
    """

    lane: Lane
    shipments: int
    near: int
    spread_min: list[int] | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A network with fitted times, and what they rest on.

    Attributes:
        handling: deliveries that each fitted node's handling rests on.
        left_out: shipments that could not be used, by reason.
    """

    network: Network
    lanes: list[FittedLane]
    handling: dict[str, int]
    left_out: dict[str, int]


def nested(
    keys: Sequence[Hashable], ups: Sequence[Callable[[Hashable], Hashable]]
) -> tuple[list[Ints], dict[Hashable, int]]:
    """Levels of groups as numbers, and the numbers of the finest groups.

    Args:
        keys: groups of the finest level, without repetition.
        ups: of each level, from a group's key to that of its parent.
    """
    numbers = {key: i for i, key in enumerate(keys)}
    parents: list[Ints] = []
    level: list[Hashable] = list(keys)
    for up in ups:
        above = [up(key) for key in level]
        ix = {key: i for i, key in enumerate(dict.fromkeys(above))}
        parents.append(np.array([ix[key] for key in above], np.int64))
        level = list(ix)
    parents.append(np.zeros(len(level), np.int64))
    return parents, numbers


def fit_network(
    network: Network, shipments: Iterable[Shipment], half_life_days: float | None = HALF_LIFE_DAYS
) -> Fit:
    """The network with the times that history tells; its version is one more.

    Args:
        network: whose lanes and nodes are fitted.
        shipments: in any order.
        half_life_days: a shipment counts half as much as one so much younger; None: all alike.

    Raises:
        InvalidDataError: no shipment can be used.
    """
    nodes = {node.node_id: node for node in network.nodes}
    used: list[Shipment] = []
    left_out: dict[str, int] = {}
    for shipment in shipments:
        fault = _fault(shipment, nodes)
        if fault:
            left_out[fault] = left_out.get(fault, 0) + 1
        else:
            used.append(shipment)
    if not used:
        raise InvalidDataError("no shipment of the history can be used", expected=str(left_out))
    last_ms = max(to_ms(shipment.delivered_at) for shipment in used)
    settled = _settled(used, last_ms)
    if len(settled) < len(used):
        left_out["too new: slower ones of these days are still under way"] = len(used) - len(
            settled
        )
    used = settled
    lanes = _fit_lanes(network, nodes, used, half_life_days)
    handling = _fit_handling(network, used, half_life_days)
    transits, ids = _transits(lanes)
    fitted = msgspec.structs.replace(
        network,
        version=network.version + 1,
        made_at=to_datetime(last_ms),
        transits=transits,
        lanes=[msgspec.structs.replace(x.lane, transit_id=ids[i]) for i, x in enumerate(lanes)],
        nodes=[
            msgspec.structs.replace(node, handling_spread_min=handling[node.node_id][1])
            if node.node_id in handling
            else node
            for node in network.nodes
        ],
    )
    return Fit(fitted, lanes, {node: n for node, (n, _) in handling.items()}, left_out)


def _fault(shipment: Shipment, nodes: dict[str, Node]) -> str:
    if shipment.node_id is None and shipment.origin is None:
        return "neither node_id nor origin"
    if shipment.node_id is not None and shipment.node_id not in nodes:
        return "unknown node"
    if shipment.delivered_at < shipment.handed_over_at:
        return "delivered before it was handed over"
    return ""


def _settled(used: list[Shipment], last_ms: int) -> list[Shipment]:
    """Shipments handed over so long ago that nearly all others of their day are there too.

    Of the newest only the fast ones are delivered, and known. To learn from them would be to
    promise what only they keep (right truncation).
    """
    took_ms = [to_ms(x.delivered_at) - to_ms(x.handed_over_at) for x in used]
    until_ms = last_ms - float(np.quantile(took_ms, _SETTLED))
    settled = [x for x in used if to_ms(x.handed_over_at) <= until_ms]
    return settled or used


def weights(at_ms: Ints, half_life_days: float | None) -> Floats | None:
    """What observations count for, by how much older than the newest; None: all the same."""
    if half_life_days is None:
        return None
    age_days = (at_ms.max() - at_ms) / (_DAY_MIN * _MINUTE_MS)
    found: Floats = 0.5 ** (age_days / half_life_days)
    return found


def _fit_lanes(
    network: Network,
    nodes: dict[str, Node],
    used: list[Shipment],
    half_life_days: float | None,
) -> list[FittedLane]:
    def key_of(lane: Lane) -> LaneKey:
        return lane.service_id, nodes[lane.node_id].region, lane.region, lane.node_id

    keys = [
        (x.service_id, nodes[x.node_id].region if x.node_id else x.origin or "", x.region,
         x.node_id or "")
        for x in used
    ]  # fmt: skip
    class_of = _classes(network.nodes, used)
    wanted = [key_of(lane) for lane in network.lanes]
    parents, number = nested(
        list(dict.fromkeys((*keys, *wanted))),
        [
            lambda key: key[:3],  # type: ignore[index]  # a LaneKey
            lambda pair: (pair[0], class_of(*pair[1:])),  # type: ignore[index]
            lambda classed: classed[0],  # type: ignore[index]
        ],
    )
    group = np.array([number[key] for key in keys], np.int64)
    minutes = np.array(
        [(to_ms(x.delivered_at) - to_ms(x.handed_over_at)) // _MINUTE_MS for x in used], np.int64
    )
    handed_over_ms = np.array([to_ms(x.handed_over_at) for x in used], np.int64)
    hierarchy = Hierarchy(parents, group, minutes, weights(handed_over_ms, half_life_days))
    spreads = hierarchy.spreads()
    pair_counts = np.bincount(parents[0][group], minlength=int(parents[0].max()) + 1)
    class_counts = np.bincount(parents[1][parents[0][group]], minlength=int(parents[1].max()) + 1)
    found = []
    for lane, key in zip(network.lanes, wanted, strict=True):
        i = number[key]
        pair = int(parents[0][i])
        near = int(pair_counts[pair])
        # A stated time beats lanes of which nothing is known but that they are lanes too.
        alike = class_of(key[1], key[2]) >= 0 and class_counts[parents[1][pair]]
        spread_min = spreads[i] if near or alike else None
        found.append(FittedLane(lane, int(hierarchy.counts[i]), near, spread_min))
    return found


def _classes(nodes: Iterable[Node], used: Iterable[Shipment]) -> Callable[[str, str], int]:
    """From two regions to the class of their distance; -1: unknown."""
    told: dict[str, list[Place]] = {}
    sites: dict[str, list[Place]] = {}
    for node in nodes:
        sites.setdefault(node.region, []).append((node.lat, node.lon))
    for x in used:
        if x.to_lat is not None and x.to_lon is not None:
            told.setdefault(x.region, []).append((x.to_lat, x.to_lon))

    def middle(*known: list[Place] | None) -> Place | None:
        places = next((places for places in known if places), None)
        if places is None:
            return None
        lat, lon = np.mean(places, axis=0)
        return float(lat), float(lon)

    regions = {*told, *sites}
    starts = {name: middle(sites.get(name), told.get(name)) for name in regions}
    ends = {name: middle(told.get(name), sites.get(name)) for name in regions}

    def class_of(origin: str, region: str) -> int:
        a, b = starts.get(origin), ends.get(region)
        return -1 if a is None or b is None else int(np.searchsorted(CLASSES_KM, distance_km(a, b)))

    return class_of


def distance_km(a: Place, b: Place) -> float:
    """Great-circle distance (haversine)."""
    (lat_a, lon_a), (lat_b, lon_b) = a, b
    lat = sin(radians(lat_b - lat_a) / 2) ** 2
    lon = sin(radians(lon_b - lon_a) / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * asin(sqrt(lat + cos(radians(lat_a)) * cos(radians(lat_b)) * lon))


def _fit_handling(
    network: Network, used: list[Shipment], half_life_days: float | None
) -> dict[str, tuple[int, list[int]]]:
    """Of each node of a kind that history tells of: deliveries, minutes of work at the levels.

    What counts is from when the node began to work on it, by its calendar, until it was ready.
    """
    snapshot = Snapshot(network)
    collected = {pickup.node_id for pickup in network.pickups}
    rows: list[tuple[str, int, int]] = []
    for x in used:
        ready_at = x.ready_at
        if ready_at is None and x.node_id not in collected:
            ready_at = x.handed_over_at
        if x.node_id is None or x.purchased_at is None or ready_at is None:
            continue
        node = snapshot.node_ix[x.node_id]
        nominal_ms = snapshot.ready_ms(np.array([node], np.int64), to_ms(x.purchased_at))[0]
        begun_min = int(nominal_ms) // _MINUTE_MS - int(snapshot.handling_min[node])
        minutes = to_ms(ready_at) // _MINUTE_MS - begun_min
        rows.append((x.node_id, max(minutes, 0), to_ms(ready_at)))
    if not rows:
        return {}
    place = {node.node_id: (node.kind, node.region) for node in network.nodes}
    known = {place[row[0]][0] for row in rows}
    parents, number = nested(
        [node_id for node_id, (kind, _) in place.items() if kind in known],
        [lambda node: place[str(node)], lambda kind_region: kind_region[0]],  # type: ignore[index]
    )
    group = np.array([number[row[0]] for row in rows], np.int64)
    at_ms = np.array([row[2] for row in rows], np.int64)
    hierarchy = Hierarchy(
        parents,
        group,
        np.array([row[1] for row in rows], np.int64),
        weights(at_ms, half_life_days),
    )
    spreads = hierarchy.spreads()
    return {str(node): (int(hierarchy.counts[i]), spreads[i]) for node, i in number.items()}


def _transits(lanes: list[FittedLane]) -> tuple[list[Transit], list[str | None]]:
    """The distributions, each once, and which of them each lane has."""
    ids: dict[tuple[int, tuple[int, ...]], str] = {}
    of_lane: list[str | None] = []
    for x in lanes:
        if x.spread_min is None:
            of_lane.append(None)
            continue
        key = x.shipments, tuple(x.spread_min)
        of_lane.append(ids.setdefault(key, f"t{len(ids) + 1}"))
    return [
        Transit(transit_id=name, spread_min=list(spread), shipments=count)
        for (count, spread), name in ids.items()
    ], of_lane


def run(history: Path, document: Path, out: Path, half_life_days: float | None) -> None:
    """Fit a network document from a history file, write it, print what each lane rests on.

    Raises:
        InvalidDataError: the history or the document breaks its definition.
        NotJsonError: the document is not JSON.
        OSError: a file cannot be read or written.
    """
    network = parse_network(document.read_bytes())
    fit = fit_network(network, read_history(history), half_life_days)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(fit.network), indent=1) + b"\n")
    table = Table("node", "service", "region", "shipments", "near", "p50 h", "p90 h")
    for x in fit.lanes:
        spread = x.spread_min
        told = [f"{spread[i] / 60:.1f}" if spread else "stated" for i in (_MEDIAN, _NINTH)]
        lane = (x.lane.node_id, x.lane.service_id, x.lane.region)
        table.add_row(*map(plain, (*lane, x.shipments, x.near, *told)))
    console = Console()
    console.print(table)
    for node_id, count in sorted(fit.handling.items()):
        console.print(plain(f"handling of {node_id}: {count} shipments"))
    for reason, count in sorted(fit.left_out.items()):
        console.print(plain(f"left out: {count} shipments: {reason}"))
    console.print(plain(f"{out}: network version {fit.network.version}"))
