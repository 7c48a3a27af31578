"""A planner's commands: publish what the edges decide by, and take it back."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from deploy.terminal import ConfigOption, run, taught
from shared.clock import to_datetime

if TYPE_CHECKING:
    from central.admin import InForce
    from central.config import Config

network = typer.Typer(help="The network snapshot that the edges decide by.", no_args_is_help=True)
sourcing = typer.Typer(help="Sourcing profiles, and which orders use which.", no_args_is_help=True)
prices = typer.Typer(help="What units, nodes and carriers cost just now.", no_args_is_help=True)

DocumentArgument = Annotated[Path, typer.Argument(help="The document, JSON.")]

R = TypeVar("R")


@network.command("publish")
def network_publish(document: DocumentArgument, config: ConfigOption) -> None:
    """Hand a network document to the running central, which feeds it to every edge."""
    from central.link import publish_network

    version = _publish(publish_network, document, config)
    typer.echo(f"network version {version} is on its way to the edges")


@sourcing.command("publish")
def sourcing_publish(document: DocumentArgument, config: ConfigOption) -> None:
    """Put a sourcing document in force: the running central feeds it to every edge."""
    from central.link import publish_sourcing

    _tell(_publish(publish_sourcing, document, config))


@sourcing.command("rollback")
def sourcing_rollback(config: ConfigOption) -> None:
    """Put the version back in force that was so before; once more goes one further back."""
    from central.config import load_config
    from central.link import roll_back_sourcing

    _tell(run(roll_back_sourcing(taught(load_config, config))))


@sourcing.command("list")
def sourcing_list(config: ConfigOption, rows: int = 50) -> None:
    """List which version was put in force when, the newest first."""
    from central.config import load_config
    from central.published import read_history

    found = taught(read_history, taught(load_config, config).location)
    before = found[0].before if found else None
    table = Table("version", "in force since", "")
    for number, activation in enumerate(found[:rows]):
        mark = "a rollback brings this back" if activation.number == before else ""
        since = to_datetime(activation.at_ms).isoformat(" ", "seconds")
        table.add_row(plain(activation.version), since, mark if number else "in force")
    Console().print(table)
    typer.echo(f"{len({x.version for x in found})} versions")


@prices.command("publish")
def prices_publish(document: DocumentArgument, config: ConfigOption) -> None:
    """Hand a prices document to the running central, which feeds it to every edge."""
    from central.link import publish_prices

    version = _publish(publish_prices, document, config)
    typer.echo(f"prices version {version} is on its way to the edges")


def _publish(
    publish: "Callable[[Config, bytes], Coroutine[Any, Any, R]]", document: Path, config: Path
) -> R:
    from central.config import load_config

    settings = taught(load_config, config)
    try:
        body = document.read_bytes()
    except OSError as error:
        typer.echo(f"{document}: {error}", err=True)
        raise typer.Exit(1) from None
    return run(publish(settings, body))


def _tell(found: "InForce") -> None:
    back = f"{found.before} back" if found.before else "nothing back: there is none before it"
    typer.echo(f"sourcing version {found.version} is in force; a rollback brings {back}")
