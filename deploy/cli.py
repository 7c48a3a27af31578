"""The command line: `pointsman`.

Each command imports what it runs only when it runs, so that `--help` answers at once and the
edge needs nothing of central's.
"""

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy import agreement, devices, ledger, publishing
from deploy.api import api
from deploy.contacts import contacts
from deploy.plain import plain
from deploy.terminal import ConfigOption, fail, run, taught
from deploy.trace import trace
from deploy.webhooks import webhooks
from shared.errors import PointsmanError
from shared.parts import FulfilmentKind
from shared.settings import Broker

app = typer.Typer(help="Decide at the edge which node ships what.", no_args_is_help=True)
edge = typer.Typer(help="The daemon beside tills and warehouses.", no_args_is_help=True)
central = typer.Typer(help="The one truth about every order.", no_args_is_help=True)
schema = typer.Typer(help="JSON Schemas and the AsyncAPI document.", no_args_is_help=True)
pos = typer.Typer(help="A till in the terminal.", no_args_is_help=True)
app.add_typer(edge, name="edge")
app.add_typer(central, name="central")
central.add_typer(api)
central.add_typer(contacts)
central.add_typer(webhooks, name="webhooks")
central.add_typer(devices.app)
central.add_typer(ledger.app)
central.add_typer(agreement.app)
central.add_typer(publishing.network, name="network")
central.add_typer(publishing.sourcing, name="sourcing")
central.add_typer(publishing.prices, name="prices")
app.add_typer(schema, name="schema")
app.add_typer(pos, name="pos")
app.command("trace")(trace)

HostOption = Annotated[str, typer.Option(help="Where the site's broker is.")]
PortOption = Annotated[int, typer.Option(min=1, max=65_535, help="Its TCP port.")]
UserOption = Annotated[str | None, typer.Option(help="Its user, where it asks for one.")]
PasswordOption = Annotated[Path | None, typer.Option(help="File with the user's password.")]


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
    import edge.routing.router  # noqa: F401  # a kernel is compiled when it is imported
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
def central_run(
    config: ConfigOption,
    worker: Annotated[
        str, typer.Option(help="Name of this one of several that share a PostgreSQL database.")
    ] = "",
) -> None:
    """Run the central daemon until it is told to stop."""
    from central.config import load_config
    from central.daemon import serve
    from shared.logs import configure

    settings = taught(load_config, config)
    configure()
    run(serve(settings, worker=worker))


@central.command("follow")
def central_follow(config: ConfigOption) -> None:
    """Tell others of the ledger until told to stop: webhooks, events for integrators."""
    from central.config import load_config
    from central.followers.daemon import follow
    from shared.logs import configure

    settings = taught(load_config, config)
    configure()
    run(follow(settings))


@central.command("fence")
def central_fence(
    edge_id: Annotated[str, typer.Argument(help="The edge that is lost, or copied, or behind.")],
    config: ConfigOption,
) -> None:
    """Take an edge's shares back. If it is heard again, it begins a new epoch with none."""
    from central.config import load_config
    from central.link import fence_edge

    epoch = run(fence_edge(taught(load_config, config), edge_id))
    typer.echo(f"{edge_id} is fenced; if it is heard again it begins epoch {epoch}")


@central.command("poison")
def central_poison(config: ConfigOption, rows: int = 50) -> None:
    """List the events that are in the ledger and have no effect, and why."""
    from central.config import load_config
    from central.views import read_poison

    found = taught(read_poison, taught(load_config, config).location)
    table = Table("edge", "epoch", "sequence", "code", "what is wrong")
    for row in found[:rows]:
        table.add_row(*(plain(str(value)) for value in row))
    Console().print(table)
    typer.echo(f"{len(found)} events without effect")


@central.command("replay")
def central_replay(
    config: ConfigOption,
    edge: Annotated[str | None, typer.Option(help="Only this edge's events.")] = None,
    sequence: Annotated[int | None, typer.Option(min=1, help="Only at this position.")] = None,
) -> None:
    """Read poison events again by the running central's code; those that fit get their effect."""
    from central.config import load_config
    from central.link import replay_poison

    answer = run(replay_poison(taught(load_config, config), edge, sequence))
    typer.echo(f"{answer.replayed} events have their effect now")
    for code, count in sorted(answer.remaining.items()):
        typer.echo(f"{count} remain: {code}")


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


@schema.command("openapi")
def schema_openapi(
    out: Annotated[Path | None, typer.Option(help="Another file than the API's own.")] = None,
) -> None:
    """Write the OpenAPI document of central's HTTP API."""
    from central.api.app import described
    from central.api.contract import DOCUMENT

    path = out or DOCUMENT
    path.write_text(described(), encoding="utf-8")
    typer.echo(f"{path}")


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
    profile: Annotated[Path | None, typer.Option(help="Profile, or sourcing document.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A B", help="Two profiles instead.")
    ] = None,
    stock: Annotated[Path | None, typer.Option(help="Stock, JSON; without, all have all.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Prices document, JSON.")] = None,
    consume: Annotated[bool, typer.Option("--consume", help="Plans take their units.")] = False,
    at: Annotated[str | None, typer.Option(help="Time of orders that have none, RFC 3339.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the totals.")] = None,
) -> None:
    """Route any orders by any network, without broker or daemon: what would it have done?"""
    from deploy.planning.command import execute

    try:
        execute(
            network=network_path, orders=orders, out=out, profile=profile, compare=compare,
            stock=stock, prices=prices, consume=consume, at=at, totals=json_path,
        )  # fmt: skip
    except PointsmanError as error:
        fail(error)


