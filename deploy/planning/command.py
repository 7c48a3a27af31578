"""What the command line of `pointsman plan` does."""

from datetime import datetime
from pathlib import Path

import msgspec
from rich.console import Console

from deploy.planning.formats import Comparison, Summary
from deploy.planning.orders import Orders
from deploy.planning.run import Task, compare, plan
from deploy.planning.table import show
from edge.routing.solve import warm
from shared.errors import InvalidDataError


def execute(
    *,
    network: Path,
    orders: Path,
    out: Path | None,
    profile: Path | None,
    compare: tuple[Path, Path] | None,
    stock: Path | None,
    prices: Path | None,
    consume: bool,
    at: str | None,
    totals: Path | None,
) -> None:
    """Plan or compare, print the totals, write them where asked.

    Raises:
        PointsmanError: an input is wrong.
    """
    if compare is not None and profile is not None:
        raise InvalidDataError(
            "--profile and --compare", place="command", expected="one of the two"
        )
    warm()
    task = Task(network, orders, out, stock, prices, consume, _moment(at))
    result, read = _result(task, profile, compare)
    show(result, read, Console())
    if totals is not None:
        totals.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def _result(
    task: Task, profile: Path | None, profiles: tuple[Path, Path] | None
) -> tuple[Summary | Comparison, Orders]:
    if profiles is not None:
        return compare(task, *profiles)
    return plan(task, profile)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 only to be refused
    if moment.tzinfo is None:
        raise InvalidDataError(
            f"{text!r} is no moment", place="--at", expected="2026-01-05T09:00:00+08:00"
        )
    return moment
