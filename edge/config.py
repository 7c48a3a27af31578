"""The edge's configuration file."""

from pathlib import Path

from shared.parts import Name
from shared.settings import Broker, Section, SimulatedClock, load_settings


class Config(Section, frozen=True):
    """One edge daemon.

    Attributes:
        edge_id: its name everywhere: in events, in topics, as its user at central's broker.
        data_dir: the folder of its database.
        lan: the broker of the site, where tills and warehouses are.
        wan: central's broker.
        clock: simulated time, for the demo.
    """

    edge_id: Name
    data_dir: Path
    lan: Broker = Broker()
    wan: Broker = Broker(port=1884)
    clock: SimulatedClock | None = None


def load_config(path: Path) -> Config:
    """Read a configuration file; relative paths in it start from its own folder.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    return load_settings(path, Config)
