"""A small and nasty world, drawn from a seed: places, stock, and what may go wrong how often."""

from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from shared.errors import ConfigError
from shared.network import Lane, Network, Node, Product, Service, Step, Tariff
from shared.parts import Destination, FenceName
from shared.sourcing import Profile

START_MS: Final = 1_736_740_800_000
"""2025-01-13, noon in China: where the world's clock starts."""

FAULTS: Final = (
    "delays", "drops", "doubles", "reorders", "partitions", "forgets", "lan", "crashes", "cuts",
    "central", "restores", "clones", "clocks", "full", "fences", "losses", "roaming", "networks",
)  # fmt: skip
"""Classes of faults, each of which can be switched off.

Messages: delayed for seconds, lost, doubled, out of order; edges cut off; brokers that forget
(central's: forgets, a site's: lan). Machines: processes killed (crashes), power cut (cuts),
central killed or cut off its power (central), disks restored from a backup or copied to a second
machine, clocks ten years ahead, disks full, edges fenced while they live. Shops: goods that are
not where they should be (losses), one payment told to two edges (roaming), networks, rules and
prices published (networks).
"""


class Scenario(Struct, frozen=True, kw_only=True):
    """All that decides a run: the same scenario is the same run, byte for byte.

    Attributes:
        seed: of everything random.
        steps: events before everything heals.
        edges: how many.
        without: classes of faults that are switched off.
        skus: how many; 0: drawn.
    """

    seed: int
    steps: int = 2_000
    edges: int = 8
    without: frozenset[str] = frozenset()
    skus: int = 0

    def replay(self) -> str:
        """The command that runs it again."""
        parts = ["pointsman sim", f"--seeds {self.seed}:{self.seed + 1}", f"--steps {self.steps}"]
        parts.append(f"--edges {self.edges}")
        if self.skus:
            parts.append(f"--skus {self.skus}")
        if self.without:
            parts.append(f"--without {','.join(sorted(self.without))}")
        return " ".join(parts)


def parse_seeds(text: str) -> tuple[int, int]:
    """Read FROM:TO.

    Raises:
        ConfigError: it is something else.
    """
    first, _, end = text.partition(":")
    if first.isdigit() and end.isdigit() and int(first) < int(end):
        return int(first), int(end)
    raise ConfigError(f"{text!r} names no seeds", place="--seeds", expected="FROM:TO, like 0:100")


def parse_faults(text: str) -> frozenset[str]:
    """Read names of classes of faults, with commas between them; `all` is all of them.

    Raises:
        ConfigError: there is no such class.
    """
    names = frozenset(FAULTS) if text == "all" else frozenset(text.split(",")) - {""}
    wrong = sorted(names - set(FAULTS))
    if wrong:
        raise ConfigError(
            f"there are no faults {', '.join(wrong)}", place="--without", expected=", ".join(FAULTS)
        )
    return names


class Weather(Struct, frozen=True):
    """How often what goes wrong in one run: some runs are rough in one thing only.

    Attributes:
        drop, double, reorder, slow: probability for each message to central and back.
        accidents: weights of the accidents, by class.
        calm_ms: time between two accidents, on average.
    """

    drop: float
    double: float
    reorder: float
    slow: float
    accidents: dict[str, float]
    calm_ms: int


class World(Struct, frozen=True):
    """The places.

    Attributes:
        network: as central publishes it.
        edges: their ids.
        stores: node of each edge's store.
        skus: what is sold.
    """

    network: Network
    edges: list[str]
    stores: dict[str, str]
    skus: list[str]
    places: list[Destination]


