"""Slots as arrays: whatever happens to them, they say what the slots by name say."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from edge.capacity import Slots
from shared.clock import to_datetime
from shared.events import CapacityAnnounced
from shared.parts import CellUnits, Slot, slot_sku
from tests.shop import NOON_MS

HOUR_MS = 3_600_000
NODES = ("a", "b", "unknown")
BY_POSITION = {"a": 0, "without slots": 1, "b": 2}

Step = Callable[[Slots], None]


def sku_at(hour: int) -> str:
    return slot_sku(to_datetime(NOON_MS + hour * HOUR_MS))


def announces(node_id: str, hour: int, hours: int) -> Step:
    slot = Slot(
        starts_at=to_datetime(NOON_MS + hour * HOUR_MS),
        ends_at=to_datetime(NOON_MS + (hour + hours) * HOUR_MS),
        packages=1,
    )
    return lambda slots: slots.announce(CapacityAnnounced(node_id=node_id, slots=[slot]))


def moves(node_id: str, hour: int, quantity: int) -> Step:
    cell = CellUnits(node_id=node_id, sku=sku_at(hour), quantity=quantity)

    def move(slots: Slots) -> None:
        if slots.share(node_id, cell.sku) >= quantity:
            slots.move([cell], -1)
        else:
            slots.move([cell], 1)

    return move


hours = st.integers(0, 4)
steps = st.lists(
    st.one_of(
        st.builds(announces, st.sampled_from(NODES), hours, st.integers(1, 3)),
        st.builds(moves, st.sampled_from(NODES), hours, st.integers(1, 5)),
        st.just(Slots.clear),
    )
)


def same(slots: Slots) -> None:
    board = slots.board(BY_POSITION)
    expected = [(node_id, slot) for node_id in BY_POSITION for slot in slots.of(node_id)]
    if board is None:
        assert not expected
        return
    assert board.slots == [slot for _, slot in expected]
    assert board.starts_ms.tolist() == [slot.starts_ms for _, slot in expected]
    assert board.ends_ms.tolist() == [slot.ends_ms for _, slot in expected]
    assert board.left.tolist() == [slots.share(node_id, slot.sku) for node_id, slot in expected]
    for node_id, at in BY_POSITION.items():
        assert board.slots[board.first[at] : board.first[at + 1]] == list(slots.of(node_id))


@given(steps)
def test_the_board_follows_whatever_happens_to_slots_and_shares(steps: list[Step]) -> None:
    slots = Slots()
    same(slots)
    for step in steps:
        step(slots)
        same(slots)


def test_other_positions_are_another_board() -> None:
    slots = Slots([("a", NOON_MS, NOON_MS + HOUR_MS)], [("a", sku_at(0), 3)])
    one, other = slots.board({"a": 0, "b": 1}), slots.board({"b": 0, "a": 1})
    assert one is not None
    assert other is not None
    assert (one.first.tolist(), other.first.tolist()) == ([0, 1, 1], [0, 0, 1])
