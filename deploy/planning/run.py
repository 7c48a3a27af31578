"""`pointsman plan`: a file of orders in, a file of plans or of differences out.

Lines are read, decided and written one by one, so the number of orders is bounded by the disk
alone. The same inputs give the same bytes. What is written stands under its name only when it
is whole.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from deploy.planning.formats import Comparison, Summary
from deploy.planning.orders import Orders
from deploy.planning.planner import (
    Planner,
    read_network,
    read_prices,
    read_profile,
    read_shelves,
)
from deploy.planning.tally import Tally, compared, ships_otherwise
from shared.errors import InvalidDataError

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Task:
    """What to plan by.

    Attributes:
        network: network document.
        orders: lines of orders, also packed (.gz).
        out: where the lines go; None: nowhere.
        prices: prices document; None: no bid prices, no backlog, no saturation.
        stock: stock document; None: every node has plenty.
        consume: whether plans take what they use from the orders after them.
        at: when orders are decided that do not say it.
    """

    network: Path
    orders: Path
    out: Path | None
    stock: Path | None
    prices: Path | None
    consume: bool
    at: datetime | None


def plan(task: Task, profile: Path | None) -> tuple[Summary, Orders]:
    """Plan every order; one line of `PlannedOrder` each.

    Raises:
        PointsmanError: an input is wrong; its place is a file, a line and a path in it.
    """
    planner = _planners(task, profile)[0]
    tally = Tally(planner)
    orders = Orders(str(task.orders), task.at)
    with _lines(task.orders) as lines, _whole(task.out) as out:
        for asked in orders.read(lines):
            planned = planner.plan(asked)
            tally.add(asked, planned)
            _write(out, planned)
    return tally.summary(), orders


def compare(task: Task, profile_a: Path, profile_b: Path) -> tuple[Comparison, Orders]:
    """Plan every order by two profiles, each with a stock of its own; a `ComparedOrder` each.

    Raises:
        PointsmanError: as `plan`.
    """
    planner_a, planner_b = _planners(task, profile_a, profile_b)
    tally_a, tally_b = Tally(planner_a), Tally(planner_b)
    orders, changed = Orders(str(task.orders), task.at), 0
    with _lines(task.orders) as lines, _whole(task.out) as out:
        for asked in orders.read(lines):
            a, b = planner_a.plan(asked), planner_b.plan(asked)
            changed += ships_otherwise(a, b)
            _write(out, compared(asked, tally_a.add(asked, a), tally_b.add(asked, b)))
    return Comparison(a=tally_a.summary(), b=tally_b.summary(), changed=changed), orders


def _planners(task: Task, *profiles: Path | None) -> list[Planner]:
    """A planner for each profile, with a stock of its own."""
    network = read_network(task.network)
    shelves = None if task.stock is None else read_shelves(task.stock)
    prices = None if task.prices is None else read_prices(task.prices)
    judges = [None if path is None else read_profile(path) for path in profiles]
    return [Planner(network, shelves, task.consume, judge, prices) for judge in judges]


def _write(out: IO[bytes] | None, line: msgspec.Struct) -> None:
    if out is not None:
        out.write(_encoder.encode(line) + b"\n")


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file, packed or not."""
    try:
        source: IO[bytes] = path.open("rb")
    except OSError as error:
        raise InvalidDataError(
            error.strerror or str(error), place=str(path), expected="a file that can be read"
        ) from None
    with source:
        yield iter(gzip.GzipFile(fileobj=source) if path.suffix == ".gz" else source)


@contextmanager
def _whole(path: Path | None) -> Iterator[IO[bytes] | None]:
    """A file that gets its name once everything is in it."""
    if path is None:
        yield None
        return
    part = path.with_name(f"{path.name}.part")
    try:
        target = part.open("wb")
    except OSError as error:
        raise InvalidDataError(
            error.strerror or str(error), place=str(path), expected="a place to write to"
        ) from None
    try:
        with target:
            yield target
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
