"""Commands of the HTTP API: run it, and say who may ask."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from deploy.terminal import ConfigOption, run, taught
from shared.clock import to_datetime

api = typer.Typer()
"""To be added to the commands of central."""

NameArgument = Annotated[str, typer.Argument(help="Of who uses it; it is recorded.")]


@api.command("api")
def serve_api(config: ConfigOption) -> None:
    """Run the HTTP API until it is told to stop."""
    from central.api.serve import serve
    from central.config import load_config
    from shared.logs import configure

    settings = taught(load_config, config)
    configure()
    run(serve(settings))


@api.command("token")
def token(
    name: NameArgument,
    role: Annotated[str, typer.Option(help="reader, support, operator or admin.")],
    config: ConfigOption,
) -> None:
    """Make a token for the API and print it, once: only its hash is kept."""
    from central.api.operation import ROLES
    from central.api.tokens import make_token
    from central.config import load_config

    chosen = next((x for x in ROLES if x == role), None)
    if chosen is None:
        raise typer.BadParameter(f"one of {', '.join(ROLES)}", param_hint="--role")
    path: Path = taught(load_config, config).tokens_file
    typer.echo(taught(lambda x: make_token(x, name, chosen, time.time_ns() // 1_000_000), path))


@api.command("revoke-token")
def revoke(name: NameArgument, config: ConfigOption) -> None:
    """Let a token count no more, from the next request on."""
    from central.api.tokens import revoke_token
    from central.config import load_config

    path: Path = taught(load_config, config).tokens_file
    taught(lambda x: revoke_token(x, name), path)
    typer.echo(f"the token {name} counts no more")


@api.command("tokens")
def tokens(config: ConfigOption) -> None:
    """List whose tokens there are, with role and since when."""
    from central.api.tokens import load_tokens
    from central.config import load_config

    found = taught(load_tokens, taught(load_config, config).tokens_file)
    table = Table("name", "role", "made")
    for x in found:
        table.add_row(plain(x.name), x.role, to_datetime(x.made_ms).isoformat(" ", "seconds"))
    Console().print(table)
    typer.echo(f"{len(found)} tokens")
