"""The secrets of an endpoint, and what is signed by them.

Source: Standard Webhooks 1.0.0. HMAC-SHA256 over `{id}.{timestamp}.{body}`, in base64, with `v1,`
before it; one signature for each secret, so that a secret can be replaced while events flow. The
library of that project signs text only; here the bytes are signed that are sent.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from shared.errors import ConfigError

PREFIX: Final = "whsec_"
BYTES_MIN: Final = 24
BYTES_MAX: Final = 64
SECRETS_MAX: Final = 4
_EXPECTED: Final = (
    f"{PREFIX} and {BYTES_MIN} to {BYTES_MAX} bytes in base64, one secret a line, the newest first;"
    " `pointsman central webhooks rotate-secret` makes one"
)


def message_id(source: str, event_id: str) -> str:
    """The `webhook-id` of an event: the same at every attempt, other events have others.

    CloudEvents makes source and id together unique. Devices name their ids themselves, and one may
    hold a full stop, which what is signed cannot bear: hence a hash.
    """
    return "msg_" + hashlib.sha256(f"{source}\n{event_id}".encode()).hexdigest()[:40]


def headers(keys: list[bytes], message: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks.

    Args:
        keys: the endpoint's, as `read_secrets` has them.
        message: see `message_id`.
        timestamp_s: of this attempt, seconds since 1970 UTC.
        body: the very bytes that are sent.
    """
    content = f"{message}.{timestamp_s}.".encode() + body
    signed = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join("v1," + base64.b64encode(x).decode() for x in signed),
    }


def read_secrets(path: Path) -> list[bytes]:
    """The keys in a secret file, the newest first.

    Raises:
        ConfigError: the file is missing, not only its owner's, or holds something else.
    """
    place = f"webhooks.secret_file: {path}"
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(
                "others than its owner may use it",
                place=place,
                expected="mode 0600: whoever has the secret can speak as this central",
            )
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the secret cannot be read: {error}", place=place, expected=_EXPECTED
        ) from None
    keys = [_key_of(line, place) for line in lines if line]
    if not 0 < len(keys) <= SECRETS_MAX:
        raise ConfigError(
            f"{len(keys)} secrets", place=place, expected=f"1 to {SECRETS_MAX}: {_EXPECTED}"
        )
    return keys


def rotate_secret(path: Path) -> str:
    """Put a new secret first, and keep the one before; the file is made if there is none.

    Returns:
        The new secret, for the endpoint.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    new = secrets.token_bytes(32)
    _write(path, [new, *(read_secrets(path)[:1] if path.exists() else [])])
    return _text_of(new)


def drop_old_secrets(path: Path) -> None:
    """Sign by the newest secret alone.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    _write(path, read_secrets(path)[:1])


def _write(path: Path, keys: list[bytes]) -> None:
    """Replace the file, durably; its owner stays."""
    other = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        other.unlink(missing_ok=True)
        descriptor = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            if path.exists():
                was = path.stat()
                os.fchown(file.fileno(), was.st_uid, was.st_gid)
            file.writelines(_text_of(key) + "\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        other.replace(path)
    except OSError as error:
        raise ConfigError(
            f"the secret cannot be written: {error}",
            place=f"webhooks.secret_file: {path}",
            expected="a file in a folder that this user may write to",
        ) from None


def _text_of(key: bytes) -> str:
    return PREFIX + base64.b64encode(key).decode()


def _key_of(line: str, place: str) -> bytes:
    # What a wrong line says is not told: it may be all but one letter of a secret.
    try:
        key = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not line.startswith(PREFIX) or not BYTES_MIN <= len(key) <= BYTES_MAX:
        raise ConfigError("a line is no secret", place=place, expected=_EXPECTED)
    return key
