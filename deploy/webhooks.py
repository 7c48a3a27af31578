"""An operator's commands for webhooks: how endpoints stand, what is dead, trying it again."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from deploy.terminal import ConfigOption, fail, taught
from shared.clock import SystemClock, to_datetime
from shared.errors import ConfigError

if TYPE_CHECKING:
    from central.config import Config
    from central.followers.store import Store

webhooks = typer.Typer(help="Events for systems without MQTT, by HTTP.", no_args_is_help=True)

EndpointOption = Annotated[str | None, typer.Option(help="Only this endpoint's.")]
NameOption = Annotated[str, typer.Option("--endpoint", help="The endpoint's name.")]


@webhooks.command("list")
def list_endpoints(config: ConfigOption) -> None:
    """List the endpoints: what they have taken, what waits, what is dead."""
    settings, store = _open(config)
    table = Table("endpoint", "state", "url", "ledger through", "delivered", "open", "dead")
    urls = {webhook.name: webhook.url for webhook in settings.webhooks}
    found = taught(lambda x: x.overview(), store)
    for row in found:
        table.add_row(
            plain(row.endpoint),
            _state(row.disabled_ms, row.paused_ms, known=row.endpoint in urls),
            plain(urls.get(row.endpoint, "")),
            *(str(x) for x in (row.position, row.delivered, row.open, row.dead)),
        )
    new = sorted(urls.keys() - {row.endpoint for row in found})
    for name in new:
        table.add_row(plain(name), "new", plain(urls[name]), "", "0", "0", "0")
    Console().print(table)


@webhooks.command("dead")
def dead(config: ConfigOption, endpoint: EndpointOption = None, rows: int = 50) -> None:
    """List the events that nobody tries to deliver any more, and why."""
    _, store = _open(config)
    table = Table("endpoint", "id", "kind", "order", "attempts", "since", "reason")
    found = taught(lambda x: x.dead(endpoint, rows), store)
    for row in found:
        table.add_row(
            plain(row.endpoint),
            str(row.position),
            plain(row.kind),
            plain(row.order_id or ""),
            str(row.attempts),
            _time(row.dead_ms),
            plain(row.reason),
        )
    Console().print(table)
    typer.echo(f"{len(found)} dead events" + (" or more" if len(found) == rows else ""))


@webhooks.command("replay")
def replay(
    config: ConfigOption,
    endpoint: EndpointOption = None,
    ids: Annotated[
        list[int] | None, typer.Option("--id", min=1, help="Only this event; may be repeated.")
    ] = None,
) -> None:
    """Try dead events again from the first attempt on."""
    from central.history import archived_through

    settings, store = _open(config)
    now_ms = SystemClock().now_ms()
    archived = taught(archived_through, settings.location)
    count, lost = taught(lambda x: x.replay(endpoint, ids or (), now_ms, archived), store)
    typer.echo(f"{count} events are tried again")
    if lost:
        typer.echo(
            f"{lost} events cannot be tried again: what the ledger had through position {archived}"
            " is in archive files"
        )


@webhooks.command("enable")
def enable(config: ConfigOption, endpoint: NameOption) -> None:
    """Speak again to an endpoint that has said 410, or that asked to be left alone."""
    _, store = _open(config)
    if not taught(lambda x: x.enable(endpoint), store):
        fail(_unknown(endpoint, [row.endpoint for row in store.overview()]))
    typer.echo(f"{endpoint} gets events again, from where it stopped")


@webhooks.command("rotate-secret")
def rotate_secret(
    config: ConfigOption,
    endpoint: NameOption,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Make none; sign by the newest alone from now on.")
    ] = False,
) -> None:
    """Make a new secret for an endpoint, or its first; print it. The one before goes on signing."""
    from central.config import load_config
    from central.followers.signatures import drop_old_secrets
    from central.followers.signatures import rotate_secret as rotate

    settings = taught(load_config, config)
    files = {webhook.name: webhook.secret_file for webhook in settings.webhooks}
    if endpoint not in files:
        fail(_unknown(endpoint, list(files)))
    if drop_old:
        taught(drop_old_secrets, files[endpoint])
        typer.echo(f"events for {endpoint} are signed by its newest secret alone")
    else:
        typer.echo(taught(rotate, files[endpoint]))


def _open(config: Path) -> "tuple[Config, Store]":
    from central.config import load_config
    from central.followers.daemon import open_followers

    settings = taught(load_config, config)
    return settings, taught(open_followers, settings)


def _unknown(endpoint: str, known: list[str]) -> ConfigError:
    return ConfigError(
        f"there is no endpoint {endpoint}",
        place="--endpoint",
        expected=", ".join(known) or "a [[webhooks]] table in the configuration",
    )


def _state(disabled_ms: int | None, paused_ms: int, *, known: bool) -> str:
    if not known:
        return "not configured"
    if disabled_ms is not None:
        return f"disabled since {_time(disabled_ms)}"
    if paused_ms > SystemClock().now_ms():
        return f"paused until {_time(paused_ms)}"
    return "on"


def _time(ms: int | None) -> str:
    when: datetime | None = None if ms is None else to_datetime(ms)
    return "" if when is None else when.isoformat(" ", "seconds")
