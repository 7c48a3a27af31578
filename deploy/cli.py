"""The command line: `pointsman`.

Each command imports what it runs only when it runs, so that `--help` answers at once and the
edge needs nothing of central's.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from shared.errors import PointsmanError, StaleStoreError
from shared.parts import FulfilmentKind
from shared.settings import Broker

app = typer.Typer(help="Decide at the edge which node ships what.", no_args_is_help=True)
edge = typer.Typer(help="The daemon beside tills and warehouses.", no_args_is_help=True)
central = typer.Typer(help="The one truth about every order.", no_args_is_help=True)
network = typer.Typer(help="The network snapshot that the edges decide by.", no_args_is_help=True)
schema = typer.Typer(help="JSON Schemas and the AsyncAPI document.", no_args_is_help=True)
pos = typer.Typer(help="A till in the terminal.", no_args_is_help=True)
app.add_typer(edge, name="edge")
app.add_typer(central, name="central")
central.add_typer(network, name="network")
app.add_typer(schema, name="schema")
app.add_typer(pos, name="pos")

STALE_STATUS = 3
"""Exit status of an edge whose store must not sell; deploy/systemd does not restart it."""

P = TypeVar("P")
R = TypeVar("R")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="TOML file.")]

HostOption = Annotated[str, typer.Option(help="Where the site's broker is.")]
PortOption = Annotated[int, typer.Option(min=1, max=65_535, help="Its TCP port.")]
UserOption = Annotated[str | None, typer.Option(help="Its user, where it asks for one.")]
PasswordOption = Annotated[Path | None, typer.Option(help="File with the user's password.")]


def fail(error: PointsmanError) -> NoReturn:
    """Tell the lesson and exit with 1."""
    console = Console(stderr=True)
    console.print(f"[bold red]{error.code}[/] at", plain(f"{error.place}: {error.detail}"))
    if error.expected:
        console.print(plain(f"expected: {error.expected}"))
    raise typer.Exit(STALE_STATUS if isinstance(error, StaleStoreError) else 1)


def taught(call: Callable[[P], R], value: P) -> R:
    """Call; an error of ours ends the command with its lesson."""
    try:
        return call(value)
    except PointsmanError as error:
        fail(error)


def run(job: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine, likewise."""
    return taught(asyncio.run, job)


@edge.command("run")
def edge_run(config: ConfigOption) -> None:
    """Run the edge daemon until it is told to stop."""
    from edge.config import load_config
    from edge.daemon import serve
    from shared.logs import configure

    settings = taught(load_config, config)
    configure()
    run(serve(settings))


@edge.command("warm")
def edge_warm() -> None:
    """Compile the routing kernels into the cache, so that the daemon starts at once."""
    from edge.routing.solve import warm

    warm()
    typer.echo("kernels compiled and cached")


@edge.command("quarantine")
def edge_quarantine(config: ConfigOption, rows: int = 50) -> None:
    """List the inputs that were refused, newest first, with the code and the place."""
    from edge.config import load_config
    from edge.quarantine import read_quarantine
    from edge.store import FILE_NAME

    found = taught(read_quarantine, taught(load_config, config).data_dir / FILE_NAME)
    table = Table("last", "times", "topic", "code", "place", "what is wrong", "expected")
    for row in found[:rows]:
        names = ("last_at", "times", "topic", "code", "place", "detail", "expected")
        table.add_row(*(plain(row[name]) for name in names))
    Console().print(table)
    typer.echo(f"{len(found)} kinds of refused input")


@central.command("run")
def central_run(config: ConfigOption) -> None:
    """Run the central daemon until it is told to stop."""
    from central.config import load_config
    from central.daemon import serve
    from shared.logs import configure

    settings = taught(load_config, config)
    configure()
    run(serve(settings))


@network.command("publish")
def network_publish(
    document: Annotated[Path, typer.Argument(help="Network document, JSON.")],
    config: ConfigOption,
) -> None:
    """Hand a network document to the running central, which feeds it to every edge."""
    from central.config import load_config
    from central.link import publish_network

    settings = taught(load_config, config)
    try:
        body = document.read_bytes()
    except OSError as error:
        typer.echo(f"{document}: {error}", err=True)
        raise typer.Exit(1) from None
    version = run(publish_network(settings, body))
    typer.echo(f"network version {version} is on its way to the edges")


