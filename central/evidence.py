"""What `central.reasons` looks at besides an order's own story, and what it answers. Pure.

Evidence is what a view says at the moment of the question: when edges were heard last, how devices
are, what systems were asked and have not answered, what they believe, what was noted. A view that
does not exist yet, or says nothing of the order, leaves its part empty.
"""

from datetime import datetime

from msgspec import Struct

from central.desk import OrderState


class Heard(Struct, frozen=True):
    """An edge: when central heard it last, and whether its epoch was ended by an operator."""

    edge_id: str
    last_seen_at: datetime | None = None
    fenced: bool = False


class Fault(Struct, frozen=True):
    """A fault that a device has reported; `until` is when it was over, None: it lasts."""

    code: str
    since: datetime
    detail: str = ""
    part: str = ""
    until: datetime | None = None


class DeviceHealth(Struct, frozen=True, kw_only=True):
    """A device as its edge has told last; a warehouse's own device has the name of its node.

    Attributes:
        online: None: nothing is known.
        since: when it came online or was lost.
        last_seen_at: when its edge had heard it last then.
        faults: those that last, and those of late that are over.
    """

    device: str
    online: bool | None = None
    since: datetime | None = None
    last_seen_at: datetime | None = None
    faults: list[Fault] = []


class Awaited(Struct, frozen=True, kw_only=True):
    """An answer that a system owes.

    Attributes:
        asked: the kind of the command.
        event_id: the command's.
        missed: the time limit has passed, and it was noted.
        blocks: the order should not go on without it.
        last_seen_at: the system's last sign of life.
    """

    system: str
    asked: str
    asked_at: datetime
    due_at: datetime
    event_id: str | None = None
    missed: bool = False
    blocks: bool = True
    last_seen_at: datetime | None = None


class Belief(Struct, frozen=True, kw_only=True):
    """What another system believes of the order, in its own word, and whether that is so."""

    system: str
    word: str
    agrees: bool
    since: datetime


class Noted(Struct, frozen=True):
    """An exception record of the order, and whose event it was noted at, if any."""

    code: str
    detail: str
    at: datetime
    by: str | None = None


class Coming(Struct, frozen=True):
    """Units on their way to a node, or in inspection there."""

    node_id: str
    sku: str
    units: int
    expected_at: datetime
    lot_id: str


class InFile(Struct, frozen=True):
    """A part of the ledger that was moved to a file: its positions, and when that was."""

    file: str
    first: int
    last: int
    moved_at: datetime


class Evidence(Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        home: which edge speaks for which node.
        devices: those at the nodes of open tasks, by node.
        till: the one that sold the order.
    """

    home: dict[str, str] = {}
    edges: dict[str, Heard] = {}
    devices: dict[str, list[DeviceHealth]] = {}
    till: DeviceHealth | None = None
    awaited: list[Awaited] = []
    beliefs: list[Belief] = []
    exceptions: list[Noted] = []
    coming: list[Coming] = []


class Patience(Struct, frozen=True):
    """How long something may take that has no time of its own, in seconds.

    Attributes:
        accept_s: from a task to its acceptance, if it is not to be ready earlier.
        ship_s: from when a package is to be ready to when it leaves.
        silent_s: an edge says hello every five seconds; the database has it up to 60 s late.
        follow_s: from a failed pick to what the order's edge says of it.
    """

    accept_s: float = 900
    ship_s: float = 86_400
    silent_s: float = 180
    follow_s: float = 60


class Fact(Struct, frozen=True):
    """A piece of evidence: a sentence, and the moment that it is about."""

    at: datetime | None
    text: str


class Reason(Struct, frozen=True, kw_only=True):
    """One thing that an order waits for, or that somebody has to look at.

    Attributes:
        code: stable name of the case.
        what: one sentence.
        since: since when.
        by: the node, edge or system whose move it is.
        blocks: the order cannot go on without it; else it is worth knowing.
        facts: the evidence, oldest first.
    """

    code: str
    what: str
    since: datetime | None
    by: str | None
    blocks: bool
    facts: list[Fact]


class Why(Struct, kw_only=True):
    """The answer: where the order is stuck, or what comes next.

    Attributes:
        what: the answer in one sentence.
        since, by: of the first reason that blocks.
        reasons: those that block first.
        next: what is expected next, if nothing blocks.
        next_by: until when.
    """

    order_id: str
    state: OrderState
    asked_at: datetime
    stuck: bool
    what: str
    since: datetime | None = None
    by: str | None = None
    reasons: list[Reason]
    next: str | None = None
    next_by: datetime | None = None
