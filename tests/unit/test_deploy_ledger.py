"""The commands about a ledger of which a part is in archive files."""

import pytest
from typer.testing import CliRunner

from central.config import load_config
from central.database import close_database, open_database
from central.followers.daemon import open_followers
from central.followers.store import Delivery
from central.history import load_archives
from central.tables import checkpoints
from central.tables import ledger as rows
from deploy.cli import app
from tests.archive_scene import positions, write
from tests.central_scene import (
    NOW_MS,
    unguard,
)

run = CliRunner()


@pytest.fixture
def data(tmp_path):
    return write(tmp_path)


def test_commands_archive_and_verify(data, tmp_path):
    config = tmp_path / "central.toml"
    config.write_text('data_dir = "data"\narchive_dir = "old"\n[checkpoints]\nkey_file = "key"\n')
    done = run.invoke(app, ["central", "archive", "--keep-days", "1", "-c", str(config)])
    assert done.exit_code == 0, done.output
    (file,) = (tmp_path / "old").iterdir()
    assert file.name in done.output
    for more in ([], ["--no-archives"]):
        done = run.invoke(app, ["central", "verify", "-c", str(config), *more])
        assert (done.exit_code, "every chain is whole" in done.output) == (0, True)
    assert run.invoke(app, ["central", "rebuild", "-c", str(config)]).exit_code == 0
    file.unlink()
    done = run.invoke(app, ["central", "verify", "-c", str(config)])
    assert (done.exit_code, file.name in done.output) == (1, True)
    done = run.invoke(app, ["central", "archive", "--before", "2026-01-01", "-c", str(config)])
    assert done.exit_code == 1
    assert run.invoke(app, ["central", "archive", "-c", str(config)]).exit_code == 2
    connection = open_database(data)
    with connection.begin():
        assert [x.file for x in load_archives(connection)] == [file.name]
    close_database(connection)


WEBHOOK = """
[[webhooks]]
name = "erp"
url = "https://example.org/"
secret_file = "erp.secret"
"""


def test_commands_name_the_follower_that_is_behind_and_the_dead_that_are_archived(data, tmp_path):
    config = tmp_path / "central.toml"
    config.write_text('data_dir = "data"\n[checkpoints]\nkey_file = "key"\n' + WEBHOOK)

    def command(*words):
        return run.invoke(app, ["central", *words, "-c", str(config)], env={"COLUMNS": "200"})

    store = open_followers(load_config(config))
    store.join("erp", 0)
    store.plan("erp", 0, [Delivery("erp", 3, "pick.accepted", "o", 9, 0, 1, "HTTP 500")])
    held = command("archive", "--keep-days", "1")
    assert (held.exit_code, "webhook erp" in held.output) == (1, True)
    store.advance("erp", len(positions(data)))
    assert command("archive", "--keep-days", "1").exit_code == 0
    assert positions(data)[0] > 3
    told = command("webhooks", "replay").output
    assert "0 events are tried again" in told
    assert "1 events cannot be tried again" in told
    assert [x.position for x in store.dead("erp", 9)] == [3]
    store.close()


def test_the_command_says_loudly_that_an_old_ledger_was_never_signed(data, tmp_path):
    config = tmp_path / "central.toml"
    config.write_text('data_dir = "data"\n[checkpoints]\nkey_file = "key"\n')
    end = positions(data)[-1]
    connection = open_database(data)
    with connection.begin():
        unguard(connection, "checkpoints", "ledger")
        connection.execute(checkpoints.delete())

    def verify_over(minutes):
        with connection.begin():
            later_ms = NOW_MS + minutes * 60_000
            last = rows.update().where(rows.c.position == end)
            connection.execute(last.values(received_ms=later_ms))
        return run.invoke(app, ["central", "verify", "-c", str(config)])

    fresh, old = verify_over(20), verify_over(21)
    close_database(connection)
    assert (fresh.exit_code, "there is no signed checkpoint" in fresh.output) == (0, True)
    assert (old.exit_code, "THERE IS NO SIGNED CHECKPOINT" in old.output) == (1, True)
