"""The edge's configuration file."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from shared.parts import Name
from shared.settings import Broker, Section, SimulatedClock, load_settings
from shared.topics import RESERVED


class LogLimits(Section, frozen=True):
    """How much of its own log the edge keeps.

    Attributes:
        outbox_rows_max: entries that central does not have; beyond it inputs are refused.
        log_days: how long entries are kept that central has.
        decided_rows_max: what a plan was made by is kept as long as its entry, and at most for
            so many of the newest entries.
    """

    outbox_rows_max: Annotated[int, Meta(ge=1_000, le=100_000_000)] = 1_000_000
    log_days: Annotated[int, Meta(ge=1, le=3_650)] = 30
    decided_rows_max: Annotated[int, Meta(ge=0, le=100_000_000)] = 200_000


class Health(Section, frozen=True):
    """When a device counts as lost: see `edge.health`.

    Attributes:
        silence_s: after so long without a message, if it has sent heartbeats; three times what
            lies between two of them is a good measure.
    """

    silence_s: Annotated[int, Meta(ge=5, le=86_400)] = 90


class Config(Section, frozen=True):
    """One edge daemon.

    Attributes:
        edge_id: its name everywhere: in events, in topics, as its user at central's broker.
        data_dir: the folder of its database.
        lan: the broker of the site, where tills and warehouses are.
        wan: central's broker.
        log: how much of its own log it keeps.
        health: when a device counts as lost.
        generation_file: what is remembered of the database outside of it; in `data_dir`,
            unless another disk is named.
        clock: simulated time, for the demo.
    """

    edge_id: Name
    data_dir: Path
    lan: Broker = Broker()
    wan: Broker = Broker(port=1884)
    log: LogLimits = LogLimits()
    health: Health = Health()
    generation_file: Path | None = None
    clock: SimulatedClock | None = None

    def __post_init__(self) -> None:
        """Central's own names are taken."""
        if self.edge_id in RESERVED:
            raise ValueError(f"no edge may be called {self.edge_id}: central itself is")


def load_config(path: Path) -> Config:
    """Read a configuration file; relative paths in it start from its own folder.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    return load_settings(path, Config)
