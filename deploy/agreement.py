"""The command that says how far other systems agree with the ledger."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from deploy.terminal import ConfigOption, fail, taught
from shared.clock import to_datetime
from shared.errors import ConfigError, PointsmanError

app = typer.Typer()


@app.command("agreement")
def agreement(
    config: ConfigOption,
    system: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Orders to list of each system.")] = 50,
) -> None:
    """Print how many orders each system believes to be in another state, and which, since when."""
    from central.agreement import Rate, read_agreement
    from central.config import load_config

    settings = taught(load_config, config)
    words = settings.driven.words
    if system is not None:
        words = {name: known for name, known in words.items() if name == system}
    if not words:
        fail(
            ConfigError(
                "no such system has words for states" if system else "no system has any",
                place="systems",
                expected="[[systems]] with a table [systems.states]",
            )
        )
    rates = Table("system", "orders", "differ", "rate", "unknown words")
    found = Table("system", "order", "says", "is", "since")
    name, listed = "", 0
    try:
        for row in read_agreement(settings.location, words):
            if isinstance(row, Rate):
                name, listed = row.system, 0
                share = row.differing / row.orders if row.orders else 0.0
                counts = (row.orders, row.differing, f"{share:.2%}", row.unknown)
                rates.add_row(plain(name), *(str(x) for x in counts))
            elif listed < rows:
                listed += 1
                since = to_datetime(row.since_ms)
                state = row.state or "not known"
                told = (row.order_id, row.word, state, f"{since:%Y-%m-%d %H:%M:%S}Z")
                found.add_row(plain(name), *(plain(x) for x in told))
    except PointsmanError as error:
        fail(error)
    console = Console(width=120)
    console.print(rates)
    if found.row_count:
        console.print(found)
