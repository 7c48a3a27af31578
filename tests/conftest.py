"""Fixtures for all tests, and the check that no test leaves a process behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from central.database import Location
from edge.store import Store
from tests import postgres
from tests.brokers import Broker, mosquitto_path, running
from tests.postgres import Places, Postgres

MOSQUITTO_MISSING = (
    "MOSQUITTO IS MISSING: this test is left out. "
    "As root: apt-get install mosquitto mosquitto-clients"
)


POSTGRESQL_MISSING = (
    "POSTGRESQL IS MISSING: this test is left out. As root: apt-get install postgresql"
)


def skip_without_mosquitto() -> None:
    """Skip, loudly, on a machine without the broker."""
    if mosquitto_path() is None:
        pytest.skip(MOSQUITTO_MISSING)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    """A running Mosquitto that lets everybody in."""
    skip_without_mosquitto()
    with running("mosquitto", tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Broker]:
    """A running embedded broker."""
    with running("embedded", tmp_path / "embedded") as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A running broker: each test that asks runs once with each kind."""
    if request.param == "mosquitto":
        skip_without_mosquitto()
    with running(request.param, tmp_path / request.param) as broker:
        yield broker


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgres]:
    """A running PostgreSQL of the tests' own, one for all of them."""
    if postgres.programs() is None:
        pytest.skip(POSTGRESQL_MISSING)
    with postgres.running() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    """Places for databases: each test that asks runs once with each kind of database."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    found = Places(tmp_path, server)
    yield found
    found.clear()


@pytest.fixture
def location(places: Places) -> Location:
    """A place for one database."""
    return places.new()


def _children() -> dict[int, str]:
    """Our child processes that live or were never waited for, with their command lines."""
    found: dict[int, str] = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            cmdline = (Path("/proc") / pid / "cmdline").read_bytes().replace(b"\0", b" ")
            found[int(pid)] = cmdline.decode(errors="replace") or "(never waited for)"
    return found


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    """Fail the run if a test's process outlives it."""
    yield
    if not os.path.exists("/proc/self/task"):  # noqa: PTH110
        return
    # multiprocessing keeps one tracker per interpreter, and ends it itself.
    left = {p: c for p, c in _children().items() if "resource_tracker" not in c}
    assert not left, f"processes left behind by tests: {left}"


@pytest.fixture(autouse=True)
def stores_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the edge stores that a test has opened, whichever way it ends."""
    opened: list[Store] = []
    start = Store.__init__

    def remember(self: Store, path: Path, *, vfs: str = "") -> None:
        start(self, path, vfs=vfs)
        opened.append(self)

    monkeypatch.setattr(Store, "__init__", remember)
    yield
    for store in opened:
        store.close()
