"""Central's configuration: one TOML file."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from central.checkpoint import KEY_FILE
from central.database import Location
from central.followers.kinds import PATTERN
from central.history import FOLDER
from central.postgres import Server
from central.systems import System, Systems, TimeLimits, require_distinct
from shared.limits import ID_CHARS_MAX, NAMES_MAX, QUANTITY_MAX, SYSTEMS_MAX
from shared.parts import Name
from shared.settings import Broker, Section, SimulatedClock, load_settings

VAULT_KEY_FILE_NAME: Final = "vault.key"
TOKENS_FILE_NAME: Final = "tokens.json"


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


Kind = Annotated[str, Meta(pattern=PATTERN, max_length=ID_CHARS_MAX)]
Choice = Annotated[tuple[Kind, ...], Meta(max_length=NAMES_MAX)]


class Webhook(Section, frozen=True):
    """A system that is told of events by HTTP: see `central.followers.webhooks`.

    Attributes:
        name: of the endpoint; its state is kept by it.
        url: where events are posted to. Plain http only on this machine, or with `insecure`.
        secret_file: what they are signed with; see `central.followers.signatures`.
        kinds: which events: `*`, `order.*`, `order.accepted`.
        begin: with which event a new endpoint begins: the next one, or the ledger's first.
        parallel: how many requests may be under way at once.
        ca_file: certificates, PEM, that the endpoint's must rest on, instead of the system's.
        insecure: plain http to another machine is permitted: whoever is between reads along.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    url: Annotated[str, Meta(min_length=1, max_length=2_048)]
    secret_file: Path
    kinds: Choice = ("*",)
    begin: Literal["next", "first"] = "next"
    parallel: Annotated[int, Meta(ge=1, le=64)] = 8
    ca_file: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        """Refuse what would send events in the clear, or a secret into logs."""
        try:
            url = urlsplit(self.url)
            host = url.hostname
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if url.scheme not in ("https", "http") or not host or url.username or url.fragment:
            raise ValueError("url must be https://host/path, without user, password and fragment")
        if url.scheme == "http" and not self.insecure and not _is_here(host):
            raise ValueError("url with http sends events in the clear: use https, or insecure")


class Republish(Section, frozen=True):
    """Which events of the ledger `central follow` publishes for integrators; none: `kinds = []`."""

    kinds: Choice = ("*",)
    begin: Literal["next", "first"] = "next"


class Api(Section, frozen=True):
    """The HTTP API: see `central.api`.

    Attributes:
        host: where it listens. What it says is not encrypted: put a proxy with TLS before it.
        port: its TCP port; 0: any that is free.
        tokens_file: who may ask; without one, `tokens.json` in `data_dir`.
        device: under which name it puts orders in, at the edge.
        lan: the broker of the edge that takes them; without one, no orders are put in.
        answer_s: how long it waits for the edge's answer.
        streams_max: how many may follow the ledger at once.
    """

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    tokens_file: Path | None = None
    device: Name = "api"
    lan: Broker | None = None
    answer_s: Annotated[float, Meta(gt=0, le=30)] = 2.0
    streams_max: Annotated[int, Meta(ge=0, le=1_000)] = 64


class Config(Section, frozen=True):
    """Central.

    Attributes:
        data_dir: the folder of its files: keys, and the database if that is SQLite's.
        database: address of a PostgreSQL database instead, `postgresql://user@host/name`.
        database_password_file: a file with its password, which then stands in no configuration.
        broker: central's broker, where the edges come to.
        escrow: how stock is shared out.
        past_orders: an edge that has lost its store is told of orders that are settled if they
            are not older: so long it recognises a payment that is repeated.
        vault_key_file: the master keys of the vault; by default `vault.key` in `data_dir`.
        checkpoints: when the ledger is signed, and by which key.
        api: the HTTP API.
        archive_dir: where old parts of the ledger go; by default `archive` in `data_dir`.
        clock: simulated time, for the demo.
        webhooks: who is told of events by HTTP.
        republish: which events integrators get at the broker.
        systems: whom central drives, and who tells it what they believe.
        answers: how long a system's answer may stay out.
    """

    data_dir: Path
    database: str | None = None
    database_password_file: Path | None = None
    broker: Broker = Broker()
    escrow: Escrow = Escrow()
    past_orders: Annotated[int, Meta(ge=0, le=1_000_000)] = 20_000
    checkpoints: Checkpoints = Checkpoints()
    vault_key_file: Path | None = None
    api: Api = Api()
    archive_dir: Path | None = None
    clock: SimulatedClock | None = None
    webhooks: Annotated[tuple[Webhook, ...], Meta(max_length=64)] = ()
    republish: Republish = Republish()
    systems: Annotated[list[System], Meta(max_length=SYSTEMS_MAX)] = []
    answers: TimeLimits = TimeLimits()

    def __post_init__(self) -> None:
        """Refuse two endpoints, or two systems, of one name, and two of a role that is one's."""
        names = [webhook.name for webhook in self.webhooks]
        if len(names) != len(set(names)):
            raise ValueError("two of the webhooks have one name")
        require_distinct(self.systems)

    @property
    def driven(self) -> Systems:
        """The systems, for the core."""
        return Systems(self.systems, self.answers)

    @property
    def archives(self) -> Path:
        """The folder of the archive files."""
        return self.archive_dir or self.data_dir / FOLDER

    @property
    def location(self) -> Location:
        """Where the database is."""
        if self.database is None:
            return self.data_dir
        return Server(self.database, self.database_password_file)

    @property
    def vault_key(self) -> Path:
        """The file of the master keys."""
        return self.vault_key_file or self.data_dir / VAULT_KEY_FILE_NAME

    @property
    def key_file(self) -> Path:
        """The private key that signs checkpoints."""
        return self.checkpoints.key_file or self.data_dir / KEY_FILE

    @property
    def tokens_file(self) -> Path:
        """Who may ask the HTTP API."""
        return self.api.tokens_file or self.data_dir / TOKENS_FILE_NAME


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_config(path: Path) -> Config:
    """Read a configuration file; relative paths in it start from its own folder.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    config = load_settings(path, Config)
    if isinstance(config.location, Server):
        config.location.url()
    return config
