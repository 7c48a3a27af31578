"""How contacts are sealed: a key per customer, wrapped by the master key. Pure.

Both layers are AES-256-GCM (NIST SP 800-38D) with random nonces. Fernet would do too; GCM binds
what is sealed to whom it belongs, so that a row which is moved to another order, or a key to
another customer, does not open. And a wrapped key always has the same length, so that it can be
destroyed where it stands.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import PointsmanError
from shared.parts import Contact

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_NAME_BYTES: Final = 8

WRAPPED_BYTES: Final = _NAME_BYTES + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
DESTROYED: Final = bytes(WRAPPED_BYTES)
"""What stands where a wrapped key was."""


class UnreadableError(PointsmanError):
    """The vault holds something that no key opens: it was changed, or the key is another one."""

    code: ClassVar[str] = "vault_unreadable"


class WrongMasterKeyError(UnreadableError):
    """None of the master keys at hand has wrapped this."""

    code: ClassVar[str] = "wrong_master_key"


class Keyring:
    """The master keys, and what is done with them.

    Args:
        masters: of `KEY_BYTES` each, the newest first; keys are wrapped by that, and unwrapped
            by any.
        draw: so many random bytes, fit for keys.
    """

    def __init__(self, masters: Sequence[bytes], draw: Callable[[int], bytes]) -> None:
        """See the class."""
        assert masters, "a keyring without a key"
        assert all(len(x) == KEY_BYTES for x in masters), "a master key of another length"
        self._masters = {_name_of(x): AESGCM(x) for x in masters}
        self._newest = _name_of(masters[0])
        self._draw = draw

    @property
    def rotating(self) -> bool:
        """Whether there is an older master key, from which keys have to be moved."""
        return len(self._masters) > 1

    def new_key(self) -> bytes:
        """A key for a customer."""
        return self._draw(KEY_BYTES)

    def wrap(self, key: bytes, subject: str) -> bytes:
        """A customer's key as it may be stored: name of the master key, nonce, ciphertext.

        Args:
            key: of `new_key`.
            subject: whose it is; it has to be told again to unwrap it.
        """
        nonce = self._draw(_NONCE_BYTES)
        wrapped = self._masters[self._newest].encrypt(nonce, key, subject.encode())
        return self._newest + nonce + wrapped

    def unwrap(self, wrapped: bytes, subject: str) -> bytes:
        """The key in `wrapped`.

        Raises:
            WrongMasterKeyError: no master key of this ring has wrapped it.
            UnreadableError: it was changed, or is of another subject.
        """
        master = self._masters.get(wrapped[:_NAME_BYTES])
        if master is None:
            raise WrongMasterKeyError(
                f"a customer's key is wrapped by master key {wrapped[:_NAME_BYTES].hex()}; "
                f"at hand is {', '.join(x.hex() for x in self._masters)}",
                place="vault_keys",
                expected="the key file that belongs to this database, from its backup",
            )
        return _opened(master, wrapped[_NAME_BYTES:], subject, "vault_keys")

    def is_newest(self, wrapped: bytes) -> bool:
        """Whether the newest master key has wrapped it."""
        return wrapped.startswith(self._newest)

    def seal(self, key: bytes, order_id: str, contact: Contact) -> bytes:
        """The contact of an order as it may be stored: nonce, ciphertext."""
        nonce = self._draw(_NONCE_BYTES)
        return nonce + AESGCM(key).encrypt(nonce, msgspec.json.encode(contact), order_id.encode())

    def unseal(self, key: bytes, order_id: str, sealed: bytes) -> Contact:
        """The contact in `sealed`.

        Raises:
            UnreadableError: it was changed, or is of another order or another key.
        """
        return msgspec.json.decode(_opened(AESGCM(key), sealed, order_id, "vault"), type=Contact)


def _opened(cipher: AESGCM, sealed: bytes, of: str, place: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.encode())
    except (InvalidTag, ValueError):  # ValueError: too short to be anything
        raise UnreadableError(
            f"what the vault holds for {of} does not open",
            place=place,
            expected="rows as central has written them; restore the database from its backup",
        ) from None


def _name_of(master: bytes) -> bytes:
    return hashlib.sha256(b"pointsman master key\0" + master).digest()[:_NAME_BYTES]
