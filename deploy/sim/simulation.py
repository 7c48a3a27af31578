"""A whole company in one process: real cores, fake everything else, and a watcher beside them."""

import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from msgspec import Struct

from central.admin import ADMIN, FENCE, NETWORK, Fence, Message
from central.database import close_database, open_database
from central.escrow import DemandPolicy
from deploy.sim.accidents import Accidents
from deploy.sim.agenda import Agenda
from deploy.sim.books import ViolationError
from deploy.sim.central_process import CentralProcess
from deploy.sim.checks import Checks
from deploy.sim.disk import Disk, Image
from deploy.sim.edge_process import EdgeProcess
from deploy.sim.network import Line
from deploy.sim.rest import check_rest, is_at_rest
from deploy.sim.scenario import Scenario, draw_weather, draw_world
from deploy.sim.site import Site
from deploy.sim.tally import Measures
from deploy.sim.tills import Till
from deploy.sim.vfs import VFS_NAME
from deploy.sim.warehouses import Warehouse
from edge.store import FILE_NAME, Store
from edge.sync import Words
from shared.network import Network
from shared.topics import TASKS, parse_down, parse_up, up

OPERATOR_MS: Final = 4_000
FENCE_AGAIN_MS: Final = 15_000
"""An operator fences an edge again if it still does not sell after so long."""

QUIET_MS: Final = 11_000
"""At rest nothing moves for so long: two hellos, and central's second look."""

HEAL_MS_MAX: Final = 400_000


class Violation(Struct, frozen=True, kw_only=True):
    """A broken promise, and how to see it again."""

    seed: int
    step: int
    invariant: str
    detail: str
    replay: str
    last: list[str] = []


class Result(Struct, frozen=True, kw_only=True):
    """What a run has come to."""

    seed: int
    steps: int
    trace: str
    measures: Measures
    faults: dict[str, int]
    violation: Violation | None = None


