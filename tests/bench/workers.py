"""Ingest on SQLite, and on PostgreSQL by one worker and by two, each beside a bare insert.

The events are those of `tests.bench.ledger`; a burst is four batches, one durable transaction with
all views. The bare insert writes the same bytes, as many in a transaction, into a table with a
number and nothing else: the limit of disk and server. `make workers` runs it; WORKERS_EVENTS says
how many events. Each worker is a process, since two in one would share an interpreter. Rounds take
turns, and the best of each kind counts: others may use the same cores.
"""

import json
import logging
import multiprocessing
import os
import queue
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table

from central.admin import Message
from central.core import Central
from central.database import (
    Location,
    close_database,
    insert_all,
    let_in,
    open_database,
    transaction,
)
from central.escrow import DemandPolicy
from central.ownership import EVERY_MS, Ownership, Sole, Worker
from central.sealing import KEY_BYTES, Keyring
from shared import topics
from shared.envelope import encode_batch
from tests import postgres
from tests.bench.ledger import BATCH, live
from tests.central_scene import NOW_MS, ScriptedEdge, acks, document, scene

EVENTS: Final = int(os.environ.get("WORKERS_EVENTS", "100000"))
EDGES: Final = tuple(f"e{number}" for number in range(1, 9))
BURST: Final = 4
ROUNDS: Final = 3
WAIT_S: Final = 300.0

_BARE: Final = Table(
    "bare", MetaData(), Column("number", BigInteger, primary_key=True), Column("raw", LargeBinary)
)


def main() -> int:
    """Measure; 0 if two workers are faster than one."""
    _quiet()
    rounds: dict[str, list[int]] = {}
    with postgres.running() as server:
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                rounds.setdefault("sqlite", []).append(rate(Path(folder) / "views", 1))
                rounds.setdefault("sqlite, bare", []).append(bare(Path(folder) / "bare"))
            for number in (1, 2):
                found = rate(server.location(server.take()), number)
                rounds.setdefault(f"postgresql, workers: {number}", []).append(found)
            rounds.setdefault("postgresql, bare", []).append(bare(server.location(server.take())))
    load = [round(x, 2) for x in os.getloadavg()]
    print(json.dumps({"events": EVENTS, "per_s": rounds, "load": load}, indent=1))
    return 0 if max(rounds["postgresql, workers: 2"]) > max(rounds["postgresql, workers: 1"]) else 1


def rate(location: Location, workers: int) -> int:
    """Events a second that so many workers take in, from the start of the first to the last end."""
    with scene(location) as stage:
        stage.publish(document(1, EDGES))
    context = multiprocessing.get_context("spawn")
    ready, ends = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=_work, args=(location, workers, ready, ends)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    times = []
    while len(times) < workers:
        try:
            times.append(ends.get(timeout=1.0))
        except queue.Empty:
            assert all(x.is_alive() or x.exitcode == 0 for x in processes), "a worker has failed"
    for process in processes:
        process.join(WAIT_S)
    took_s = max(end for _, end, _ in times) - min(start for start, _, _ in times)
    return round(sum(entries for _, _, entries in times) / took_s)


def _work(location: Location, workers: int, ready: Barrier, ends: Any) -> None:
    _quiet()
    connection = open_database(location, shared=workers > 1)
    if workers > 1:
        let_in(connection)
    ownership: Ownership = Worker() if workers > 1 else Sole()
    keyring = Keyring([bytes(KEY_BYTES)], os.urandom)
    central = Central(connection, DemandPolicy(0.2), keyring, ownership=ownership)
    ready.wait(WAIT_S)  # all are there to be counted
    central.connected(0)
    elapsed_ms = 0
    while len(mine := [x for x in EDGES if ownership.owns(x)]) < len(EDGES) // workers:
        elapsed_ms += EVERY_MS  # another was faster to take the same ones
        central.tick(elapsed_ms)
    bursts = list(_bursts(mine, EVENTS // workers))
    ready.wait(WAIT_S)
    start_s = time.monotonic()
    for burst in bursts:
        assert acks(central.receive(burst, now_ms=NOW_MS, elapsed_ms=0))
    end_s = time.monotonic()
    ends.put((start_s, end_s, len(bursts) * BURST * BATCH))
    close_database(connection)


def _bursts(edge_ids: list[str], events: int) -> Iterator[list[Message]]:
    edges = [ScriptedEdge(edge_id) for edge_id in edge_ids]
    sent, order, turn = dict.fromkeys(edge_ids, 0), 0, 0
    for _ in range(events // (BURST * BATCH)):
        burst = []
        for _ in range(BURST):
            edge = edges[turn % len(edges)]
            turn += 1
            first = sent[edge.edge_id]
            while len(edge.log) < first + BATCH:
                order += 1
                live(edge, f"{edge_ids[0]}-o{order:07}", receive=order % 50 == 1)
            burst.append(Message(
                topics.up(edge.edge_id, topics.LOG), encode_batch(edge.log[first : first + BATCH])
            ))  # fmt: skip
            sent[edge.edge_id] = first + BATCH
        yield burst


def bare(location: Location) -> int:
    """The same bytes a second, without anything else."""
    raws = [raw for burst in _bursts(list(EDGES), EVENTS) for x in burst for raw in [x.payload]]
    connection = open_database(location)
    with transaction(connection):
        _BARE.create(connection)
    number, start_s = 0, time.monotonic()
    for at in range(0, len(raws), BURST):
        rows = []
        for raw in raws[at : at + BURST]:
            size = len(raw) // BATCH
            for part in range(BATCH):
                number += 1
                rows.append({"number": number, "raw": raw[part * size : (part + 1) * size]})
        with transaction(connection):
            insert_all(connection, _BARE, rows)
    took_s = time.monotonic() - start_s
    close_database(connection)
    return round(number / took_s)


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


if __name__ == "__main__":
    sys.exit(main())
