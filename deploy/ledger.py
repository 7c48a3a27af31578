"""Commands that keep the ledger and what follows from it: verify, archive, export, rebuild."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.terminal import ConfigOption, taught

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from central.config import Config
    from central.digest import Digest

app = typer.Typer()
_DAY_MS: Final = 86_400_000

KeysOption = Annotated[
    list[Path] | None,
    typer.Option("--public-key", help="Whose checkpoints count; may be given again."),
]


@app.command("verify")
def verify(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file.")] = None,
    file: Annotated[Path | None, typer.Option(help="An exported ledger instead.")] = None,
    public_key: KeysOption = None,
    no_archives: Annotated[
        bool, typer.Option("--no-archives", help="Begin behind the archive files, as signed.")
    ] = False,
) -> None:
    """Walk the ledger's hash chains and checkpoints; name the first broken position, if any.

    Without --public-key, checkpoints are held against the key file that the configuration names.
    """
    from central.archive import verify_archive
    from central.ledger import verify_file

    if (config is None) == (file is None):
        raise typer.BadParameter("either --config or --file")
    settings = None if config is None else _load(config)
    keys = _keys(settings, public_key)
    started_s = time.perf_counter()
    if file is not None:
        verdict = taught(lambda path: verify_archive(path, keys), file)
    else:
        assert settings is not None
        folder = settings.archives
        verdict = taught(
            lambda path: verify_file(path, keys, folder, archived=not no_archives),
            settings.location,
        )
    typer.echo(str(verdict))
    _tell_rate(verdict.entries, started_s)
    if verdict.position is not None:
        raise typer.Exit(1)
    if settings is not None and keys and not verdict.checkpoints:
        _require_checkpoints(settings)


@app.command("key")
def key(config: ConfigOption) -> None:
    """Print the public key that fits this central's checkpoints; keep it somewhere else."""
    from central.checkpoint import load_signer, public_pem

    signer = taught(load_signer, _load(config).key_file)
    typer.echo(public_pem(signer.public), nl=False)


@app.command("views")
def views(config: ConfigOption) -> None:
    """Print a hash of each view, and one over all: the same ledger gives the same hashes."""
    from central.digest import read_digests

    _show(taught(read_digests, _load(config).location))


@app.command("rebuild")
def rebuild(
    config: ConfigOption,
    check: Annotated[bool, typer.Option("--check", help="Compare, and change nothing.")] = False,
) -> None:
    """Make the views anew from the ledger, and compare; central must be stopped."""
    from central.rebuild import rebuild_file

    settings = _load(config)
    started_s = time.perf_counter()
    found = taught(
        lambda path: rebuild_file(path, now_ms=_now_ms(), keep=not check, folder=settings.archives),
        settings.location,
    )
    _show(found.after)
    _tell_rate(found.done.events, started_s)
    if found.done.poisoned:
        typer.echo(f"{found.done.poisoned} events cannot be read any more: see `central poison`")
    for name in found.differing():
        typer.echo(f"{name}: was {found.before[name].hash}, {found.before[name].rows} rows")
    if not found.differing():
        typer.echo("the views were as the ledger says")
    elif check:
        typer.echo("the views are not as the ledger says; nothing was changed")
        raise typer.Exit(1)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="To write; packed if it ends in .gz.")],
    config: ConfigOption,
) -> None:
    """Write the ledger to a file that `verify --file` checks and `import` reads."""
    from central.archive import export_file

    started_s = time.perf_counter()
    settings = _load(config)
    entries = taught(lambda path: export_file(path, file, settings.archives), settings.location)
    typer.echo(f"{entries} entries in {file}")
    _tell_rate(entries, started_s)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Of `pointsman central export`.")],
    config: ConfigOption,
    public_key: KeysOption = None,
) -> None:
    """Take an exported ledger into an empty central that is stopped; its edges are fenced."""
    from central.archive import import_file

    settings, keys = _load(config), _keys(None, public_key)
    started_s = time.perf_counter()
    entries = taught(
        lambda path: import_file(path, file, now_ms=_now_ms(), trusted=keys), settings.location
    )
    typer.echo(f"{entries} entries; every edge begins a new epoch when it is heard")
    _tell_rate(entries, started_s)


@app.command("archive")
def archive(
    config: ConfigOption,
    before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only what is older; UTC.")
    ] = None,
    keep_days: Annotated[int | None, typer.Option(min=1, help="Or: than so many days.")] = None,
) -> None:
    """Move the oldest settled part of the ledger to a packed file; central must be stopped."""
    from central.followers.daemon import first_needed
    from central.retention import Keep, archive_part

    if (before is None) == (keep_days is None):
        raise typer.BadParameter("either --before or --keep-days")
    settings, now_ms = _load(config), _now_ms()
    before_ms = now_ms - (keep_days or 0) * _DAY_MS
    if before is not None:
        before_ms = round(before.replace(tzinfo=UTC).timestamp() * 1_000)
    started_s = time.perf_counter()
    needed = taught(first_needed, settings)
    keep = None
    if needed is not None:
        until = f"{needed[1]} further: it has still to tell of what is from position {needed[0]} on"
        keep = Keep(needed[0], until)
    done = taught(
        lambda path: archive_part(
            path,
            settings.archives,
            before_ms=before_ms,
            now_ms=now_ms,
            trusted=_keys(settings, None),
            needed=keep,
        ),
        settings.location,
    )
    typer.echo(f"{done.entries} entries, positions {done.first} to {done.last}, in {done.file}")
    _tell_rate(done.entries, started_s)


def _require_checkpoints(settings: "Config") -> None:
    """End with a fault if the ledger is so old that it must have been signed."""
    from central.ledger import received_over_ms

    rate = 1.0 if settings.clock is None else settings.clock.rate
    due_ms = settings.checkpoints.minutes * 60_000 * rate
    if taught(received_over_ms, settings.location) > 2 * due_ms:
        typer.echo(
            "THERE IS NO SIGNED CHECKPOINT, though the ledger goes over more than twice"
            f" [checkpoints] minutes = {settings.checkpoints.minutes:g}: they were removed, or"
            " central has never run so long at a stretch"
        )
        raise typer.Exit(1)


def _load(path: Path) -> "Config":
    from central.config import load_config

    return taught(load_config, path)


def _keys(settings: "Config | None", paths: list[Path] | None) -> "list[Ed25519PublicKey]":
    from central.checkpoint import load_public, load_signer

    if paths:
        return [taught(load_public, path) for path in paths]
    if settings is not None and settings.key_file.exists():
        return [taught(load_signer, settings.key_file).public]
    return []


def _show(found: "dict[str, Digest]") -> None:
    from central.digest import total

    table = Table("table", "rows", "hash")
    for name, digest in found.items():
        table.add_row(name, str(digest.rows), digest.hash)
    Console(width=120).print(table)
    typer.echo(f"all {total(found)}")


def _tell_rate(entries: int, started_s: float) -> None:
    took_s = time.perf_counter() - started_s
    typer.echo(f"{took_s:.1f} s, {entries / took_s:,.0f} events/s")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
