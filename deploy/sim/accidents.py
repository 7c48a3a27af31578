"""What goes wrong with machines, lines and brokers, and when."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from central.admin import PRICES, ROLLBACK, SOURCING, Rollback
from deploy.sim.central_process import CentralProcess
from deploy.sim.edge_process import EdgeProcess
from deploy.sim.scenario import START_MS
from deploy.sim.vfs import VFS_NAME
from edge.generation import Generation
from edge.intake import Message
from edge.store import FILE_NAME, Store
from shared.clock import to_datetime
from shared.envelope import decode_event
from shared.events import Payment
from shared.network import Node
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.topics import up

if TYPE_CHECKING:
    from deploy.sim.simulation import Simulation

TEN_YEARS_MS: Final = 10 * 365 * 86_400_000


class Accidents:
    """Draws accidents, and puts things right again after a while.

    Attributes:
        count: accidents by class.
    """

    def __init__(self, simulation: "Simulation", random: Random) -> None:
        """See the class."""
        self.count: Counter[str] = Counter()
        self._simulation = simulation
        self._random = random
        self._cut: dict[str, int] = {}
        self._over = False

    def begin(self) -> None:
        """From now on something may happen."""
        if self._simulation.weather.accidents and not self._over:
            calm_ms = self._simulation.weather.calm_ms
            delay_ms = self._random.randint(calm_ms // 2, calm_ms * 3 // 2)
            self._simulation.agenda.after(delay_ms, "an accident", self._strike)

    def end(self) -> None:
        """Everything is repaired, and started."""
        self._over = True
        simulation = self._simulation
        for line in (*simulation.ups.values(), *simulation.downs.values()):
            line.cut = False
            line.calm()
        for edge_id, edge in simulation.edges.items():
            self.kill_clones(edge_id)
            edge.disk.free()
            edge.reachable = True
            edge.start()
            edge.connect()
        simulation.central.disk.free()
        simulation.central.start()
        nodes = [msgspec.structs.replace(x, status="open") for x in simulation.network.nodes]
        if nodes != simulation.network.nodes:
            self._publish(nodes)

    def kill_clones(self, edge_id: str) -> None:
        """Find the copies of an edge's machine, and switch them off."""
        boxes = self._simulation.boxes[edge_id]
        for clone in boxes[1:]:
            clone.want_up = False
            clone.die(1.0)
            clone.disk.close()
        del boxes[1:]

    def _strike(self) -> None:
        if self._over:
            return
        weights = self._simulation.weather.accidents
        names = list(weights)
        name = self._random.choices(names, [weights[x] for x in names])[0]
        edge_id = self._random.choice(self._simulation.world.edges)
        self.count[name] += 1
        getattr(self, f"_strike_{name}")(self._simulation.edges[edge_id])
        self.begin()

    def _later(self, delay_ms: tuple[int, int], what: str, action: Callable[[], object]) -> None:
        def act() -> None:
            if not self._over:
                action()

        self._simulation.agenda.after(self._random.randint(*delay_ms), what, act)

    def _note(self, what: str) -> None:
        self._simulation.agenda.note(what)

    # Lines and brokers.

    def _strike_partitions(self, edge: EdgeProcess) -> None:
        self.cut_off(edge, (1_000, 25_000))

    def cut_off(self, edge: EdgeProcess, for_ms: tuple[int, int]) -> None:
        """Cut an edge's line to central, for a while; it may notice or not."""
        simulation, edge_id = self._simulation, edge.edge_id
        noticed = self._random.random() < 0.6
        self._note(f"{edge_id} is cut off" + (", and notices" if noticed else ""))
        for line in (simulation.ups[edge_id], simulation.downs[edge_id]):
            line.cut = True
        edge.reachable = False
        number = self._cut[edge_id] = self._cut.get(edge_id, 0) + 1
        if noticed:
            edge.disconnect()

        def mend() -> None:
            if self._cut[edge_id] != number:
                return
            for line in (simulation.ups[edge_id], simulation.downs[edge_id]):
                line.cut = False
            edge.reachable = True
            if noticed or self._random.random() < 0.5:
                edge.connect()

        self._later(for_ms, f"{edge_id} is reachable again", mend)

    def _strike_forgets(self, _: EdgeProcess) -> None:
        self._note("central's broker forgets everything")
        simulation = self._simulation
        for line in (*simulation.ups.values(), *simulation.downs.values()):
            line.forget()
        for edge in simulation.edges.values():
            edge.disconnect()
            self._later((50, 3_000), f"{edge.edge_id} connects", edge.connect)
        self._later((50, 1_500), "central connects", simulation.central.forget)

    def _strike_lan(self, edge: EdgeProcess) -> None:
        self._note(f"{edge.edge_id}'s own broker forgets everything")
        assert edge.site is not None
        edge.site.forget()
        edge.lan_lost()

    # Machines.

    def _strike_crashes(self, edge: EdgeProcess) -> None:
        self._note(f"{edge.edge_id} is killed")
        edge.die(1.0)
        self._later((50, 8_000), f"{edge.edge_id} starts", edge.start)

    def _strike_cuts(self, edge: EdgeProcess) -> None:
        if edge.core is not None and self._random.random() < 0.6:
            operations = self._random.randint(1, 14)
            self._note(f"{edge.edge_id} will lose its power in {operations} operations")
            edge.disk.cut_after(operations, self._random, self._random.random())
            return
        self._note(f"{edge.edge_id} loses its power")
        edge.die(self._random.random())
        self._later((50, 8_000), f"{edge.edge_id} starts", edge.start)

    def _strike_central(self, _: EdgeProcess) -> None:
        central = self._simulation.central
        draw = self._random.random()
        if draw < 0.4 and central.core is not None:
            operations = self._random.randint(1, 30)
            self._note(f"central will lose its power in {operations} operations")
            central.disk.cut_after(operations, self._random, self._random.random())
            return
        self._note("central dies")
        central.die(1.0 if draw < 0.7 else self._random.random())
        self._later((50, 9_000), "central starts", central.start)

    def _strike_clocks(self, edge: EdgeProcess) -> None:
        central = self._random.random() < 0.2
        box: EdgeProcess | CentralProcess = self._simulation.central if central else edge
        choices = (TEN_YEARS_MS, 0, 0, 40_000, -40_000)
        box.offset_ms = self._random.choice(choices)
        self._note(f"{'central' if central else edge.edge_id}'s clock is {box.offset_ms} ms ahead")

    def _strike_full(self, edge: EdgeProcess) -> None:
        central = self._random.random() < 0.2
        disk = self._simulation.central.disk if central else edge.disk
        name = "central" if central else edge.edge_id
        self._note(f"{name}'s disk is nearly full")
        disk.fail_writes_after(self._random.randint(0, 60_000))
        self._later((1_000, 10_000), f"{name}'s disk has room", disk.free)

    def _strike_restores(self, edge: EdgeProcess) -> None:
        image = edge.disk.snapshot()
        self._note(f"{edge.edge_id} is backed up")

        def restore() -> None:
            self._note(f"{edge.edge_id}'s backup is restored")
            book = self._simulation.checks.books[edge.edge_id]
            edge.die(1.0)
            edge.disk.restore(image)
            whole = self._random.random() < 0.3  # A machine's image, not a file: the inode too.
            if whole and book.coherent:
                edge.mark = Generation(
                    inode=edge.inode, position=book.position, feed=book.feed, epoch=book.epoch
                )
            elif not whole:
                edge.inode += 1
            store = Store(edge.disk.path(FILE_NAME), vfs=VFS_NAME)
            position, epochs = store.last_position(), store.epochs()
            feed = int(store.meta("feed", "0"))
            logged = [decode_event(raw) for _, raw in store.log_after(0, position)]
            held = {(event.epoch or 0, event.number()) for event in logged}
            store.close()
            edge.want_up = True
            # The newest backup may be put back after an older one: nothing is lost, if that older
            # one has lost nothing, and nobody has fenced the edge meanwhile.
            whole = (
                edge.mark is not None
                and edge.mark.inode == edge.inode
                and (epochs[-1][0], position, feed) == book.newest
                and book.share_epoch in (0, book.newest[0])
                and not any(entry.void for key, entry in book.said.items() if key in held)
            )
            if book.restored or not whole:
                self._simulation.checks.restore_edge(
                    edge.edge_id, position, epochs, held, whole=whole
                )
            self._later((50, 3_000), f"{edge.edge_id} starts", edge.start)

        self._later((2_000, 30_000), f"{edge.edge_id} is restored", restore)

    def _strike_clones(self, edge: EdgeProcess) -> None:
        simulation = self._simulation
        book = simulation.checks.books[edge.edge_id]
        # Whoever is heard first after a fence is the edge, so an operator looks for copies first.
        if len(simulation.boxes[edge.edge_id]) > 1 or not book.coherent:
            return
        self._note(f"{edge.edge_id}'s disk is copied, and starts elsewhere")
        disk = simulation.new_disk(f"{edge.edge_id}-{len(simulation.disks)}", edge.disk.snapshot())
        clone = EdgeProcess(
            edge.edge_id, simulation.agenda, self._random, disk, None, simulation.checks
        )
        clone.name, clone.mark = f"a copy of {edge.edge_id}", edge.mark
        clone.inode = edge.inode + 1_000
        simulation.plug(clone)
        simulation.boxes[edge.edge_id].append(clone)
        clone.start()
        clone.connect()
        for till in simulation.tills[:2]:
            if till.sales:
                sale = self._random.choice(till.sales)
                clone.hear(Message(up(till.device, Payment.kind), sale.payload, len(sale.payload)))
        self._later((3_000, 15_000), "a copy is found", lambda: self.kill_clones(edge.edge_id))

    # People.

    def _strike_fences(self, edge: EdgeProcess) -> None:
        if self._random.random() < 0.6:
            self.cut_off(edge, (5_000, 20_000))
        self._simulation.fence(edge.edge_id)

    def _strike_networks(self, _: EdgeProcess) -> None:
        nodes = list(self._simulation.network.nodes)
        at = self._random.randrange(len(nodes))
        status = "closed" if nodes[at].status == "open" else "open"
        nodes[at] = msgspec.structs.replace(nodes[at], status=status)
        self._publish(nodes)
        self._publish_rules()

    def _publish(self, nodes: list[Node]) -> None:
        network = self._simulation.network
        self._simulation.publish_network(
            msgspec.structs.replace(network, version=network.version + 1, nodes=nodes)
        )

    def _publish_rules(self) -> None:
        """Something new, something newer, or back; lost if central is down."""
        simulation, number = self._simulation, self.count["networks"]
        kind = self._random.choice((SOURCING, ROLLBACK, PRICES))
        self._note(f"a planner asks for {kind} {number}")
        profile = simulation.network.profile
        if kind == SOURCING:
            simulation.ask(
                kind,
                Sourcing(version=f"s{number}", profiles=[profile], otherwise=profile.version),
            )
        elif kind == PRICES:
            simulation.ask(kind, Prices(version=number, made_at=to_datetime(START_MS)))
        else:
            simulation.ask(kind, Rollback())
