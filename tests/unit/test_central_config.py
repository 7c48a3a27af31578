from pathlib import Path

import pytest

from central.config import Api, Checkpoints, Escrow, Republish, load_config
from central.postgres import Server
from shared.clock import ScaledClock, SystemClock
from shared.errors import ConfigError
from shared.settings import Broker, make_clock


def webhook(url, name="erp", head='data_dir = "x"'):
    return f'{head}\n[[webhooks]]\nname = "{name}"\nurl = "{url}"\nsecret_file = "s"\n'


@pytest.fixture
def load(tmp_path):
    def load(document):
        path = tmp_path / "central.toml"
        path.write_text(document)
        return load_config(path)

    return load


def test_a_directory_is_all_that_a_configuration_needs(load, tmp_path):
    config = load('data_dir = "data"')
    assert config.data_dir == tmp_path / "data"
    assert (config.broker.host, config.broker.mqtt_version) == ("127.0.0.1", "5")
    assert config.escrow == Escrow(pool_reserve=0.2, floor_units=2, half_life_days=7.0)
    assert config.past_orders == 20_000
    assert config.vault_key == tmp_path / "data" / "vault.key"
    assert config.checkpoints == Checkpoints(key_file=None, events=10_000, minutes=10.0)
    assert config.key_file == tmp_path / "data" / "checkpoint.key"
    assert config.api == Api(host="127.0.0.1", port=8080)
    assert config.tokens_file == tmp_path / "data" / "tokens.json"
    assert isinstance(make_clock(config.clock), SystemClock)


def test_every_key_is_read(load, tmp_path):
    config = load(
        """
        data_dir = "/var/lib/central"
        past_orders = 7
        vault_key_file = "/etc/central/vault.key"
        [broker]
        host = "broker.example"
        port = 8883
        mqtt_version = "3.1.1"
        username = "central"
        [escrow]
        pool_reserve = 0.5
        floor_units = 3
        half_life_days = 1.5
        [republish]
        kinds = ["order.*", "pick.short"]
        begin = "first"
        [[webhooks]]
        name = "erp"
        url = "https://erp.example:8443/events?tenant=1"
        secret_file = "erp.secret"
        kinds = ["order.accepted"]
        begin = "first"
        parallel = 3
        ca_file = "ca.pem"
        [[webhooks]]
        name = "bi"
        url = "http://bi.example/"
        secret_file = "bi.secret"
        insecure = true
        [checkpoints]
        key_file = "keys/checkpoint"
        events = 5
        minutes = 0.5
        [api]
        host = "::1"
        port = 0
        tokens_file = "who.json"
        device = "web"
        answer_s = 1.5
        streams_max = 3
        [api.lan]
        port = 1999
        [clock]
        real_ms = 1
        simulated_ms = 2
        rate = 60.0
        """
    )
    assert config.data_dir == Path("/var/lib/central")
    assert (config.broker.port, config.broker.mqtt_version) == (8883, "3.1.1")
    assert config.escrow == Escrow(pool_reserve=0.5, floor_units=3, half_life_days=1.5)
    assert config.past_orders == 7
    assert config.vault_key == Path("/etc/central/vault.key")
    assert (config.checkpoints.events, config.checkpoints.minutes) == (5, 0.5)
    assert config.key_file == tmp_path / "keys" / "checkpoint"
    assert config.api.lan == Broker(port=1999)
    assert (config.api.device, config.api.answer_s, config.api.streams_max) == ("web", 1.5, 3)
    assert config.tokens_file == tmp_path / "who.json"
    assert isinstance(make_clock(config.clock), ScaledClock)
    assert config.republish == Republish(kinds=("order.*", "pick.short"), begin="first")
    erp, bi = config.webhooks
    assert erp.secret_file == tmp_path / "erp.secret"
    assert (erp.kinds, erp.begin, erp.parallel) == (("order.accepted",), "first", 3)
    assert (bi.kinds, bi.begin, bi.parallel, bi.insecure) == (("*",), "next", 8, True)


def test_a_server_holds_the_database_and_the_folder_the_rest(load, tmp_path):
    config = load('data_dir = "data"\ndatabase = "postgresql://ops:pw@db.example/orders"')
    assert config.location == Server("postgresql://ops:pw@db.example/orders")
    assert str(config.location) == "postgresql://ops:***@db.example/orders"
    assert config.vault_key == tmp_path / "data" / "vault.key"
    assert load('data_dir = "data"').location == tmp_path / "data"


def test_a_password_may_stand_in_a_file_of_its_own(load, tmp_path):
    (tmp_path / "password").write_text("geheim\n")
    config = load(
        'data_dir = "data"\ndatabase = "postgresql://ops@db.example/orders"\n'
        'database_password_file = "password"'
    )
    assert config.location.password() == "geheim"
    (tmp_path / "password").unlink()
    with pytest.raises(ConfigError) as caught:
        config.location.password()
    assert caught.value.place == "database_password_file"


@pytest.mark.parametrize("address", ["mysql://u:secret@h/d", "secret", "postgresql+asyncpg://h/d"])
def test_an_address_of_no_server_that_fits_is_named_and_not_shown(load, address):
    with pytest.raises(ConfigError) as caught:
        load(f'data_dir = "data"\ndatabase = "{address}"')
    assert caught.value.place == "database"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "document,place",
    [
        ("", "$"),
        ('data_dir = "x"\n[broker]\nport = 0', "$.broker.port"),
        ('data_dir = "x"\n[escrow]\npool_reserve = 2.0', "$.escrow.pool_reserve"),
        ('data_dir = "x"\nport = 3', "$"),
        ('data_dir = "x"\n[republish]\nkinds = ["order.+"]', "$.republish.kinds[0]"),
        (webhook("ftp://erp.example/"), "$.webhooks[0]"),
        (webhook("http://erp.example/"), "$.webhooks[0]"),
        (webhook("http://localhost.example/"), "$.webhooks[0]"),
        (webhook("https://user:word@erp.example/"), "$.webhooks[0]"),
        (webhook("https:///events"), "$.webhooks[0]"),
        (webhook("https://[x/"), "$.webhooks[0]"),
        (webhook("https://erp.example/", "/erp"), "$.webhooks[0].name"),
        (webhook("https://erp.example/") + webhook("https://other.example/", head=""), "$"),
    ],
)
def test_a_wrong_configuration_names_the_place(load, document, place):
    with pytest.raises(ConfigError) as caught:
        load(document)
    assert caught.value.place.endswith(f"central.toml: {place}")
    assert "data_dir" in caught.value.expected


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9:80", "[::1]:8080"])
def test_plain_http_is_for_this_machine(load, host):
    assert load(webhook(f"http://{host}/")).webhooks[0].url == f"http://{host}/"
