"""The file with the vault's master keys."""

import base64
import stat

import pytest

from central import keyfile
from shared.errors import ConfigError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "vault.key"


def given(path, text, mode=0o600):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_the_first_key_is_made_for_its_owner_alone_and_kept(path):
    one = keyfile.open_keyring(path, fresh=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    wrapped = one.wrap(one.new_key(), "customer:c")
    keyfile.open_keyring(path, fresh=True).unwrap(wrapped, "customer:c")
    assert [x.name for x in path.parent.iterdir()] == ["vault.key"]


def test_a_key_that_is_missing_is_not_replaced_by_another(path):
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        keyfile.open_keyring(path, fresh=False)
    assert caught.value.place == "vault_key_file"
    assert "from its backup" in caught.value.expected
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "\n\n", "c2hvcnQ=\n", "not base64!\n", "A" * 43])
def test_a_file_that_holds_no_key_is_refused_without_showing_it(path, text):
    given(path, text)
    with pytest.raises(ConfigError) as caught:
        keyfile.open_keyring(path, fresh=True)
    assert "openssl rand" in caught.value.expected
    assert "c2hvcnQ" not in str(caught.value)
    assert "AAAA" not in str(caught.value)


def test_a_key_that_everybody_may_read_is_refused(path):
    given(path, base64.b64encode(bytes(32)).decode(), mode=0o644)
    with pytest.raises(ConfigError, match="everybody") as caught:
        keyfile.open_keyring(path, fresh=False)
    assert "chmod 600" in caught.value.expected


def test_a_key_may_be_given(path):
    given(path, base64.b64encode(b"k" * 32).decode() + "\n\n", mode=0o400)
    assert keyfile.read_masters(path) == [b"k" * 32]


def test_a_rotation_puts_a_new_key_first_and_ends_with_it_alone(path):
    given(path, base64.b64encode(b"k" * 32).decode())
    keyfile.rotate(path)
    new, old = keyfile.read_masters(path)
    assert old == b"k" * 32
    assert keyfile.open_keyring(path, fresh=False).rotating
    keyfile.drop_old(path)
    assert keyfile.read_masters(path) == [new]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_not_ours_to_write_keeps_its_old_key_and_is_told(path, capsys):
    given(path, base64.b64encode(b"k" * 32).decode())
    keyfile.rotate(path)
    (path.parent / "vault.key.new").mkdir()  # whatever the reason: it cannot be written
    keyfile.drop_old(path)
    shown = capsys.readouterr()
    assert "old_master_key_left" in shown.out + shown.err
    assert len(keyfile.read_masters(path)) == 2
    with pytest.raises(ConfigError, match="cannot be written"):
        keyfile.rotate(path)
