"""The power goes in the midst of a write, and no commit that had returned is lost."""

from pathlib import Path
from typing import Any

import pytest
import structlog

from central.database import Database, open_database
from deploy.sim import central_box, edge_box
from deploy.sim.powercut import power_cuts
from edge.store import Store

POINTS = 40
"""`power_cuts(500, seed)` looks longer."""


@pytest.fixture(autouse=True)
def quiet():
    """What central logs while its disk dies is as it should be."""
    with structlog.testing.capture_logs():
        yield


def test_whatever_was_committed_survives_and_nothing_is_half_written():
    report = power_cuts(POINTS, seed=1)
    assert report.faults == []
    assert report.points == sum(report.cuts.values()) == POINTS
    assert report.entries > 200
    assert {place.split(":")[0] for place in report.cuts} == {"edge", "central"}


def test_the_same_seed_cuts_in_the_same_places():
    assert power_cuts(8, seed=2) == power_cuts(8, seed=2)


@pytest.mark.parametrize("level", ["off", "normal"])
def test_an_edge_that_does_not_sync_is_found_out(monkeypatch, level):
    class Careless(Store):
        def __init__(self, path: Path, *, vfs: str = "") -> None:
            super().__init__(path, vfs=vfs)
            self._connection.execute(f"pragma synchronous = {level}")

    monkeypatch.setattr(edge_box, "Store", Careless)
    faults = power_cuts(30, seed=1).faults
    assert any("committed are lost" in fault for fault in faults), faults


@pytest.mark.parametrize("level", ["off", "normal"])
def test_a_central_that_does_not_sync_is_found_out(monkeypatch, level):
    def careless(*args: Any, **options: Any) -> Database:
        database = open_database(*args, **options)
        connection: Any = database.connection.driver_connection
        connection.execute(f"pragma synchronous = {level}")
        return database

    monkeypatch.setattr(central_box, "open_database", careless)
    faults = power_cuts(30, seed=1).faults
    assert any("the ledger ends at" in fault for fault in faults), faults
