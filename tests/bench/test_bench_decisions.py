"""What keeping a decision's inputs adds to a payment: five lines, 200 nodes with 3 services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.capacity import Slots
from edge.decisions import Decided, Inputs, encode_inputs
from edge.records import Decision
from edge.routing.explaining import explain
from edge.routing.known import Known
from edge.routing.router import route
from edge.store import Store
from shared.clock import to_datetime
from shared.parts import slot_sku
from tests.bench.test_bench_router import HOUR_MS, NODES, quantiles, scene
from tests.shop import NOON_MS


def known(hourly_slots: bool) -> Known:
    snapshot, stock, _ = scene(cutoffs=True)
    rng = np.random.default_rng(1)
    stock.share[:] = np.where(stock.share > 0, rng.integers(0, 400, stock.share.shape), 0)
    slots = Slots()
    if hourly_slots:
        starts = [NOON_MS + hour * HOUR_MS for hour in range(-3, 30)]
        names = [f"n-{number}" for number in range(NODES)]
        slots = Slots(
            [(name, start, start + HOUR_MS) for name in names for start in starts],
            [
                (name, slot_sku(to_datetime(start)), int(rng.integers(0, 20)))
                for name in names
                for start in starts
            ],
        )
    return Known(snapshot, stock, slots)


@pytest.mark.benchmark(group="what a decision was made by")
@pytest.mark.parametrize("hourly_slots", [False, True], ids=["no slots", "slots at every node"])
def test_taking_and_encoding_it(benchmark: Any, hourly_slots: bool) -> None:
    state, (_, _, question) = known(hourly_slots), scene()

    def taken() -> bytes:
        return encode_inputs(Inputs.taken(state, question, NOON_MS))

    payload = benchmark.pedantic(taken, rounds=3_000, warmup_rounds=50)
    benchmark.extra_info["bytes"] = len(payload)
    quantiles(benchmark)


@pytest.mark.benchmark(group="what a decision was made by")
def test_taking_encoding_and_writing_it(benchmark: Any, tmp_path: Path) -> None:
    state, (_, _, question) = known(hourly_slots=False), scene()
    store = Store(tmp_path / "edge.db")
    positions = iter(range(1, 10_000))

    def keep() -> None:
        decided = Decided.of(state, question, NOON_MS, next(positions))
        store.write(Decision(decisions=[decided]))

    benchmark.pedantic(keep, rounds=3_000, warmup_rounds=50)
    store.close()
    quantiles(benchmark)


@pytest.mark.benchmark(group="explaining a decision")
def test_explaining_it(benchmark: Any) -> None:
    state, (_, _, question) = known(hourly_slots=False), scene()
    routed = route(state, question, NOON_MS)
    explained = benchmark.pedantic(explain, (state, question, NOON_MS, routed), rounds=10)
    assert len(explained.rivals) == 10
