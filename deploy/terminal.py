"""What the commands of `pointsman` have in common: where the configuration is, how one fails."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from deploy.plain import plain
from shared.errors import PointsmanError

P = TypeVar("P")
R = TypeVar("R")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="TOML file.")]


def fail(error: PointsmanError) -> NoReturn:
    """Tell the lesson and exit with 1."""
    console = Console(stderr=True)
    console.print(f"[bold red]{error.code}[/] at", plain(f"{error.place}: {error.detail}"))
    if error.expected:
        console.print(plain(f"expected: {error.expected}"))
    raise typer.Exit(1)


def taught(call: Callable[[P], R], value: P) -> R:
    """Call; an error of ours ends the command with its lesson."""
    try:
        return call(value)
    except PointsmanError as error:
        fail(error)


def run(job: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine, likewise."""
    return taught(asyncio.run, job)
