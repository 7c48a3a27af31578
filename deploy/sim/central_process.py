"""Central as a virtual process around the real core: its disk, its clock, its deaths."""

from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from central.admin import ADMIN, Message
from central.core import Central
from central.database import Database, close_database, open_database
from central.escrow import DemandPolicy
from central.sealing import KEY_BYTES, Keyring
from deploy.sim.agenda import Agenda
from deploy.sim.disk import Disk
from deploy.sim.scenario import START_MS
from deploy.sim.vfs import VFS_NAME
from shared.errors import PointsmanError
from shared.topics import up

BURST_MESSAGES_MAX: Final = 16
TICK_MS: Final = 1_000
MASTER_KEY: Final = bytes(KEY_BYTES)


class Watcher(Protocol):
    """Who looks at what central makes durable."""

    def central_started(self, central: "CentralProcess") -> None:
        """The database was opened and read."""
        ...

    def central_committed(self, central: "CentralProcess") -> None:
        """Something may have become durable."""
        ...


class CentralProcess:
    """Central's machine.

    Attributes:
        core: of the living process; None: it is dead.
        connection: its database.
        tell: given what is to be published.
    """

    def __init__(
        self,
        agenda: Agenda,
        random: Random,
        disk: Disk,
        policy: DemandPolicy,
        watcher: Watcher,
        tell: Callable[[list[Message]], None],
    ) -> None:
        """See the class."""
        self.agenda = agenda
        self.random = random
        self.disk = disk
        self.core: Central | None = None
        self.connection: Database | None = None
        self.offset_ms = 0
        self._policy = policy
        self._watcher = watcher
        self._tell = tell
        self._inbox: list[Message] = []
        self._due = False
        self._life = 0

    @property
    def busy(self) -> bool:
        """Whether anything waits to be taken in."""
        return bool(self._inbox)

    def now_ms(self) -> int:
        """What the machine's clock shows."""
        return START_MS + self.agenda.now_ms + self.offset_ms

    def start(self) -> None:
        """Open the database and serve."""
        if self.core is not None:
            return
        connection = None
        try:
            connection = open_database(self.disk.folder, vfs=VFS_NAME)
            core = Central(connection, self._policy, Keyring([MASTER_KEY], Random(0).randbytes))
        except PointsmanError:
            if connection is not None:
                self._close(connection)
            self.agenda.after(1_000, "central starts again", self.start)
            return
        self._life += 1
        self.connection, self.core = connection, core
        self._inbox, self._due = [], False
        self._watcher.central_started(self)
        self._tell(core.connected(self.agenda.now_ms))
        self._after(TICK_MS, "central ticks", self._tick)

    def die(self, keep: float) -> None:
        """Kill the process: 1 keeps what the kernel had, less is a power cut."""
        if self.core is not None:
            self.disk.cut(self.random, keep)
            self._bury()

    def _bury(self) -> None:
        if self.connection is not None:
            self._close(self.connection)
        self.core, self.connection = None, None
        self._life += 1

    @staticmethod
    def _close(connection: Database) -> None:
        connection.detach()
        close_database(connection)

    def perished(self) -> bool:
        """Whether a power cut has come in the midst of an operation; then the process is dead."""
        if self.disk.cut_in == "" or self.core is None:
            return False
        self.disk.cut_in = ""
        self.agenda.note("central loses its power in the midst of writing")
        self._bury()
        self.agenda.after(self.random.randint(200, 4_000), "central starts", self.start)
        return True

    def take(self, messages: list[object]) -> None:
        """Messages from edges or an operator."""
        if self.core is None:
            return
        for message in messages:
            assert isinstance(message, Message)
            self._inbox.append(message)
        if not self._due:
            self._due = True
            self._after(self.random.randint(2, 30), "central takes a burst", self._burst)

    def forget(self) -> None:
        """The broker has forgotten all, and is there again."""
        if self.core is not None:
            self._tell(self.core.connected(self.agenda.now_ms))

    def _burst(self) -> None:
        core = self.core
        assert core is not None
        self._due = False
        burst = self._inbox[: self._count()]
        del self._inbox[: len(burst)]
        self._out(core.receive(burst, now_ms=self.now_ms(), elapsed_ms=self.agenda.now_ms))
        if self._inbox and self.core is not None and not self._due:
            self._due = True
            self._after(self.random.randint(2, 30), "central takes a burst", self._burst)

    def _count(self) -> int:
        """Messages of the next burst; what an operator says goes alone, to be looked at alone."""
        for number, message in enumerate(self._inbox[:BURST_MESSAGES_MAX]):
            if message.topic.startswith(up(ADMIN, "")):
                return max(1, number)
        return BURST_MESSAGES_MAX

    def _tick(self) -> None:
        core = self.core
        assert core is not None
        self._after(TICK_MS, "central ticks", self._tick)
        self._out(core.tick(self.agenda.now_ms))

    def _out(self, messages: list[Message]) -> None:
        if self.perished():
            return
        self._watcher.central_committed(self)
        self._tell(messages)

    def _after(self, delay_ms: int, what: str, action: Callable[[], None]) -> None:
        life = self._life

        def act() -> None:
            if life == self._life and self.core is not None:
                action()

        self.agenda.after(delay_ms, what, act)
