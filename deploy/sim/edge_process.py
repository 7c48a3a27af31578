"""One virtual edge process around the real core: its disk, its clock, its line, its deaths.

It does by events what `edge.daemon`, `edge.dispatcher` and `edge.uplink` do on a loop: a burst
is decided, committed, and only then said and acknowledged; the store is not read by anybody
while a commit is under way.
"""

from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from deploy.sim.agenda import Agenda
from deploy.sim.disk import Disk
from deploy.sim.scenario import START_MS
from deploy.sim.site import Site
from deploy.sim.vfs import VFS_NAME
from edge.burst import Burst, Outcome
from edge.config import LogLimits
from edge.core import ASK_MS_MAX, REST_MS, Core
from edge.generation import Generation
from edge.intake import Message
from edge.records import Send
from edge.start import generation_of, start
from edge.store import FILE_NAME, Store
from edge.sync import Words
from shared.errors import StorageError
from shared.events import RouteRequested

BURST_MESSAGES_MAX: Final = 128
PULSE_MS: Final = (1_200, 2_600)
REMIND_MS: Final = 15_000
COMMIT_MS: Final = (1, 6)
STALL_MS: Final = (300, 720)
LOG_LIMITS: Final = LogLimits(outbox_rows_max=100_000, log_days=30)
_QUESTIONS: Final = f"/{RouteRequested.kind}"


class Watcher(Protocol):
    """Who looks at what becomes durable, and at what is said."""

    def edge_started(self, edge: "EdgeProcess") -> None:
        """A store was opened and read."""
        ...

    def edge_committed(self, edge: "EdgeProcess") -> None:
        """A commit has returned."""
        ...

    def edge_said(self, edge: "EdgeProcess", burst: Burst, outcome: Outcome) -> None:
        """A burst is settled: this is about to be said."""
        ...

    def edge_answered(self, edge: "EdgeProcess", sends: list[Send]) -> None:
        """Questions were answered from memory."""
        ...

    def edge_spoke(self, edge: "EdgeProcess", words: list[Words]) -> None:
        """This is about to be said to central."""
        ...


