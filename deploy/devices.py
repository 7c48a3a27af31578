"""An operator's command for the health of devices and edges."""

import typer
from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from deploy.terminal import ConfigOption, taught
from shared.clock import to_datetime

app = typer.Typer()
"""To be added to the commands of central."""


@app.command("devices")
def devices(config: ConfigOption, rows: int = 50) -> None:
    """List tills, warehouses and their faults, what is wrong first; and when edges were heard."""
    from central.config import load_config
    from central.devices import read_devices

    found, edges = taught(read_devices, taught(load_config, config).location)
    table = Table("edge", "device", "status", "since", "last seen", "part", "fault", "detail")
    for row in found[:rows]:
        names = (row.edge_id, row.device, row.status, _told(row.since_ms), _told(row.last_seen_ms))
        table.add_row(*(plain(x) for x in (*names, row.part, row.fault, row.detail)))
    Console().print(table)
    heard = Table("edge", "last heard")
    for edge in edges:
        heard.add_row(plain(edge.edge_id), _told(edge.last_seen_ms))
    Console().print(heard)
    wrong = sum(row.status in ("lost", "fault") for row in found)
    typer.echo(f"{wrong} of {len(found)} are lost or have a fault; {len(edges)} edges")


def _told(ms: int | None) -> str:
    return to_datetime(ms).isoformat(" ", "seconds") if ms else "never"
