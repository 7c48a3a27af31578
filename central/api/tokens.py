"""Tokens: who may ask the API, and what. The file holds hashes, never a token.

A token is 256 random bits, so a plain SHA-256 of it cannot be turned back; nothing slower is
needed, as it would be for passwords.
"""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from central.api.operation import ROLES, Right, Role
from central.private import replace_private
from shared.errors import ConfigError
from shared.parts import Name

PREFIX: Final = "pmt_"
"""So that programs that look for leaked secrets know one."""

_BYTES: Final = 32
_EXPECTED: Final = "the file that `pointsman central token` writes"


class Token(Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a token."""

    name: Name
    role: Role
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    made_ms: int

    def may(self, right: Right) -> bool:
        """Whether its role has a right."""
        return right in ROLES[self.role]


class Tokens:
    """The tokens of a file; one that is written anew counts from the next request on.

    Args:
        path: the file. Without it nobody may ask.
    """

    def __init__(self, path: Path) -> None:
        """See the class."""
        self._path = path
        self._read: tuple[int, int, int] | None = None
        self._tokens: list[Token] = []

    def find(self, presented: str) -> Token | None:
        """Whose token this is.

        Raises:
            ConfigError: the file cannot be used.
        """
        self._refresh()
        digest = _hash(presented)
        found = None
        # All are compared, and each in constant time: how long it takes tells nothing.
        for token in self._tokens:
            if hmac.compare_digest(token.hash, digest):
                found = token
        return found

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except OSError:
            self._read, self._tokens = None, []
            return
        now = (status.st_mtime_ns, status.st_ino, status.st_size)
        if now != self._read:
            self._tokens = load_tokens(self._path)
            self._read = now


def load_tokens(path: Path) -> list[Token]:
    """The tokens of a file, by name; none if there is no file.

    Raises:
        ConfigError: it cannot be read, is no such file, or others than its owner may read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(
                f"others than its owner may read {path}", place="api.tokens_file",
                expected=f"the user of the API alone: chmod 600 {path}",
            )  # fmt: skip
        return msgspec.json.decode(path.read_bytes(), type=list[Token])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", place="api.tokens_file", expected=_EXPECTED
        ) from None


def make_token(path: Path, name: str, role: Role, now_ms: int) -> str:
    """Make a token, keep its hash, and return it: nobody can read it again.

    Raises:
        ConfigError: the name is taken or malformed, or the file cannot be used.
    """
    tokens = load_tokens(path)
    if any(token.name == name for token in tokens):
        raise ConfigError(
            f"there is a token of the name {name}", place="name",
            expected="another name, or `pointsman central revoke-token` before",
        )  # fmt: skip
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    try:
        token = msgspec.convert(
            {"name": name, "role": role, "hash": _hash(secret), "made_ms": now_ms}, Token
        )
    except msgspec.ValidationError as error:
        raise ConfigError(
            str(error), place="name", expected="letters, digits, dot, dash, underscore"
        ) from None
    _save(path, [*tokens, token])
    return secret


def revoke_token(path: Path, name: str) -> None:
    """Let a token count no more.

    Raises:
        ConfigError: there is none of that name, or the file cannot be used.
    """
    tokens = load_tokens(path)
    left = [token for token in tokens if token.name != name]
    if len(left) == len(tokens):
        raise ConfigError(
            f"there is no token of the name {name}", place="name",
            expected="one that `pointsman central tokens` lists",
        )  # fmt: skip
    _save(path, left)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _save(path: Path, tokens: list[Token]) -> None:
    try:
        replace_private(path, msgspec.json.format(msgspec.json.encode(tokens), indent=2) + b"\n")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error}", place="api.tokens_file",
            expected="a file in a folder that this user may write to",
        ) from None  # fmt: skip
