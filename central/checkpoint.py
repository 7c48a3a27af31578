"""Checkpoints: what central signs now and then, so that a ledger cannot be rewritten wholly.

A hash chain alone shows a change only to who remembers a hash. A checkpoint remembers: it holds
the head of every stream that has moved since the one before, and the hash of the one before, so
the last one covers them all. It is signed with Ed25519 (RFC 8032); the private key is in a file
outside the database, so who can write the database cannot make one.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from msgspec import Meta, Struct

from shared.errors import ConfigError

KEY_FILE: Final = "checkpoint.key"
"""Name of the key file, where the configuration names none."""

Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Head(Struct, frozen=True, array_like=True):
    """Where a stream stands: its last sequence, and that entry's hash."""

    edge_id: str
    epoch: int
    sequence: int
    hash: Hex


class Checkpoint(Struct, frozen=True, kw_only=True):
    """What is signed.

    Attributes:
        number: counts up from 1 without gaps.
        at_ms: wall time; milliseconds since 1970 UTC.
        position: of the ledger, through which this covers it.
        heads: of the streams that have moved since the checkpoint before, sorted.
        before: hash of the checkpoint before; of nothing for the first.
        key: the public key that fits the signature.
    """

    number: int
    at_ms: int
    position: int
    heads: list[Head]
    before: Hex
    key: Hex


class Signed(NamedTuple):
    """A checkpoint as it is kept: the bytes that were signed, and the signature."""

    number: int
    position: int
    body: bytes
    signature: bytes

    @property
    def hash(self) -> str:
        """What the next checkpoint names as the one before."""
        return hashlib.sha256(self.body + self.signature).hexdigest()


NOTHING: Final = hashlib.sha256().hexdigest()
"""The hash before the first checkpoint."""

_decoder = msgspec.json.Decoder(Checkpoint)


class Signer:
    """Signs checkpoints.

    Args:
        key: the private one.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """See the class."""
        self._key = key
        self.public = key.public_key()

    def sign(self, last: Signed | None, position: int, heads: Iterable[Head], at_ms: int) -> Signed:
        """The checkpoint that follows `last`."""
        number = 1 if last is None else last.number + 1
        body = msgspec.json.encode(
            Checkpoint(
                number=number,
                at_ms=at_ms,
                position=position,
                heads=sorted(heads, key=lambda x: (x.edge_id, x.epoch)),
                before=NOTHING if last is None else last.hash,
                key=_hex(self.public),
            )
        )
        return Signed(number, position, body, self._key.sign(body))


class Signatures:
    """Opens checkpoints, one after the other from the first.

    Args:
        trusted: keys that may have signed. Without any, a checkpoint's own key will do: then
            whoever could write the database may have made it.
    """

    def __init__(self, trusted: Iterable[Ed25519PublicKey] = ()) -> None:
        """See the class."""
        self.trusted = frozenset(_hex(key) for key in trusted)
        self._last = (0, NOTHING)

    def resume(self, number: int, before: str) -> None:
        """Go on behind a checkpoint, of which this is the number and the hash."""
        self._last = (number, before)

    def open(self, signed: Signed) -> tuple[Checkpoint | None, str]:
        """The checkpoint; or none, and what is wrong with it."""
        number, before = self._last[0] + 1, self._last[1]
        try:
            checkpoint = _decoder.decode(signed.body)
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(checkpoint.key))
            key.verify(signed.signature, signed.body)
        except (msgspec.DecodeError, ValueError, InvalidSignature):
            return None, "is not what was signed"
        if self.trusted and checkpoint.key not in self.trusted:
            return None, f"is signed by another key, {checkpoint.key}"
        if (checkpoint.number, checkpoint.before) != (number, before):
            return None, f"does not follow from checkpoint {number - 1}: one is missing or replaced"
        if (signed.number, signed.position) != (checkpoint.number, checkpoint.position):
            return None, "has columns that differ from what was signed"
        self._last = (signed.number, signed.hash)
        return checkpoint, ""


def make_key(path: Path) -> None:
    """Make a private key that this user alone may read, if there is no file yet.

    Raises:
        ConfigError: the file cannot be made.
    """
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(
            f"the key for checkpoints cannot be made: {error}",
            place="checkpoints.key_file",
            expected="a file in a folder that this user may write to",
        ) from None


def load_signer(path: Path) -> Signer:
    """The private key in a file.

    Raises:
        ConfigError: there is none, or others than its owner may read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(
                f"others than its owner may use {path}",
                place="checkpoints.key_file",
                expected="mode 0600: whoever has this key can sign another ledger",
            )
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the key for checkpoints cannot be used: {error}",
            place="checkpoints.key_file",
            expected="the file that central made at its first start, readable by this user",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{path} holds another kind of key",
            place="checkpoints.key_file",
            expected="an Ed25519 private key, PEM",
        )
    return Signer(key)


def load_public(path: Path) -> Ed25519PublicKey:
    """The public key in a file, as `public_pem` writes it.

    Raises:
        ConfigError: there is none.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the public key cannot be read: {error}",
            place=str(path),
            expected="what `pointsman central key` prints",
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(
            "another kind of key", place=str(path), expected="an Ed25519 public key, PEM"
        )
    return key


def public_pem(key: Ed25519PublicKey) -> str:
    """A public key as text: PEM, SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _hex(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