class EdgeProcess:
    """A machine with an edge on it; the process lives and dies.

    Args:
        edge_id: the edge.
        agenda: when things happen.
        random: decides whatever the machine leaves open.
        disk: the machine's.
        site: its local network; None: it has none.
        watcher: looks on.

    Attributes:
        core: of the living process; None: it is dead.
        mark: what is remembered of the store outside of it.
        inode: identity of the database file.
        offset_ms: what the machine's clock is ahead by.
        online: its line to central's broker stands, as far as the process knows.
        reachable: whether that line can stand at all.
        want_up: whether somebody starts the process again when it is dead.
        name: for the trace.
    """

    def __init__(
        self, edge_id: str, agenda: Agenda, random: Random, disk: Disk, site: Site | None,
        watcher: Watcher,
    ) -> None:  # fmt: skip
        """See the class."""
        self.edge_id = edge_id
        self.agenda = agenda
        self.random = random
        self.disk = disk
        self.site = site
        self.watcher = watcher
        self.core: Core | None = None
        self.mark: Generation | None = None
        self.inode = 1
        self.offset_ms = 0
        self.online = False
        self.reachable = True
        self.want_up = True
        self.name = edge_id
        self._life = 0
        self._elapsed_0_ms = random.randint(0, 10**9)
        self._intake: list[Message] = []
        self._questions: list[Message] = []
        self._turn_due = False
        self._speak_due = False
        self._reminded_ms = 0

    # Life and death.

    def now_ms(self) -> int:
        """What the machine's clock shows."""
        return START_MS + self.agenda.now_ms + self.offset_ms

    def elapsed_ms(self) -> int:
        """Of a clock that only moves forward."""
        return self._elapsed_0_ms + self.agenda.now_ms

    def start(self) -> None:
        """Start the process, as `edge.daemon` does; tries again while the disk does not let it."""
        if self.core is not None or not self.want_up:
            return
        store = None
        try:
            store = Store(self.disk.path(FILE_NAME), vfs=VFS_NAME)
            boot = f"{self.random.getrandbits(64):016x}"
            mark = self.mark
            boots, found = start(store, self.edge_id, mark, self.inode, boot, self.now_ms())
            self.mark = mark if found is None else found
            core = Core(self.edge_id, store, boots, LOG_LIMITS, self.now_ms())
        except StorageError:
            if store is not None:
                store.close()
            self.disk.cut_in = ""
            delay_ms = self.random.randint(500, 2_000)
            self.agenda.after(delay_ms, f"{self.name} starts again", self.start)
            return
        self._life += 1
        self.core = core
        self._turn_due = self._speak_due = False
        self._intake, self._questions = [], []
        self.watcher.edge_started(self)
        if self.site is not None:
            for message in self.site.unacked.values():
                self.hear(message)
            core.resend_all()
        self._after(self.random.randint(*PULSE_MS), "pulse", self._pulse)
        self.wake()

    def die(self, keep: float) -> None:
        """Kill the process: 1 keeps what the kernel had, less is a power cut."""
        if self.core is None:
            return
        self.disk.cut(self.random, keep)
        self._bury()

    def _bury(self) -> None:
        """The disk has lost its power, so the process is dead as well."""
        if self.core is not None:
            self.core.store.close()
        self.core, self.online = None, False
        self._life += 1

    def perished(self) -> bool:
        """Whether a power cut has come in the midst of an operation; then the process is dead."""
        if self.disk.cut_in == "" or self.core is None:
            return False
        self.disk.cut_in = ""
        self.agenda.note(f"{self.name} loses its power in the midst of writing")
        self._bury()
        self.agenda.after(self.random.randint(200, 4_000), f"{self.name} starts", self.start)
        return True

    def _stop(self) -> None:
        """The disk cannot even be read: the daemon ends, and is started again."""
        if not self.perished():
            self.agenda.note(f"{self.name} stops: its disk cannot be read")
            self._bury()
            self.agenda.after(1_000, f"{self.name} starts", self.start)

    def _after(self, delay_ms: int, what: str, action: Callable[[], None]) -> None:
        life = self._life

        def act() -> None:
            if life == self._life and self.core is not None:
                action()

        self.agenda.after(delay_ms, f"{self.name} {what}", act)

    # The site.

    def hear(self, message: Message) -> None:
        """A device's message."""
        if self.core is None:
            return
        (self._questions if message.topic.endswith(_QUESTIONS) else self._intake).append(message)
        self.wake()

    def lan_lost(self) -> None:
        """The site's broker is gone and back; what is not acknowledged comes again."""
        if self.core is None or self.site is None:
            return
        self._intake, self._questions = [], []
        self.core.forget_asks()
        self.core.resend_all()
        for message in self.site.unacked.values():
            self.hear(message)
        self.wake()

    # Turns.

    def wake(self, delay_ms: int | None = None) -> None:
        """There is something to do."""
        if self.core is None or (self._turn_due and delay_ms is None):
            return
        if delay_ms is None:
            self._turn_due = True
            delay_ms = self.random.randint(1, 4)
        self._after(delay_ms, "turn", self._turn)

    def _turn(self) -> None:
        core = self.core
        assert core is not None
        self._turn_due = False
        questions, self._questions = self._questions, []
        for question in questions:
            sends = core.answer(question, self.now_ms())
            self.watcher.edge_answered(self, sends)
            self._say(sends)
            self._acknowledge(question)
        if core.committing:
            return
        messages = self._intake[:BURST_MESSAGES_MAX]
        del self._intake[:BURST_MESSAGES_MAX]
        try:
            burst = core.decide(messages, self.now_ms(), self.elapsed_ms())
        except StorageError:
            self._stop()
            return
        if burst.asked:
            self._after(ASK_MS_MAX, "asked long enough", self.wake)
        if not core.store.dirty:
            self._settle(burst)
        elif self.random.random() < 0.8:
            self._commit(burst)
        else:
            core.committing = True
            stalls = self.random.random() < 0.1
            delay_ms = self.random.randint(*(STALL_MS if stalls else COMMIT_MS))
            self._after(delay_ms, "commits", lambda: self._commit(burst))

    def _commit(self, burst: Burst) -> None:
        core = self.core
        assert core is not None
        try:
            core.store.commit()
        except StorageError as error:
            if self.perished():
                return
            core.committing = False
            try:
                core.undo(burst, error, self.now_ms(), self.elapsed_ms())
            except StorageError:
                self._stop()
                return
            self.wake(REST_MS)
        else:
            if self.perished():
                return  # the power went while the log was emptied, after the commit
            core.committing = False
            self.watcher.edge_committed(self)
        self._settle(burst)

    def _settle(self, burst: Burst) -> None:
        core = self.core
        assert core is not None
        outcome = core.settle(burst, self.now_ms())
        if outcome.rejoined:
            self.mark = generation_of(core.store, self.inode)
        self.watcher.edge_said(self, burst, outcome)
        self._say(outcome.sends)
        for message in outcome.done:
            self._acknowledge(message)
        if self._intake or self._questions or core.has_work(self.elapsed_ms()):
            self.wake()
        self.speak()

    def _say(self, sends: list[Send]) -> None:
        if self.site is not None:
            self.site.say(sends)

    def _acknowledge(self, message: Message) -> None:
        if self.site is not None:
            self.site.acknowledge(message)

    # Central.

    def connect(self) -> None:
        """The line to central's broker stands, anew."""
        if self.core is not None and self.reachable:
            self.core.sync.disconnected()
            self.online = True
            self.core.sync.connected()
            self.speak()

    def disconnect(self) -> None:
        """The process notices that the line is gone."""
        self.online = False
        if self.core is not None:
            self.core.sync.disconnected()

    def take(self, messages: list[object]) -> None:
        """Messages from central or a peer."""
        core = self.core
        if core is None or not self.online:
            return
        for message in messages:
            assert isinstance(message, Words)
            core.sync.take(message.topic, message.payload, self.elapsed_ms())
        self.wake()

    def speak(self) -> None:
        """Say whatever is to be said now."""
        core = self.core
        if core is None or not self.online or core.committing:
            return
        while words := core.sync.next_words(self.elapsed_ms()):
            self.watcher.edge_spoke(self, words)
            self.publish(words)
            core.sync.said(words, self.elapsed_ms())

    def publish(self, words: list[Words]) -> None:
        """Hand words to central's broker; the world sets how."""
        raise NotImplementedError

    def _pulse(self) -> None:
        """What the daemon does now and then: housekeeping, marks, reminders, signs of life."""
        core = self.core
        assert core is not None
        self._after(self.random.randint(*PULSE_MS), "pulse", self._pulse)
        if core.committing:
            return
        if not self.online:
            self.connect()
        if not core.engine.state.unfit:
            self.mark = generation_of(core.store, self.inode)
        if self.agenda.now_ms - self._reminded_ms >= REMIND_MS:
            self._reminded_ms = self.agenda.now_ms
            self._say([Send(x.request.node_id, x.request.kind, x.event) for x in core.reminders()])
        self.speak()
        self._turn()