@central.command("verify")
def central_verify(config: ConfigOption) -> None:
    """Walk the ledger's hash chains and name the first broken position, if any."""
    from central.config import load_config
    from central.ledger import verify_file

    verdict = taught(verify_file, taught(load_config, config).data_dir)
    typer.echo(str(verdict))
    if verdict.position is not None:
        raise typer.Exit(1)


@schema.command("export")
def schema_export(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("shared/schemas"),
) -> None:
    """Write the JSON Schemas, one example each, and the AsyncAPI document."""
    from shared.schemas import documents

    written = documents()
    for name, text in written.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    typer.echo(f"{len(written)} documents in {out}")


@pos.command("pay")
def pos_pay(
    items: Annotated[list[str], typer.Argument(help="SKU or SKU:QUANTITY, one or more.")],
    store: Annotated[str, typer.Option(help="Node where it is sold.")],
    to: Annotated[str | None, typer.Option(help="LAT,LON,REGION of a delivery.")] = None,
    kind: Annotated[FulfilmentKind, typer.Option(help="How the goods reach you.")] = "delivery",
    deadline_h: Annotated[float | None, typer.Option(help="Wanted within hours.")] = None,
    quote: Annotated[bool, typer.Option("--quote", help="Only ask; commit nothing.")] = False,
    terminal: Annotated[str, typer.Option(help="The till's device name.")] = "till-cli",
    currency: str = "CNY",
    host: HostOption = "127.0.0.1",
    port: PortOption = 1883,
    username: UserOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Publish a payment as a till and print the edge's answer."""
    from deploy import pos as till

    try:
        data = till.compose(
            quote=quote, store=store, items=items, to=to, kind=kind, deadline_h=deadline_h,
            terminal=terminal, currency=currency,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    broker = Broker(host=host, port=port, username=username, password_file=password_file)
    answer = run(till.ask(broker, terminal, data))
    if not till.show(answer, Console()):
        raise typer.Exit(1)


@pos.command("watch")
def pos_watch(
    host: HostOption = "127.0.0.1",
    port: PortOption = 1883,
    username: UserOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Print every event of a site's broker until interrupted."""
    from deploy import pos as till

    with contextlib.suppress(KeyboardInterrupt):
        broker = Broker(host=host, port=port, username=username, password_file=password_file)
        run(till.watch(broker, Console()))


@app.command("plan")
def plan(
    network_path: Annotated[Path, typer.Option("--network", help="Network document, JSON.")],
    orders: Annotated[Path, typer.Option(help="One order a line, JSON; .gz may be packed.")],
    out: Annotated[Path | None, typer.Option(help="Write a line for every order.")] = None,
    profile: Annotated[Path | None, typer.Option(help="Profile to try, JSON.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A B", help="Two profiles instead.")
    ] = None,
    stock: Annotated[Path | None, typer.Option(help="Stock, JSON; without, all have all.")] = None,
    consume: Annotated[bool, typer.Option("--consume", help="Plans take their units.")] = False,
    at: Annotated[str | None, typer.Option(help="Time of orders that have none, RFC 3339.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the totals.")] = None,
) -> None:
    """Route any orders by any network, without broker or daemon: what would it have done?"""
    from deploy.planning.command import execute

    try:
        execute(
            network=network_path, orders=orders, out=out, profile=profile, compare=compare,
            stock=stock, consume=consume, at=at, totals=json_path,
        )  # fmt: skip
    except PointsmanError as error:
        fail(error)


@app.command("broker")
def broker(
    port: Annotated[int, typer.Option(help="TCP port to listen on.")] = 1883,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run the embedded MQTT 3.1.1 broker: for trying out, not for a shop."""
    from deploy.broker import serve

    run(serve(host, port, lambda: typer.echo(f"listening on {host}:{port}")))


@app.command("demo")
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the day.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report.")] = None,
    seconds: Annotated[float, typer.Option(help="Real seconds that the day takes.")] = 50.0,
    data_dir: Annotated[Path | None, typer.Option(help="Keep databases and logs here.")] = None,
) -> None:
    """Replay one real trading day: tills, warehouses, three edges, one central."""
    from deploy.demo.run import run as run_demo

    raise typer.Exit(run_demo(once, json_path, seconds, data_dir=data_dir))


def main() -> None:
    """Entry point of the `pointsman` command."""
    app()


if __name__ == "__main__":
    main()