class Simulation:
    """One run.

    Args:
        scenario: all that decides it.
        folder: an empty folder for the disks.
    """

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        """Set everything up; nothing has happened yet."""
        self.scenario = scenario
        self.agenda = Agenda()
        self.world = draw_world(scenario)
        self.weather = draw_weather(scenario)
        self.network: Network = self.world.network
        self.checks = Checks(self.agenda, self.world)
        self.healed_ms: int | None = None
        self.boxes: dict[str, list[EdgeProcess]] = {}
        self.edges: dict[str, EdgeProcess] = {}
        self.sites: dict[str, Site] = {}
        self.ups: dict[str, Line] = {}
        self.downs: dict[str, Line] = {}
        self.disks: list[Disk] = []
        self._fenced_ms: dict[str, int] = {}
        self._folder = folder
        self._devices = self._random("devices")
        edge_image, central_image = _images()
        random = self._random("central")
        self.central = CentralProcess(
            self.agenda, random, self.new_disk("central", central_image),
            DemandPolicy(random.choice((0.0, 0.2, 0.5)), random.choice((0, 1, 2))),
            self.checks, self._tell,
        )  # fmt: skip
        for edge_id in self.world.edges:
            self._add_edge(edge_id, edge_image)
        roams = "roaming" not in scenario.without
        losses = "losses" not in scenario.without
        self.tills = [
            Till(
                self.agenda,
                self._random(f"till {x}"),
                self.world,
                f"till-{x}",
                x,
                self.sites,
                roams,
            )
            for x in self.world.edges
        ]
        self.warehouses = []
        for node in self.network.nodes:
            site, random = self.sites[node.edge_id], self._random(node.node_id)
            self.warehouses.append(
                Warehouse(self.agenda, random, self.world, node.node_id, site, losses)
            )
            site.devices[node.node_id] = self.warehouses[-1].hear
        for warehouse in self.warehouses:
            warehouse.others = {other.node_id: other for other in self.warehouses}
        for till in self.tills:
            for site in self.sites.values():
                site.devices[till.device] = till.hear
                site.tills.add(till.device)
        self.accidents = Accidents(self, self._random("accidents"))

    def _random(self, name: str) -> Random:
        # One stream each, so that switching one thing off leaves the others as they are.
        return Random(f"{self.scenario.seed}/{name}")

    def new_disk(self, name: str, image: Image) -> Disk:
        """Another machine's disk."""
        disk = Disk(self._folder / name)
        disk.restore(image)
        self.disks.append(disk)
        return disk

    def _add_edge(self, edge_id: str, image: Image) -> None:
        agenda, random = self.agenda, self._random(edge_id)
        site = self.sites[edge_id] = Site(agenda, self._random(f"{edge_id} lan"), edge_id)
        edge = EdgeProcess(
            edge_id, agenda, random, self.new_disk(edge_id, image), site, self.checks
        )
        site.on_message = edge.hear
        self.edges[edge_id], self.boxes[edge_id] = edge, [edge]
        wan = self._random(f"{edge_id} wan")
        self.ups[edge_id] = Line(
            agenda, wan, self.weather, f"{edge_id} up", lambda x: self._at_broker(edge_id, x)
        )
        self.downs[edge_id] = Line(
            agenda, wan, self.weather, f"{edge_id} down", lambda x: self._to_boxes(edge_id, x)
        )
        self.plug(edge)

    def plug(self, edge: EdgeProcess) -> None:
        """Give a machine its line to central's broker."""
        edge.publish = lambda words: self.ups[edge.edge_id].send(list(words))  # type: ignore[method-assign]

    def _to_boxes(self, edge_id: str, messages: list[object]) -> None:
        for box in self.boxes[edge_id]:
            box.take(messages)

    def _at_broker(self, edge_id: str, messages: list[object]) -> None:
        for_central: list[object] = []
        for message in messages:
            assert isinstance(message, Words)
            _, kind = parse_up(message.topic)
            if kind.startswith(f"{TASKS}/"):
                self.downs[kind.removeprefix(f"{TASKS}/")].send([message])
            else:
                for_central.append(Message(message.topic, message.payload))
        if for_central:
            self.central.take(for_central)

    def _tell(self, messages: list[Message]) -> None:
        bundles: dict[str, list[object]] = {}
        for topic, payload in messages:
            device, _ = parse_down(topic)
            if device != ADMIN:
                bundles.setdefault(device, []).append(Words(topic, payload))
        for edge_id, bundle in bundles.items():
            self.downs[edge_id].send(bundle)

    # The operator.

    def publish_network(self, network: Network) -> None:
        """Hand a network to central; lost if it is down."""
        self.network = network
        self.ask(NETWORK, network)

    def ask(self, kind: str, request: Struct) -> None:
        """Ask something of central; lost if it is down."""
        self.central.take([Message(up(ADMIN, kind), msgspec.json.encode(request))])

    def fence(self, edge_id: str) -> None:
        """Fence an edge; lost if central is down."""
        self.agenda.note(f"an operator fences {edge_id}")
        self._fenced_ms[edge_id] = self.agenda.now_ms
        self.accidents.kill_clones(edge_id)
        self.ask(FENCE, Fence(edge_id=edge_id))

    def _operate(self) -> None:
        self.agenda.after(OPERATOR_MS, "an operator looks", self._operate)
        for edge_id, edge in self.edges.items():
            if edge.core is None:
                continue
            unfit = edge.core.sync.refused or edge.core.engine.state.unfit
            patience_ms = self._fenced_ms.get(edge_id, -FENCE_AGAIN_MS) + FENCE_AGAIN_MS
            if unfit and self.agenda.now_ms >= patience_ms:
                self.fence(edge_id)

    # The run.

    def run(self) -> Result:
        """Run it to its end."""
        violation = None
        try:
            self._open_doors()
            while self.agenda.steps < self.scenario.steps:
                self.agenda.step()
            self.heal()
            self._rest()
            check_rest(self)
        except ViolationError as error:
            violation = self._violation(error.invariant, error.detail)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the product's or ours
            where = traceback.extract_tb(error.__traceback__)[-1]
            detail = f"{error!r} in {Path(where.filename).name}:{where.lineno}"
            violation = self._violation("fault", detail)
        finally:
            self.close()
        return Result(
            seed=self.scenario.seed,
            steps=self.agenda.steps,
            trace=self.agenda.trace(),
            measures=self.checks.measures,
            faults=dict(sorted(self._faults().items())),
            violation=violation,
        )

    def _faults(self) -> dict[str, int]:
        lost = sum(line.lost for line in (*self.ups.values(), *self.downs.values()))
        return {**self.accidents.count, "messages lost": lost}

    def _violation(self, invariant: str, detail: str) -> Violation:
        return Violation(
            seed=self.scenario.seed,
            step=self.agenda.steps,
            invariant=invariant,
            detail=detail,
            replay=self.scenario.replay(),
            last=list(self.agenda.last),
        )

    def close(self) -> None:
        """Take everything down."""
        for boxes in self.boxes.values():
            for box in boxes:
                box.die(1.0)
        self.central.die(1.0)
        for disk in self.disks:
            disk.close()

    def _open_doors(self) -> None:
        self.central.start()
        self.publish_network(self.network)
        for edge in self.edges.values():
            edge.start()
            edge.connect()
        random = self._random("opening")
        for warehouse in self.warehouses:
            big = warehouse.node_id.startswith("dc")
            for sku in self.world.skus:
                if random.random() < (0.8 if big else 0.5):
                    units = random.randint(1, 12 if big else 3)
                    delay_ms = random.randint(500, 6_000)
                    self.agenda.after(
                        delay_ms, f"{warehouse.node_id} opens",
                        _receives(warehouse, sku, units),
                    )  # fmt: skip
        self._trade()
        self._operate()
        self.accidents.begin()

    def _trade(self) -> None:
        """Somebody in a shop or a warehouse does something."""
        if self.healed_ms is not None:
            return
        random = self._devices
        who: Till | Warehouse
        who = random.choice(self.tills) if random.random() < 0.5 else random.choice(self.warehouses)
        name = who.device if isinstance(who, Till) else who.node_id
        # The more edges, the busier the company.
        delay_ms = random.randint(80, 2_000) // len(self.edges)
        self.agenda.after(delay_ms, f"{name} acts", lambda: self._act(who))

    def _act(self, who: Till | Warehouse) -> None:
        if self.healed_ms is None:
            who.act()
        self._trade()

    def heal(self) -> None:
        """No more accidents, no more trade; everything is repaired and started."""
        self.agenda.note("all heals")
        self.healed_ms = self.agenda.now_ms
        self.accidents.end()

    def _rest(self) -> None:
        assert self.healed_ms is not None
        seen: object = None
        since_ms = self.agenda.now_ms
        while True:
            for _ in range(20):
                self.agenda.step()
            calm, state = is_at_rest(self)
            if not calm or state != seen:
                seen, since_ms = state, self.agenda.now_ms
            elif self.agenda.now_ms - since_ms > QUIET_MS:
                return
            if self.agenda.now_ms - self.healed_ms > HEAL_MS_MAX:
                raise ViolationError("rest", f"it never comes to rest: {state}")


def _receives(warehouse: Warehouse, sku: str, units: int) -> Callable[[], None]:
    return lambda: warehouse.receive(sku, units)


@cache
def _images() -> tuple[Image, Image]:
    """A new edge's disk and a new central's: made once, since making tables takes longest."""
    with Disk() as disk:
        Store(disk.path(FILE_NAME), vfs=VFS_NAME).close()
        edge = disk.snapshot()
    with Disk() as disk:
        close_database(open_database(disk.folder, vfs=VFS_NAME))
        central = disk.snapshot()
    return edge, central
