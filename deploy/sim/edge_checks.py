"""Looks at the edges: at their disks after every commit, and at all that they say."""

from deploy.sim.books import (
    Cell,
    EdgeBook,
    Entry,
    ViolationError,
    add,
    effects,
    uncovered,
)
from deploy.sim.edge_process import EdgeProcess
from deploy.sim.tally import Tally
from edge.burst import Burst, Outcome
from edge.records import Send
from edge.sync import Words
from shared.envelope import decode_data, decode_event
from shared.errors import InternalError
from shared.events import (
    OrderAccepted,
    OrderCancelled,
    PickKept,
    PickReport,
    PickShort,
    PickWithdrawn,
    RoutePlanned,
    ShareReturned,
)
from shared.topics import TASKS, edge_of


class EdgeChecks(Tally):
    """P1 and P2 of each edge, and that nothing is said before it is durable."""

    def edge_started(self, edge: EdgeProcess) -> None:
        """What was durable must still be there; a commit that was cut short may be."""
        if edge.site is None:
            return
        book = self.books[edge.edge_id]
        assert edge.core is not None
        position = edge.core.store.last_position()
        if position < book.position and not book.restored:
            raise ViolationError(
                "P3", f"{edge.edge_id} has lost its log from {position + 1} to {book.position}"
            )
        self._look(edge)

    def edge_committed(self, edge: EdgeProcess) -> None:
        """See what a commit has added."""
        if edge.site is not None:
            self._look(edge)

    def restore_edge(
        self,
        edge_id: str,
        position: int,
        epochs: list[tuple[int, int]],
        held: set[tuple[int, int]],
        *,
        whole: bool,
    ) -> None:
        """A disk was put back: what it does not hold, by epoch and sequence, is lost.

        Unless it is `whole`: the newest backup, put back after an older one.
        """
        book = self.books[edge_id]
        touched: set[Cell] = set()
        for key, entry in book.said.items():
            if key not in held and not entry.ingested and not entry.void:
                entry.void = True
                self.measures.lost_entries += 1
                touched |= self._undo(entry)
                for cell, units in entry.slack.items():
                    add(self._slack, cell, -units)
                assert key > book.ingested, (key, book.ingested)
        book.restored, book.position = not whole, position
        book.starts, book.epoch = epochs, epochs[-1][0]
        book.pending = {}
        for entry in book.said.values():
            if not (entry.ingested or entry.void or entry.late):
                for effect in entry.effects:
                    add(book.pending, effect.cell, effect.share)
        self._weigh(touched, {}, any_rise=True)

    def _look(self, edge: EdgeProcess) -> None:
        """Read what is new on an edge's disk."""
        core = edge.core
        assert core is not None
        store, book = core.store, self.books[edge.edge_id]
        epochs = store.epochs()
        began = epochs[-1][0] > book.epoch
        if began:
            book.starts, book.epoch = epochs, epochs[-1][0]
            book.pending, book.restored = {}, False
        share = {(node, sku): units for node, sku, units in store.cells() if units}
        touched = {cell for cell, _ in share.items() ^ book.share.items()}
        book.share = share
        feed = int(store.meta("feed", "0"))
        if feed != book.feed:
            book.feed = feed
            for number in [x for x in book.coming if x <= feed]:
                touched |= {cell for cell, _ in book.coming.pop(number)}
        for position, raw in store.log_after(book.position, 1_000_000):
            if position != book.position + 1:
                raise ViolationError("P3", f"{edge.edge_id}'s log has a gap before {position}")
            book.position = position
            touched |= self._take_entry(edge, book, position, raw)
        if began:
            touched |= set(book.central_share)
        self._weigh(touched, {})
        if not book.restored:
            book.newest = (book.epoch, book.position, book.feed)
        if book.coherent:
            self._balance(book)

    def _take_entry(
        self, edge: EdgeProcess, book: EdgeBook, position: int, raw: bytes
    ) -> set[Cell]:
        key = book.key_of(position)
        before = book.said.get(key)
        if before is not None:
            raise ViolationError(
                "P3", f"{book.edge_id} says another thing at {key[1]} of epoch {key[0]}"
            )
        event = decode_event(raw)
        if (event.epoch, event.number()) != key:
            raise ViolationError("P3", f"{book.edge_id}'s entry {event.id} stands at {key}")
        data = decode_data(event)
        found = effects(data)
        entry = book.said[key] = Entry(raw, position, data, found)
        self.agenda.mark(raw)
        self.measures.entries += 1
        for effect in found:
            add(self.owed, effect.cell, effect.owed)
            add(self.made, effect.cell, effect.made)
        # One commit may end an epoch and begin the next.
        if book.coherent and key[0] == book.epoch:
            self._cover(entry, uncovered(data, found))
            for effect in found:
                add(book.pending, effect.cell, effect.share)
        else:
            self._be_late(entry)
        self._check_withdrawal(book, data)
        self._measure(edge, event.id, event.causationid, data)
        return {effect.cell for effect in found}

    def _check_withdrawal(self, book: EdgeBook, data: object) -> None:
        """A task that a warehouse has begun is not taken away from it: its goods may be gone."""
        withdrawn: list[str] = []
        match data:
            case PickWithdrawn(task_id=task_id):
                withdrawn = [task_id]
            case OrderCancelled(withdrawn=named):
                withdrawn = list(named)
            case PickShort() | PickKept():
                pass
            case PickReport(task_id=task_id):
                self._picked.add(task_id)
            case _:
                pass
        for task_id in withdrawn:
            if task_id in self._picked and not self.measures.lost_entries:
                raise ViolationError(
                    "P1", f"{book.edge_id} frees the units of {task_id}, which is being picked"
                )

    def _balance(self, book: EdgeBook) -> None:
        """P2 between an edge and central."""
        expected = dict(book.central_share)
        for number in book.coming.values():
            for cell, units in number:
                add(expected, cell, -units)
        for cell, units in book.pending.items():
            add(expected, cell, units)
        if expected != book.share:
            cells = sorted(cell for cell, _ in expected.items() ^ book.share.items())
            told = [(c, book.share.get(c, 0), expected.get(c, 0)) for c in cells[:3]]
            raise ViolationError(
                "P2", f"{book.edge_id} holds other shares than it was given: "
                f"(cell, held, given) {told}",
            )  # fmt: skip

    def _measure(
        self, edge: EdgeProcess, event_id: str, cause_id: str | None, data: object
    ) -> None:
        measures = self.measures
        match data:
            case OrderAccepted(parked=parked):
                core = edge.core
                assert core is not None
                measures.orders += 1
                if core.sync.near(edge.elapsed_ms()):
                    measures.orders_online += 1
                    measures.parked_needlessly += (
                        self.could_ship(self.books[edge.edge_id], parked) is not None
                    )
            case PickShort():
                measures.shorts += 1
                self._shorts.add(event_id)
            case RoutePlanned(plan=plan) if cause_id in self._shorts and plan is not None:
                measures.shorts_rerouted += 1
            case ShareReturned(cells=cells):
                measures.units_returned += sum(x.quantity for x in cells)
            case _:
                pass
        if isinstance(data, OrderAccepted | RoutePlanned) and data.plan is not None:
            measures.units_sold += sum(
                line.quantity for package in data.plan.packages for line in package.lines
            )

    # What leaves the edges.

    def edge_said(self, edge: EdgeProcess, burst: Burst, outcome: Outcome) -> None:
        """Only what is durable may be said; and no fault of ours may have been met."""
        self.edge_answered(edge, outcome.sends)
        for decision in burst.decisions:
            for peer in decision.peers:
                self._check_said(edge, peer.payload)
            if isinstance(decision.fault, InternalError):
                raise ViolationError(
                    "fault", f"{edge.edge_id} skipped a feed item: {decision.fault.detail}"
                )
        for message, error in burst.refused:
            if isinstance(error, InternalError):
                raise ViolationError(
                    "fault",
                    f"{edge.edge_id}: {error.detail} at {message.topic}: {error.__cause__!r}",
                )

    def edge_answered(self, edge: EdgeProcess, sends: list[Send]) -> None:
        """See above."""
        for send in sends:
            self._check_said(edge, send.payload)

    def edge_spoke(self, edge: EdgeProcess, words: list[Words]) -> None:
        """See above."""
        for topic, payload in words:
            if f"/up/{TASKS}/" in topic:
                self._check_said(edge, payload)

    def _check_said(self, edge: EdgeProcess, payload: bytes) -> None:
        event = decode_event(payload)
        if event.sequence is None:
            return
        if edge.site is None and event.source == f"/edges/{edge.edge_id}":
            raise ViolationError("P1", f"{edge.name} decides, though it is a copy")
        author = edge_of(event.source)
        book = self.books.get(author, self.books[edge.edge_id])
        entry = book.said.get((event.epoch or 0, event.number()))
        if entry is None or entry.raw != payload:
            raise ViolationError("P3", f"{edge.name} says {event.id} before it is durable")
