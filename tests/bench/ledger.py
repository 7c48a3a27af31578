"""A million small events in central's ledger: how fast they are taken in, verified, rebuilt.

Four edges tell the lives of orders, seven events each, and what came in. `make ledger` runs it;
LEDGER_EVENTS says how many events, LEDGER_JSON where the figures go. The rates of processor time
stand beside those of the clock, since others may use the same cores.
"""

import gc
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from central.archive import export_file, import_file, verify_archive
from central.checkpoint import load_signer, make_key
from central.database import close_database, open_database
from central.digest import read_digests
from central.ledger import verify_file
from central.rebuild import rebuild_file
from central.signing import Signing
from shared.events import (
    PackageDelivered,
    PackagePacked,
    PackageShipped,
    PickAccepted,
    PickCompleted,
)
from shared.parts import PlannedLine
from tests.central_scene import (
    NOW_MS,
    Scene,
    ScriptedEdge,
    accepted,
    document,
    plan,
    received,
    requested,
)

EVENTS: Final = int(os.environ.get("LEDGER_EVENTS", "1000000"))
EDGES: Final = ("e1", "e2", "e3", "e4")
BATCH: Final = 128
VERIFY_PER_S_MIN: Final = 100_000
START_S_MAX: Final = 3.0

T = TypeVar("T")


def main() -> int:
    """Measure; 0 if verifying and starting are fast enough and the views agree."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    print(json.dumps(figures, indent=1))
    if path := os.environ.get("LEDGER_JSON"):
        Path(path).write_text(json.dumps(figures, indent=1) + "\n")
    enough = figures["verify"]["per_s"] >= VERIFY_PER_S_MIN
    return 0 if enough and figures["start_s"] <= START_S_MAX else 1


def measure(folder: Path) -> dict[str, Any]:
    """All figures of one ledger, made in a folder."""
    data, other, file = folder / "data", folder / "other", folder / "ledger.jsonl.gz"
    make_key(folder / "key")
    keys = [load_signer(folder / "key").public]
    figures: dict[str, Any] = {"ingest": fill(data, folder / "key")}
    entries = figures["ingest"]["events"]
    figures["bytes"] = (data / "central.db").stat().st_size
    start_s = time.perf_counter()
    connection = open_database(data)
    Scene(connection)
    figures["start_s"] = round(time.perf_counter() - start_s, 3)
    close_database(connection)
    verdict, figures["verify"] = timed(entries, lambda: verify_file(data, keys))
    assert verdict.position is None, verdict
    figures["checkpoints"] = verdict.checkpoints
    before, figures["hash"] = timed(entries, lambda: read_digests(data))
    compared, figures["rebuild"] = timed(entries, lambda: rebuild_file(data, now_ms=NOW_MS))
    assert compared.differing() == []
    _, figures["export"] = timed(entries, lambda: export_file(data, file))
    figures["exported_bytes"] = file.stat().st_size
    verdict, figures["verify_file"] = timed(entries, lambda: verify_archive(file, keys))
    assert verdict.position is None, verdict
    _, figures["import"] = timed(entries, lambda: import_file(other, file, now_ms=NOW_MS))
    assert read_digests(other) == before
    return figures


def timed(entries: int, job: Callable[[], T]) -> tuple[T, dict[str, Any]]:
    """What a job returns, and how many entries it did in a second."""
    gc.collect()
    wall_s, processor_s = time.perf_counter(), time.process_time()
    result = job()
    return result, rates(entries, time.perf_counter() - wall_s, time.process_time() - processor_s)


def rates(entries: int, wall_s: float, processor_s: float) -> dict[str, Any]:
    """Figures for so many entries."""
    return {
        "events": entries,
        "per_s": round(entries / wall_s),
        "per_processor_s": round(entries / processor_s),
    }


def fill(
    data: Path, key: Path, events: int = EVENTS, tell: "Callable[..., None] | None" = None
) -> dict[str, Any]:
    """Let a central take the events in, in bursts of a batch from each edge.

    Args:
        data: central's folder.
        key: file of the key that signs.
        events: how many.
        tell: writes one order's life into an edge's log; see `live`.
    """
    tell = tell or live
    connection = open_database(data)
    stage = Scene(connection)
    stage.publish(document(1, EDGES))
    signing = Signing(connection, load_signer(key))
    edges = [ScriptedEdge(edge_id) for edge_id in EDGES]
    sent = dict.fromkeys(EDGES, 0)
    entries, order, wall_s, processor_s = 0, 0, 0.0, 0.0
    while entries < events:
        burst = []
        for edge in edges:
            while len(edge.log) < sent[edge.edge_id] + BATCH:
                order += 1
                tell(edge, f"o{order:07}", receive=order % 50 == 1)
            burst.append(edge.batch(sent[edge.edge_id] + 1, sent[edge.edge_id] + BATCH))
            sent[edge.edge_id] += BATCH
        entries += BATCH * len(edges)
        began_s, used_s = time.perf_counter(), time.process_time()
        stage.central.receive(burst, now_ms=NOW_MS, elapsed_ms=0)
        signing.tick(0, NOW_MS)
        wall_s += time.perf_counter() - began_s
        processor_s += time.process_time() - used_s
    close_database(connection)
    return rates(entries, wall_s, processor_s)


def live(edge: ScriptedEdge, order_id: str, *, receive: bool) -> None:
    """One order's life."""
    task: dict[str, Any] = {
        "task_id": f"{order_id}.0.0", "node_id": "dc", "home_edge_id": edge.edge_id,
    }  # fmt: skip
    if receive:
        edge.say(received("dc", A=50))
    edge.say(accepted(order_id, plan("dc", "A", 1)), order_id)
    edge.say(requested(order_id, "dc", "A", 1, home=edge.edge_id), order_id)
    edge.say(PickAccepted(**task), order_id)
    edge.say(PickCompleted(**task), order_id)
    edge.say(PackagePacked(**task), order_id)
    lines = [PlannedLine(line=0, sku="A", quantity=1)]
    edge.say(PackageShipped(**task, lines=lines), order_id)
    edge.say(PackageDelivered(**task), order_id)


if __name__ == "__main__":
    sys.exit(main())
