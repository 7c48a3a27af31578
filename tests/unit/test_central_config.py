from pathlib import Path

import pytest

from central.config import Checkpoints, Escrow, load_config
from central.postgres import Server
from shared.clock import ScaledClock, SystemClock
from shared.errors import ConfigError
from shared.settings import make_clock


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
        [checkpoints]
        key_file = "keys/checkpoint"
        events = 5
        minutes = 0.5
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
    assert isinstance(make_clock(config.clock), ScaledClock)


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
    ],
)
def test_a_wrong_configuration_names_the_place(load, document, place):
    with pytest.raises(ConfigError) as caught:
        load(document)
    assert caught.value.place.endswith(f"central.toml: {place}")
    assert "data_dir" in caught.value.expected
