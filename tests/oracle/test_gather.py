"""What is gathered in arrays is what plain Python gathers, option by option."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.routing.gather import Gathered
from tests.oracle.gather_oracle import ways
from tests.oracle.worlds import world


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_the_arrays_are_what_plain_python_finds_option_by_option(seed: int) -> None:
    of = world(seed)
    gathered, expected = Gathered(of.asked, of.crowded), ways(of.asked, of.crowded)
    relaxed = of.asked.relaxed
    assert gathered.rows.tolist() == [way.row for way in expected]
    assert gathered.masks.tolist() == [way.masks for way in expected]
    assert gathered.can.tolist() == [[not m & ~relaxed for m in way.masks] for way in expected]
    assert gathered.ready_ms.tolist() == [way.ready_ms for way in expected]
    assert gathered.fixed.tolist() == [way.fixed() for way in expected]
    assert gathered.assign.tolist() == [
        [bid + risk for bid, risk in zip(way.bid, way.rejection, strict=True)] for way in expected
    ]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_the_terms_of_a_package_are_those_of_plain_python(seed: int, data: st.DataObject) -> None:
    of = world(seed)
    gathered, expected = Gathered(of.asked, of.crowded), ways(of.asked, of.crowded)
    if not expected:
        return
    option = data.draw(st.integers(0, len(expected) - 1))
    way, everything = expected[option], list(range(len(gathered.groups)))
    terms = gathered.terms(option, gathered.starts[:-1] * 0 + everything, 1)
    assert terms.bid_minor == sum(way.bid)
    assert terms.rejection_minor == sum(way.rejection)
    assert {name: getattr(terms, name) for name in way.terms} == way.terms
