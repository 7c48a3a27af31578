"""Timeline and why of random orders in a large ledger: how long one answer takes.

`python -m tests.bench.tracing --events 1000000` makes the ledger in a temporary folder. Nine orders
in ten have seven events; every tenth has ten lines, three packages, a shortage and another route:
some thirty. The order of the questions is random, and each order is asked about once, so that
nothing of it is in a cache.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import structlog

from central.checkpoint import make_key
from central.database import close_database, open_database
from central.rebuild import rebuild_file
from central.tracing import Tracer, tracer
from shared.events import (
    OrderAccepted,
    OrderParked,
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
    PickRequested,
    PickShort,
    RoutePlanned,
)
from shared.parts import Line, Plan, PlannedLine
from tests.bench.ledger import fill, live, timed
from tests.central_scene import (
    NOW_MS,
    Scene,
    ScriptedEdge,
    accepted,
    plan,
    received,
    requested,
    shortage,
)

LINES: Final = 10
P99_MS_MAX: Final = 10.0


def main() -> int:
    """Measure; 0 if both answers are fast enough."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    asked.add_argument("--events", type=int, default=1_000_000)
    asked.add_argument("--orders", type=int, default=2_000, help="How many are asked about.")
    asked.add_argument("--rebuild", action="store_true", help="Measure the views' rebuild too.")
    options = asked.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.events, options.orders, rebuild=options.rebuild)
    figures["load"] = [round(x, 1) for x in os.getloadavg()]
    print(json.dumps(figures, indent=1))
    slowest = max(figures[x]["p99_ms"] for x in ("timeline", "why"))
    return 0 if slowest <= P99_MS_MAX else 1


def measure(folder: Path, events: int, orders: int, *, rebuild: bool) -> dict[str, Any]:
    """All figures of one ledger, made in a folder."""
    make_key(folder / "key")
    data = folder / "data"
    lives = Lives()
    figures: dict[str, Any] = {"ingest": fill(data, folder / "key", events, lives.tell)}
    began_s = time.perf_counter()
    connection = open_database(data)
    Scene(connection)
    figures["start_s"] = round(time.perf_counter() - began_s, 3)
    close_database(connection)
    chosen = Random(1).sample(lives.told[: len(lives.told) * 9 // 10], 2 * orders)
    with tracer(data) as asked:
        figures["timeline"] = answers(asked, chosen[:orders], lambda x: asked.timeline(x))
        figures["why"] = answers(asked, chosen[orders:], lambda x: asked.why(x, NOW_MS))
    if rebuild:
        entries = figures["ingest"]["events"]
        compared, figures["rebuild"] = timed(entries, lambda: rebuild_file(data, now_ms=NOW_MS))
        assert compared.differing() == []
    return figures


def answers(asked: Tracer, chosen: list[str], ask: Callable[[str], Any]) -> dict[str, float]:
    """How long each answer took, with its JSON."""
    asked.timeline(chosen[0])  # The statements are compiled once.
    took_ms = []
    for order_id in chosen:
        began_s = time.perf_counter()
        msgspec.json.encode(ask(order_id))
        took_ms.append((time.perf_counter() - began_s) * 1_000)
    took_ms.sort()
    return {
        "orders": len(took_ms),
        "p50_ms": round(took_ms[len(took_ms) // 2], 2),
        "p99_ms": round(took_ms[len(took_ms) * 99 // 100], 2),
        "max_ms": round(took_ms[-1], 2),
    }


class Lives:
    """Lives of orders, short ones and long ones, written into the logs of edges."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, edge: ScriptedEdge, order_id: str, *, receive: bool) -> None:
        """The next life."""
        self.told.append(order_id)
        if len(self.told) % 10:
            live(edge, order_id, receive=receive)
        else:
            long(edge, order_id)


def long(edge: ScriptedEdge, order_id: str) -> None:
    """Three packages; one goes short and its line is planned anew."""
    lines = [PlannedLine(line=n, sku="A", quantity=1) for n in range(LINES)]
    parts = [lines[:3], lines[3:6], lines[6:]]
    whole = plan("dc", "A", 1)
    whole = _packages(whole, parts)
    answer: OrderAccepted = accepted(order_id, whole)
    payment = msgspec.structs.replace(
        answer.payment, lines=[Line(sku="A", quantity=1) for _ in range(LINES)]
    )
    edge.say(received("dc", A=LINES))
    edge.say(msgspec.structs.replace(answer, payment=payment), order_id)
    tasks = [_ask(edge, order_id, number, part) for number, part in enumerate(parts)]
    missing = [parts[0][0]]
    edge.say(PickShort(**tasks[0], missing=missing), order_id)
    edge.say(OrderParked(order_id=order_id, parked=shortage("A", 1)), order_id)
    edge.say(RoutePlanned(order_id=order_id, plan=_packages(whole, [missing])), order_id)
    tasks.append(_ask(edge, order_id, len(parts), missing))
    parts = [parts[0][1:], parts[1], parts[2], missing]
    for task, part in zip(tasks, parts, strict=True):
        for kind in (PickAccepted, PickCompleted, PackagePacked):
            edge.say(kind(**task), order_id)
        edge.say(PackageShipped(**task, lines=part), order_id)
        edge.say(PackageDelivered(**task), order_id)


def _ask(
    edge: ScriptedEdge, order_id: str, number: int, lines: list[PlannedLine]
) -> dict[str, Any]:
    request: PickRequested = requested(order_id, "dc", "A", 1, home=edge.edge_id)
    task_id = f"{order_id}.0.{number}"
    edge.say(msgspec.structs.replace(request, task_id=task_id, lines=lines), order_id)
    return {"task_id": task_id, "node_id": "dc", "home_edge_id": edge.edge_id}


def _packages(of: Plan, parts: list[list[PlannedLine]]) -> Plan:
    packages = [
        msgspec.structs.replace(of.packages[0], package=n, lines=part)
        for n, part in enumerate(parts)
    ]
    return msgspec.structs.replace(of, packages=packages)


if __name__ == "__main__":
    sys.exit(main())
