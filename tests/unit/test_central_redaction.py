"""What an edge's log must not hold does not get past central's door."""

import json

from hypothesis import given
from hypothesis import strategies as st

from central.redaction import without_contacts

plain = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8)
documents = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["contact", "data", "lines"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def contacts(part):
    match part:
        case dict():
            yield from ([part["contact"]] if "contact" in part else [])
            for value in part.values():
                yield from contacts(value)
        case list():
            for value in part:
                yield from contacts(value)


@given(documents)
def test_every_contact_is_emptied_wherever_it_stands(document):
    raw = json.dumps(document).encode()
    left = json.loads(without_contacts(raw))
    assert not any(contacts(left))
    if not any(contacts(document)):
        assert without_contacts(raw) is raw


def test_what_merely_speaks_of_contacts_stays_byte_for_byte():
    raw = b'{ "sku": "contact-lenses",  "n": 1.0 }'
    assert without_contacts(raw) is raw


def test_bytes_that_are_no_text_do_not_hide_a_contact():
    assert b"Li" not in without_contacts(b'{"x": "\xff", "contact": {"name": "Li"}}')
    deep = b'{"contact": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    assert without_contacts(deep) is deep
