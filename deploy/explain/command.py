"""What the command line of `pointsman explain` does."""

import sys
from pathlib import Path

import msgspec
from rich.console import Console

from deploy.explain.report import show
from deploy.explain.story import explained
from edge.archive import read_decisions
from edge.config import load_config
from edge.store import FILE_NAME
from shared.errors import ConfigError


def execute(order_id: str, config: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Explain an order of an edge, whose daemon may be running.

    Raises:
        PointsmanError: the folder, the order or its decisions are not there.
    """
    if (config is None) == (data_dir is None):
        raise ConfigError(
            "where is the edge's file?", place="command", expected="--config, or --data-dir"
        )
    folder = load_config(config).data_dir if config is not None else data_dir
    assert folder is not None
    story = explained(read_decisions(folder / FILE_NAME, order_id))
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(story), indent=1).decode() + "\n")
    else:
        show(story, Console())