@app.command("explain")
def explain(
    order_id: Annotated[str, typer.Argument(help="Of an order.accepted of this edge.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The edge's TOML.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Or the folder of its edge.db.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Why does this order ship from there, and what would have to change for another node?"""
    from deploy.explain.command import execute

    taught(lambda x: execute(x, config, data_dir, as_json=as_json), order_id)


@app.command("broker")
def broker(
    port: Annotated[int, typer.Option(help="TCP port to listen on.")] = 1883,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run the embedded MQTT 3.1.1 broker: for trying out, not for a shop."""
    from deploy.broker import serve

    run(serve(host, port, lambda: typer.echo(f"listening on {host}:{port}")))


@app.command("fit-lanes")
def fit_lanes(
    history: Annotated[Path, typer.Option(help="Delivered shipments: .csv, or JSON lines.")],
    document: Annotated[Path, typer.Option("--network", help="Network document, JSON.")],
    out: Annotated[Path, typer.Option(help="Where to write it with the times fitted.")],
    half_life_days: Annotated[
        float, typer.Option(min=0, help="Older shipments count for less: half per so long. 0: not.")
    ] = 90,
) -> None:
    """Learn transit and handling times from history, and write them into a network document."""
    from deploy.lanes import run as fit

    try:
        taught(lambda paths: fit(*paths, half_life_days or None), (history, document, out))
    except OSError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


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


@app.command("torture")
def torture(
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 1,
    payments: Annotated[int, typer.Option(min=50, help="At all tills together.")] = 10_000,
    edge_kills: Annotated[int, typer.Option(min=0, help="kill -9 of an edge.")] = 1_000,
    broker_kills: Annotated[int, typer.Option(min=0, help="kill -9; the disk stays.")] = 50,
    wipes: Annotated[int, typer.Option(min=0, help="kill -9 of a broker; disk cleared.")] = 10,
    central_kills: Annotated[int, typer.Option(min=0, help="kill -9 of central.")] = 30,
    stops: Annotated[int, typer.Option(min=0, help="SIGSTOP of a process for seconds.")] = 30,
    line_faults: Annotated[int, typer.Option(min=0, help="Lines to central disturbed.")] = 120,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report.")] = None,
    minutes_max: Annotated[float, typer.Option(help="Nothing begins after so long.")] = 120.0,
    data_dir: Annotated[Path | None, typer.Option(help="Keep databases and logs here.")] = None,
) -> None:
    """Break everything that can break while tills pay, then count."""
    from deploy.torture.plan import Figures
    from deploy.torture.run import run as run_torture

    figures = Figures(
        payments, edge_kills, broker_kills, wipes, central_kills, stops, line_faults
    )  # fmt: skip
    code = run_torture(seed, figures, json_path, minutes_max=minutes_max, data_dir=data_dir)
    raise typer.Exit(code)


@app.command("sim")
def sim(
    seeds: Annotated[str, typer.Option(help="FROM:TO, without TO.")] = "0:100",
    steps: Annotated[int, typer.Option(min=1, help="Events before all heals.")] = 2_000,
    edges: Annotated[int, typer.Option(min=1, max=64, help="How many edges.")] = 8,
    skus: Annotated[int, typer.Option(min=0, help="How many; 0: drawn.")] = 0,
    without: Annotated[str, typer.Option(help="Faults to leave out, with commas.")] = "",
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Side by side.")] = 2,
    shrink_s: Annotated[float, typer.Option(help="Seconds to make a failing seed small.")] = 60,
) -> None:
    """Simulate edges and central through crashes and cuts, and hold every promise against it."""
    from deploy.sim.run import run as run_sim
    from deploy.sim.scenario import parse_faults, parse_seeds

    bounds, left_out = taught(parse_seeds, seeds), taught(parse_faults, without)
    raise typer.Exit(run_sim(bounds, steps, edges, skus, left_out, processes, json_path, shrink_s))


@app.command("power-cut")
def power_cut(
    points: Annotated[int, typer.Option(min=1, help="How often the power goes.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed cuts at the same points.")] = 1,
) -> None:
    """Cut the power in the middle of writes, drop what was not synced, look what is left."""
    from deploy.sim.powercut import power_cuts
    from deploy.sim.run import silence

    with silence():
        report = power_cuts(points, seed)
    typer.echo(f"{report.points} power cuts, {report.entries} log entries committed; cuts in:")
    for place, count in report.cuts.most_common():
        typer.echo(f"  {count:5} {place}")
    for fault in report.faults:
        typer.echo(fault, err=True)
    typer.echo(f"{len(report.faults)} faults")
    raise typer.Exit(1 if report.faults else 0)


def main() -> None:
    """Entry point of the `pointsman` command."""
    app()


if __name__ == "__main__":
    main()
