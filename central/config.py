"""Central's configuration: one TOML file."""

from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from central.checkpoint import KEY_FILE
from central.systems import System, Systems, TimeLimits, require_distinct
from shared.limits import QUANTITY_MAX, SYSTEMS_MAX
from shared.settings import Broker, Section, SimulatedClock, load_settings

VAULT_KEY_FILE_NAME: Final = "vault.key"


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


class Checkpoints(Section, frozen=True):
    """When central signs where all streams stand: see `central.checkpoint`.

    Attributes:
        key_file: the private key; made on the first start. Without one, `checkpoint.key` in
            `data_dir`; another disk is better.
        events: after so many, and each covers at most so many.
        minutes: after so long, if there were any.
    """

    key_file: Path | None = None
    events: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    minutes: Annotated[float, Meta(gt=0, le=1_440)] = 10.0


class Config(Section, frozen=True):
    """Central.

    Attributes:
        data_dir: the folder of its database.
        broker: central's broker, where the edges come to.
        escrow: how stock is shared out.
        past_orders: an edge that has lost its store is told of orders that are settled if they
            are not older: so long it recognises a payment that is repeated.
        vault_key_file: the master keys of the vault; by default `vault.key` in `data_dir`.
        checkpoints: when the ledger is signed, and by which key.
        clock: simulated time, for the demo.
        systems: whom central drives, and who tells it what they believe.
        answers: how long a system's answer may stay out.
    """

    data_dir: Path
    broker: Broker = Broker()
    escrow: Escrow = Escrow()
    past_orders: Annotated[int, Meta(ge=0, le=1_000_000)] = 20_000
    checkpoints: Checkpoints = Checkpoints()
    vault_key_file: Path | None = None
    clock: SimulatedClock | None = None
    systems: Annotated[list[System], Meta(max_length=SYSTEMS_MAX)] = []
    answers: TimeLimits = TimeLimits()

    def __post_init__(self) -> None:
        """No two systems share a name, or a role that gets commands."""
        require_distinct(self.systems)

    @property
    def driven(self) -> Systems:
        """The systems, for the core."""
        return Systems(self.systems, self.answers)

    @property
    def vault_key(self) -> Path:
        """The file of the master keys."""
        return self.vault_key_file or self.data_dir / VAULT_KEY_FILE_NAME

    @property
    def key_file(self) -> Path:
        """The private key that signs checkpoints."""
        return self.checkpoints.key_file or self.data_dir / KEY_FILE


def load_config(path: Path) -> Config:
    """Read a configuration file; relative paths in it start from its own folder.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    return load_settings(path, Config)
