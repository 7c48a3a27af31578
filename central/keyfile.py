"""The file with the master keys of the vault, beside the database and never in it.

Lines of base64, the newest key first. More than one: a rotation is under way.
"""

import base64
import binascii
import secrets
from pathlib import Path
from typing import Final

import structlog

from central.private import replace_private
from central.sealing import KEY_BYTES, Keyring
from shared.errors import ConfigError

_EXPECTED: Final = "lines of 32 random bytes in base64 (openssl rand -base64 32), the newest first"

_log = structlog.get_logger("central.keyfile")


def open_keyring(path: Path, *, fresh: bool) -> Keyring:
    """The keys of the file.

    Args:
        path: the file.
        fresh: the database holds nothing sealed, so a file that is missing is made.

    Raises:
        ConfigError: the file is missing though something is sealed, cannot be read, is no key
            file, or everybody may read it.
    """
    if fresh and not path.exists():
        _write(path, [secrets.token_bytes(KEY_BYTES)])
        _log.info("master_key_made", file=str(path))
    return Keyring(read_masters(path), secrets.token_bytes)


def read_masters(path: Path) -> list[bytes]:
    """The keys of a file, the newest first.

    Raises:
        ConfigError: as for `open_keyring`.
    """
    try:
        text = path.read_text(encoding="ascii")
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the key file of the vault cannot be read: {error}",
            place="vault_key_file",
            expected=f"the key file that belongs to this database, from its backup: {_EXPECTED}",
        ) from None
    if mode & 0o007:
        raise ConfigError(
            f"everybody on this machine may read {path}",
            place="vault_key_file",
            expected=f"central's user alone: chmod 600 {path}",
        )
    masters = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            masters.append(_key_of(line.strip(), f"{path}:{number}"))
    if not masters:
        raise ConfigError(f"{path} holds no key", place="vault_key_file", expected=_EXPECTED)
    return masters


def rotate(path: Path) -> None:
    """Put a new key before the others; central moves to it when it starts the next time.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    _write(path, [secrets.token_bytes(KEY_BYTES), *read_masters(path)])


def drop_old(path: Path) -> None:
    """Forget all keys but the newest: nothing is wrapped by them any more.

    Where central may not write the file, this is left to who may.
    """
    try:
        _write(path, read_masters(path)[:1])
    except ConfigError as error:
        _log.warning("old_master_key_left", detail=str(error), file=str(path))
    else:
        _log.info("master_key_rotated", file=str(path))


def _key_of(line: str, place: str) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        # What the line says is not told: it may be all but one letter of a key.
        raise ConfigError("a line is no key", place=place, expected=_EXPECTED)
    return key


def _write(path: Path, masters: list[bytes]) -> None:
    """Replace the file, durably; its owner stays."""
    try:
        replace_private(path, b"".join(base64.b64encode(x) + b"\n" for x in masters))
    except OSError as error:
        raise ConfigError(
            f"the key file of the vault cannot be written: {error}",
            place="vault_key_file",
            expected="a file in a folder that this user may write to, or a key file that exists",
        ) from None
