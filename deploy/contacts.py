"""An operator's commands for contact details: show, forget, who has looked, a new master key."""

import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from deploy.terminal import ConfigOption, run, taught
from shared.clock import to_datetime

contacts = typer.Typer()
"""To be added to the commands of central."""

ByOption = Annotated[
    str | None, typer.Option(help="Who asks, for the record; by default this machine's user.")
]


@contacts.command("contact")
def show(
    order_id: Annotated[str, typer.Argument(help="The order.")],
    config: ConfigOption,
    by: ByOption = None,
) -> None:
    """Show who receives an order. Who has looked is recorded."""
    from central.config import load_config
    from central.link import read_contact

    contact = run(read_contact(taught(load_config, config), by or getpass.getuser(), order_id))
    for name in contact.__struct_fields__:
        if value := getattr(contact, name):
            Console().print(plain(f"{name}: {value}"))


@contacts.command("forget")
def forget(
    config: ConfigOption,
    customer: Annotated[str | None, typer.Option(help="Token of the customer.")] = None,
    order: Annotated[str | None, typer.Option(help="Only this order's contact.")] = None,
    by: ByOption = None,
) -> None:
    """Destroy the contact details of a customer, or of one order, for good."""
    from central.config import load_config
    from central.link import forget_contacts

    if (customer is None) == (order is None):
        raise typer.BadParameter("name one: --customer TOKEN, or --order ORDER_ID")
    settings = taught(load_config, config)
    done = run(forget_contacts(settings, by or getpass.getuser(), customer, order))
    typer.echo(f"{done.contacts} contacts are destroyed; what still comes of them is refused")
    if done.pending:
        typer.echo(
            "a program that reads the database holds its log: "
            "copies of the destroyed keys stay there until it ends"
        )


@contacts.command("accesses")
def accesses(config: ConfigOption, rows: int = 50) -> None:
    """List who has read contacts or let them be forgotten, the newest first."""
    from central.config import load_config
    from central.vault import read_accesses

    found = taught(read_accesses, taught(load_config, config).location)
    table = Table("when", "who", "what", "of", "contacts")
    for access in found[:rows]:
        when = to_datetime(access.at_ms).isoformat(" ", "seconds")
        table.add_row(
            when, plain(access.by), access.what, plain(access.subject), str(access.contacts)
        )
    Console().print(table)
    typer.echo(f"{len(found)} accesses")


@contacts.command("rotate-key")
def rotate_key(config: ConfigOption) -> None:
    """Put a new master key into the vault's key file; central moves to it at its next start."""
    from central.config import load_config
    from central.keyfile import rotate

    path: Path = taught(load_config, config).vault_key
    taught(rotate, path)
    typer.echo(f"{path} has a new key; restart central, then back the file up anew")
