"""Keys and contacts under AES-GCM: what opens, and what does not."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.sealing import (
    DESTROYED,
    KEY_BYTES,
    WRAPPED_BYTES,
    Keyring,
    UnreadableError,
    WrongMasterKeyError,
)
from shared.parts import Contact

OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES

contacts = st.builds(
    Contact, name=st.text(max_size=256), phone=st.text(max_size=32), address=st.text(max_size=1024)
)
subjects = st.text(max_size=64)
seeds = st.integers(0, 2**32)


def ring(*masters: bytes, seed: int = 1) -> Keyring:
    return Keyring(masters or (OLD,), Random(seed).randbytes)


@given(contacts, subjects, subjects, seeds)
def test_what_is_sealed_opens_again_and_shows_nothing(contact, order_id, subject, seed):
    one = ring(seed=seed)
    key = one.new_key()
    wrapped, sealed = one.wrap(key, subject), one.seal(key, order_id, contact)
    assert len(wrapped) == WRAPPED_BYTES == len(DESTROYED)
    assert key not in wrapped
    if len(contact.name) > 4:
        assert contact.name.encode() not in sealed
    again = ring(seed=seed + 1)
    assert again.unseal(again.unwrap(wrapped, subject), order_id, sealed) == contact


@given(st.integers(0, WRAPPED_BYTES - 1), st.integers(1, 255))
def test_a_changed_key_is_noticed(place, change):
    keys = ring()
    wrapped = bytearray(keys.wrap(keys.new_key(), "customer:c"))
    wrapped[place] ^= change
    with pytest.raises(UnreadableError):
        keys.unwrap(bytes(wrapped), "customer:c")


@given(contacts, st.data(), st.integers(1, 255))
def test_a_changed_contact_is_noticed(contact, data, change):
    keys = ring()
    key = keys.new_key()
    sealed = bytearray(keys.seal(key, "o", contact))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= change
    with pytest.raises(UnreadableError, match="for o does not open"):
        keys.unseal(key, "o", bytes(sealed))


def test_what_was_moved_to_another_place_does_not_open():
    keys = ring()
    key = keys.new_key()
    with pytest.raises(UnreadableError):
        keys.unseal(key, "o2", keys.seal(key, "o1", Contact(name="Customer 1")))
    with pytest.raises(UnreadableError):
        keys.unseal(keys.new_key(), "o1", keys.seal(key, "o1", Contact(name="Customer 1")))
    with pytest.raises(UnreadableError):
        keys.unwrap(keys.wrap(key, "customer:c1"), "customer:c2")
    for short in (b"", b"x", b"x" * 12):
        with pytest.raises(UnreadableError):
            keys.unseal(key, "o1", short)


def test_another_master_key_is_named_and_so_is_the_way_out():
    wrapped = ring(OLD).wrap(b"k" * KEY_BYTES, "customer:c")
    with pytest.raises(WrongMasterKeyError) as caught:
        ring(NEW).unwrap(wrapped, "customer:c")
    assert wrapped[:8].hex() in caught.value.detail
    assert "from its backup" in caught.value.expected
    with pytest.raises(WrongMasterKeyError):
        ring(OLD).unwrap(DESTROYED, "customer:c")


def test_during_a_rotation_both_keys_open_and_the_newest_wraps():
    key = b"k" * KEY_BYTES
    old = ring(OLD).wrap(key, "customer:c")
    both = ring(NEW, OLD)
    assert both.rotating
    assert both.unwrap(old, "customer:c") == key
    assert not both.is_newest(old)
    new = both.wrap(key, "customer:c")
    assert both.is_newest(new)
    assert ring(NEW).unwrap(new, "customer:c") == key
