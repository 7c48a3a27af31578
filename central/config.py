"""Central's configuration: one TOML file."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from shared.limits import QUANTITY_MAX
from shared.settings import Broker, Section, SimulatedClock, load_settings


class Escrow(Section, frozen=True):
    """How stock is shared out.

    Attributes:
        pool_reserve: fraction of a distribution centre's free units that stays in the pool.
        floor_units: what every edge gets of each cell first, as far as the units reach.
        half_life_days: after so long a sale counts half when the rest is shared out.
    """

    pool_reserve: Annotated[float, Meta(ge=0, le=1)] = 0.2
    floor_units: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)] = 2
    half_life_days: Annotated[float, Meta(gt=0, le=3_650)] = 7.0


class Config(Section, frozen=True):
    """Central.

    Attributes:
        data_dir: the folder of its database.
        broker: central's broker, where the edges come to.
        escrow: how stock is shared out.
        past_orders: an edge that has lost its store is told of orders that are settled if they
            are not older: so long it recognises a payment that is repeated.
        clock: simulated time, for the demo.
    """

    data_dir: Path
    broker: Broker = Broker()
    escrow: Escrow = Escrow()
    past_orders: Annotated[int, Meta(ge=0, le=1_000_000)] = 20_000
    clock: SimulatedClock | None = None


def load_config(path: Path) -> Config:
    """Read a configuration file; relative paths in it start from its own folder.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    return load_settings(path, Config)