def draw_weather(scenario: Scenario) -> Weather:
    """What may go wrong, and how often."""
    random = Random(f"{scenario.seed}/weather")

    def rate(name: str, most: float) -> float:
        value = random.choice((0.0, most / 4, most))
        return 0.0 if name in scenario.without else value

    accidents: dict[str, float] = {}
    for name, weight in (
        ("partitions", 6.0), ("forgets", 2.0), ("lan", 2.0), ("crashes", 5.0), ("cuts", 5.0),
        ("central", 3.0), ("restores", 1.0), ("clones", 1.0), ("clocks", 1.5), ("full", 1.5),
        ("fences", 1.0), ("networks", 0.5),
    ):  # fmt: skip
        value = weight * random.choice((0.0, 0.3, 1.0, 2.0))
        if value and name not in scenario.without:
            accidents[name] = value
    return Weather(
        drop=rate("drops", 0.15),
        double=rate("doubles", 0.15),
        reorder=rate("reorders", 0.2),
        slow=rate("delays", 0.1),
        accidents=accidents,
        calm_ms=random.choice((1_000, 2_500, 6_000)),
    )


BROKEN: Final[tuple[list[FenceName], ...]] = ([], ["walk_in"], ["packages_max", "split_allowed"])
"""What plans may break."""


def draw_world(scenario: Scenario) -> World:
    """Places, lanes and products."""
    random = Random(f"{scenario.seed}/world")
    count = scenario.edges
    edges = [f"edge-{number}" for number in range(1, count + 1)]
    regions = [f"R{number}" for number in range(1, max(2, count // 3) + 1)]
    nodes, lanes, stores = [], [], {}
    fences = Random(f"{scenario.seed}/walk-in")
    for number, edge_id in enumerate(edges):
        region = regions[number % len(regions)]
        stores[edge_id] = f"store-{number + 1}"
        store = _node(stores[edge_id], "store", edge_id, region, number)
        nodes.append(replace(store, walk_in_units=fences.choice((0, 0, 1, 2))))
        if random.random() < 0.7:
            lanes.append(_lane(stores[edge_id], region, 24, "near"))
    for number in range(1, max(1, count // 3) + 1):
        home = random.choice(edges)
        region = random.choice(regions)
        nodes.append(_node(f"dc-{number}", "dc", home, region, number))
        for other in regions:
            if other == region or random.random() < 0.8:
                near = other == region
                lanes.append(
                    _lane(f"dc-{number}", other, 24 if near else 72, "near" if near else "far")
                )
    sku_count = scenario.skus or random.randint(4, 8)
    skus = [f"sku-{number}" for number in range(1, sku_count + 1)]
    steps = [
        Step(weight_g_max=1_000, price_minor=500),
        Step(weight_g_max=20_000, price_minor=1_500),
    ]
    far = [Step(weight_g_max=1_000, price_minor=900), Step(weight_g_max=20_000, price_minor=2_500)]
    judged = Random(f"{scenario.seed}/profile")
    network = Network(
        version=1,
        currency="CNY",
        profile=Profile(
            version="p1",
            split_cost_minor=random.choice((0, 400, 2_000)),
            late_minor_per_h=100,
            packages_max=4,
            incoming_minor_per_h=judged.choice((None, None, 1, 50)),
            split_lines=judged.random() < 0.4,
            relax=judged.choice(BROKEN),
        ),
        nodes=nodes,
        services=[Service(service_id="standard", name="Standard", weight_g_max=20_000)],
        tariffs=[Tariff(tariff_id="near", steps=steps), Tariff(tariff_id="far", steps=far)],
        lanes=lanes,
        products=[Product(sku=sku, weight_g=400) for sku in skus],
    )
    places = [Destination(lat=23.0, lon=113.0, region=region) for region in regions]
    return World(network, edges, stores, skus, places)


def _node(node_id: str, kind: str, edge_id: str, region: str, number: int) -> Node:
    return Node(
        node_id=node_id,
        name=node_id,
        kind="dc" if kind == "dc" else "store",
        edge_id=edge_id,
        lat=23.0,
        lon=113.0 + number,
        region=region,
        handling_minor=300 if kind == "dc" else 200,
    )


def _lane(node_id: str, region: str, transit_h: int, tariff_id: str) -> Lane:
    return Lane(
        node_id=node_id,
        service_id="standard",
        region=region,
        transit_h=transit_h,
        tariff_id=tariff_id,
    )
