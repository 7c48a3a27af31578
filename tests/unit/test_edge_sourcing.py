"""Rules choose what a naive reading of the document chooses."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sourcing import Rules
from shared.clock import to_datetime
from shared.parts import Channel, Credit, FulfilmentKind, Speed, Tier
from shared.sourcing import Conditions, Profile, Rule, Sourcing
from tests.shop import NOON_MS

NAMES = ["a", "b", "c"]
KINDS = {
    "channel": ("channels", get_args(Channel)),
    "tier": ("tiers", get_args(Tier)),
    "speed": ("speeds", get_args(Speed)),
    "credit": ("credits", get_args(Credit)),
    "kind": ("kinds", get_args(FulfilmentKind)),
    "region": ("regions", NAMES),
    "store_id": ("stores", NAMES),
}
ORDER: dict[str, Any] = {
    "channel": "pos",
    "tier": "standard",
    "speed": "standard",
    "credit": "good",
    "kind": "delivery",
    "region": "a",
    "store_id": "a",
    "tags": set(),
    "now_ms": NOON_MS,
}


def document(*whens: Conditions) -> Sourcing:
    """One profile per rule, named by its number, and `other`."""
    names = [*(f"r{number}" for number in range(len(whens))), "other"]
    return Sourcing(
        version="s1",
        profiles=[Profile(version=name) for name in names],
        otherwise="other",
        rules=[Rule(profile=f"r{number}", when=when) for number, when in enumerate(whens)],
    )


def chosen(*whens: Conditions, **changes: Any) -> str:
    return Rules(document(*whens)).choose(**(ORDER | changes)).version


def applies(when: Conditions, order: dict[str, Any]) -> bool:
    """As a person reads it."""
    for fact, (condition, _) in KINDS.items():
        wanted = getattr(when, condition)
        if wanted and order[fact] not in wanted:
            return False
    if when.tags and not set(when.tags) & set(order["tags"]):
        return False
    now = to_datetime(order["now_ms"])
    if when.from_at is not None and now < when.from_at:
        return False
    return when.until_at is None or now < when.until_at


moments = st.none() | st.integers(-5_000, 5_000).map(
    lambda us: to_datetime(NOON_MS) + timedelta(microseconds=us)
)


def some(values: Any) -> Any:
    return st.just([]) | st.lists(st.sampled_from(values), max_size=3)


conditions = st.builds(
    Conditions,
    from_at=moments,
    until_at=moments,
    tags=some(NAMES),
    **{condition: some(values) for condition, values in KINDS.values()},
)
orders = st.fixed_dictionaries(
    {fact: st.sampled_from(values) for fact, (_, values) in KINDS.items()}
    | {
        "region": st.none() | st.sampled_from([*NAMES, "elsewhere"]),
        "tags": st.sets(st.sampled_from([*NAMES, "elsewhere"])),
        "now_ms": st.integers(NOON_MS - 6, NOON_MS + 6),
    }
)


@given(st.lists(conditions, max_size=12), st.lists(orders, min_size=1, max_size=8))
def test_the_first_rule_that_applies_chooses_as_a_person_would_read_it(whens, asked):
    rules = Rules(document(*whens))
    for order in asked:
        expected = next((f"r{n}" for n, when in enumerate(whens) if applies(when, order)), "other")
        assert rules.choose(**order).version == expected


def test_without_rules_every_order_has_the_other_profile():
    assert chosen() == "other"


def test_a_rule_without_conditions_applies_to_every_order():
    assert chosen(Conditions()) == "r0"
    assert chosen(Conditions(), region=None) == "r0"


@pytest.mark.parametrize("fact", sorted(KINDS))
def test_each_condition_keeps_others_out(fact):
    condition, values = KINDS[fact]
    when = Conditions(**{condition: [values[0]]})
    assert chosen(when, **{fact: values[0]}) == "r0"
    assert chosen(when, **{fact: values[1]}) == "other"


def test_one_product_with_one_of_the_tags_is_enough():
    when = Conditions(tags=["frozen", "fresh"])
    assert chosen(when, tags={"toys", "fresh"}) == "r0"
    assert chosen(when, tags={"toys"}) == "other"
    assert chosen(when) == "other"


def test_an_order_without_a_destination_is_in_no_region():
    assert chosen(Conditions(regions=["a"]), region=None) == "other"


def test_a_rule_begins_at_its_moment_and_no_longer_applies_at_its_end():
    when = Conditions(from_at=to_datetime(NOON_MS), until_at=to_datetime(NOON_MS + 10))
    found = [chosen(when, now_ms=NOON_MS + ms) for ms in (-1, 0, 9, 10)]
    assert found == ["other", "r0", "r0", "other"]


def test_a_rule_that_is_over_makes_room_for_the_next():
    over = Conditions(until_at=to_datetime(NOON_MS))
    assert chosen(over, Conditions(tiers=["standard"])) == "r1"


def test_the_last_moment_there_is_can_be_named():
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert chosen(Conditions(until_at=last)) == "r0"


def test_two_hundred_rules_are_told_apart():
    whens = [Conditions(stores=[f"s-{number}"]) for number in range(200)]
    assert chosen(*whens, store_id="s-199") == "r199"


def test_what_is_chosen_is_the_whole_profile():
    profile = Profile(version="other", split_cost_minor=7)
    sourcing = msgspec.structs.replace(document(), profiles=[profile])
    assert Rules(sourcing).choose(**ORDER) == profile
