"""The fault script: what breaks, after how many payments. Drawn from the seed alone."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

Kind = Literal[
    "edge_kill", "broker_kill", "broker_wipe", "central_kill", "stop", "reset", "delay", "halve",
    "cut",
]  # fmt: skip

LINE_FAULTS: Final[tuple[Kind, ...]] = ("reset", "delay", "halve", "cut")

EDGES: Final = ("edge-1", "edge-2")
CENTRAL: Final = "central"

_QUIET_SHARE: Final = 0.02
"""Of the payments, at the beginning and at the end: nothing breaks."""

_EARLY_SHARE: Final = 0.15
"""Of the kills, while the daemon is starting up."""

_AFTER_READY_S_MAX: Final = 1.5
_STARTUP_S: Final = 1.0
_HOLD_S: Final[dict[Kind, tuple[float, float]]] = {
    "broker_kill": (0.0, 1.0),
    "broker_wipe": (0.0, 1.0),
    "stop": (1.0, 4.0),
    "delay": (0.5, 3.0),
    "cut": (0.5, 5.0),
}
"""How long it stays broken, seconds: from, to. What is killed and not here starts at once."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How much is to happen.

    Attributes:
        payments: all edges' tills together.
        edge_kills, central_kills: kill -9 of a daemon.
        broker_kills: kill -9 of a broker that keeps its disk.
        wipes: kill -9 of a broker, and its disk is cleared.
        stops: SIGSTOP of any process, SIGCONT seconds later.
        line_faults: resets, delays, halved packets and cuts of an edge's line to central.
    """

    payments: int
    edge_kills: int = 0
    broker_kills: int = 0
    wipes: int = 0
    central_kills: int = 0
    stops: int = 0
    line_faults: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that breaks.

    Attributes:
        after: payments that have begun by then, at least.
        lane: whom it hits, as `lane_of` names it; the faults of a lane happen one after another.
        delay_s: waited once the target serves again (or, `early`, once it was started).
        hold_s: how long it stays broken.
    """

    after: int
    kind: Kind
    lane: str
    delay_s: float
    hold_s: float = 0.0
    early: bool = False


def daemon_lane(name: str) -> str:
    """The lane of central's or an edge's daemon."""
    return f"daemon {name}"


def broker_lane(name: str) -> str:
    """The lane of central's or an edge's broker."""
    return f"broker {name}"


def line_lane(edge_id: str) -> str:
    """The lane of an edge's line to central."""
    return f"line {edge_id}"


def plan(seed: int, figures: Figures, edges: Sequence[str] = EDGES) -> list[Fault]:
    """The whole script, in the order in which it happens.

    Args:
        seed: the same seed and figures give the same script.
        figures: how much of each.
        edges: ids of the edges.
    """
    lots = random.Random(f"faults {seed}")
    daemons = [daemon_lane(edge_id) for edge_id in edges]
    brokers = [broker_lane(name) for name in (CENTRAL, *edges)]
    lines = [line_lane(edge_id) for edge_id in edges]
    everybody = [*daemons, *brokers, daemon_lane(CENTRAL)]
    wanted: list[tuple[Kind, int, list[str]]] = [
        ("edge_kill", figures.edge_kills, daemons),
        ("broker_kill", figures.broker_kills, brokers),
        ("broker_wipe", figures.wipes, brokers),
        ("central_kill", figures.central_kills, [daemon_lane(CENTRAL)]),
        ("stop", figures.stops, everybody),
        *((kind, count, lines) for kind, count in _shared(figures.line_faults)),
    ]
    first = int(figures.payments * _QUIET_SHARE)
    faults = []
    for kind, count, lanes in wanted:
        for number in range(count):
            early = kind in ("edge_kill", "central_kill") and lots.random() < _EARLY_SHARE
            hold_s = lots.uniform(*_HOLD_S[kind]) if kind in _HOLD_S else 0.0
            fault = Fault(
                after=lots.randint(first, figures.payments - first),
                kind=kind,
                # In turn, so that a small run hits each of them too.
                lane=lanes[number % len(lanes)],
                delay_s=round(lots.uniform(0, _STARTUP_S if early else _AFTER_READY_S_MAX), 3),
                hold_s=round(hold_s, 3),
                early=early,
            )
            faults.append(fault)
    return sorted(faults, key=lambda fault: (fault.after, fault.lane, fault.kind, fault.delay_s))


def as_json(faults: Sequence[Fault]) -> list[dict[str, object]]:
    """The script for a file."""
    return [asdict(fault) for fault in faults]


def _shared(count: int) -> list[tuple[Kind, int]]:
    """A number of line faults over their kinds, as evenly as can be."""
    even, rest = divmod(count, len(LINE_FAULTS))
    return [(kind, even + (place < rest)) for place, kind in enumerate(LINE_FAULTS)]
