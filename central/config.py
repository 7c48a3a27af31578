"""Central's configuration: one TOML file."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from shared.settings import Broker, Section, SimulatedClock, load_settings


class Escrow(Section, frozen=True):
    """How stock is shared out.

    Attributes:
        pool_reserve: fraction of a distribution centre's free units that stays in the pool.
    """

    pool_reserve: Annotated[float, Meta(ge=0, le=1)] = 0.2


class Config(Section, frozen=True):
    """Central.

    Attributes:
        data_dir: the folder of its database.
        broker: central's broker, where the edges come to.
        escrow: how stock is shared out.
        clock: simulated time, for the demo.
    """

    data_dir: Path
    broker: Broker = Broker()
    escrow: Escrow = Escrow()
    clock: SimulatedClock | None = None


def load_config(path: Path) -> Config:
    """Read a configuration file; relative paths in it start from its own folder.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    return load_settings(path, Config)
