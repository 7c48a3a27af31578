"""What announcements and receipts make of lots."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.clock import to_datetime
from shared.events import Data, StockExpected, StockMoved, StockReceived
from shared.frames import Lots, decode_bulk, encode_bulk
from shared.lots import OVERDUE_MS, Lot, changes, scope_of
from shared.parts import StockLine

NOON_MS = 1_736_740_800_000
HOUR_MS = 3_600_000


def lines(**units: int) -> list[StockLine]:
    return [StockLine(sku=sku, quantity=n) for sku, n in units.items()]


def expected(lot_id: str, hours: int, node_id: str = "dc", **changed: Any) -> StockExpected:
    values: dict[str, Any] = {
        "node_id": node_id,
        "lot_id": lot_id,
        "lines": lines(A=10),
        "expected_at": to_datetime(NOON_MS + hours * HOUR_MS),
    }
    return StockExpected(**(values | changed))


def moved(to_node_id: str, hours: int, **units: int) -> StockMoved:
    when = to_datetime(NOON_MS + hours * HOUR_MS)
    return StockMoved(
        node_id="store", to_node_id=to_node_id, lines=lines(**units), expected_at=when
    )


def received(lot_id: str | None, reason: Any = "purchase", **units: int) -> StockReceived:
    return StockReceived(node_id="dc", lines=lines(**units), lot_id=lot_id, reason=reason)


class Board:
    """All lots, as events leave them."""

    def __init__(self) -> None:
        self.lots: dict[tuple[str, str, str], Lot] = {}

    def tell(self, data: Data, event_id: str = "e", now_ms: int = NOON_MS) -> list[Lot]:
        scope = scope_of(event_id, data)
        if scope is None:
            return []
        known = [
            x
            for x in self.lots.values()
            if x.node_id == scope.node_id and (x.lot_id == scope.lot_id or x.sku in scope.skus)
        ]
        found = changes(scope, data, known, now_ms)
        for lot in found:
            key = lot.node_id, lot.lot_id, lot.sku
            self.lots.pop(key, None)
            if lot.units:
                self.lots[key] = lot
        return found

    def units(self) -> dict[tuple[str, str], int]:
        return {(lot.lot_id, lot.sku): lot.units for lot in self.lots.values()}


def test_the_same_lot_said_again_replaces_what_was_said_of_it() -> None:
    board = Board()
    board.tell(expected("asn-1", 1, lines=lines(A=10, B=5)))
    later = expected("asn-1", 5, lines=lines(A=4), reason="inspection", release_per_mille=700)
    board.tell(later)
    (lot,) = board.lots.values()
    assert lot == Lot("dc", "asn-1", "A", 4, NOON_MS + 5 * HOUR_MS, 700, "inspection")


def test_a_lot_without_lines_is_gone() -> None:
    board = Board()
    board.tell(expected("asn-1", 1))
    assert [lot.units for lot in board.tell(expected("asn-1", 1, lines=[]))] == [0]
    assert not board.lots


def test_what_is_received_of_a_lot_is_no_longer_expected() -> None:
    board = Board()
    board.tell(expected("asn-1", 1))
    board.tell(expected("asn-2", 2))
    board.tell(received("asn-2", A=4))
    assert board.units() == {("asn-1", "A"): 10, ("asn-2", "A"): 6}
    board.tell(received("asn-2", A=99))
    assert board.units() == {("asn-1", "A"): 10}


def test_a_receipt_that_names_no_lot_changes_none_unless_it_is_a_transfer() -> None:
    board = Board()
    board.tell(expected("asn-1", 1))
    board.tell(moved("dc", 3, A=5), "late")
    board.tell(moved("dc", 2, A=5), "soon")
    for reason in ("purchase", "customer_return", "opening", "inspection"):
        assert board.tell(received(None, reason, A=3)) == []
    board.tell(received(None, "transfer", A=7))
    assert board.units() == {("asn-1", "A"): 10, ("store/late", "A"): 3}


def test_a_transfer_may_name_the_event_that_sent_it() -> None:
    board = Board()
    board.tell(moved("dc", 2, A=5), "m-1")
    board.tell(moved("dc", 3, A=5), "m-2")
    board.tell(received("store/m-2", "transfer", A=5))
    assert board.units() == {("store/m-1", "A"): 5}


def test_goods_that_nobody_says_when_to_expect_are_no_lot() -> None:
    without = StockMoved(node_id="store", to_node_id="dc", lines=lines(A=1))
    assert scope_of("e", without) is None


def test_lots_of_other_nodes_are_left_alone() -> None:
    board = Board()
    board.tell(expected("asn-1", 1, node_id="other"))
    board.tell(expected("asn-1", 1))
    board.tell(received("asn-1", A=10))
    assert [lot.node_id for lot in board.lots.values()] == ["other"]


def test_what_is_long_overdue_is_given_up_when_the_sku_is_next_heard_of() -> None:
    board = Board()
    board.tell(expected("asn-1", 0))
    board.tell(expected("asn-2", 24), now_ms=NOON_MS + OVERDUE_MS - 1)
    assert len(board.lots) == 2
    board.tell(expected("asn-3", 24), now_ms=NOON_MS + OVERDUE_MS)
    assert [lot_id for lot_id, _ in board.units()] == ["asn-2", "asn-3"]


def test_lots_travel_in_columns() -> None:
    told = Lots(lots=[Lot("dc", "a", "A", 1, 2, 3, "transfer"), Lot("dc", "b", "B", 4, 5)])
    assert decode_bulk(encode_bulk(told), Lots) == told


ids = st.sampled_from(["x", "y", "z"])
stock_lines = st.lists(
    st.builds(StockLine, sku=st.sampled_from("AB"), quantity=st.integers(1, 9)), max_size=4
)
told = st.one_of(
    st.builds(
        lambda lot_id, hours, stock: expected(lot_id, hours, lines=stock),
        ids, st.integers(0, 5), stock_lines,
    ),
    st.builds(
        lambda lot_id, reason, stock: StockReceived(
            node_id="dc", lines=stock, lot_id=lot_id, reason=reason
        ),
        st.none() | ids, st.sampled_from(["purchase", "transfer"]), stock_lines.filter(bool),
    ),
    st.builds(
        lambda hours, units: moved("dc", hours, A=units), st.integers(0, 5), st.integers(1, 9)
    ),
)  # fmt: skip


@given(st.lists(told, max_size=12))
def test_receipts_only_ever_lower_and_announcements_are_taken_as_they_are(
    story: list[Data],
) -> None:
    board = Board()
    for number, data in enumerate(story):
        before = board.units()
        board.tell(data, f"e{number}")
        after = board.units()
        if isinstance(data, StockReceived):
            units = sum(line.quantity for line in data.lines)
            assert all(0 < after[key] <= before[key] for key in after)
            assert sum(before.values()) - sum(after.values()) <= units
        elif isinstance(data, StockExpected):
            said = sum(line.quantity for line in data.lines)
            assert sum(n for key, n in after.items() if key[0] == data.lot_id) == said
            assert {k: n for k, n in after.items() if k[0] != data.lot_id} == {
                k: n for k, n in before.items() if k[0] != data.lot_id
            }


@given(st.lists(told, max_size=8))
def test_the_same_announcement_twice_is_the_announcement_once(story: list[Data]) -> None:
    once, twice = Board(), Board()
    for number, data in enumerate(story):
        once.tell(data, f"e{number}")
        twice.tell(data, f"e{number}")
        if not isinstance(data, StockReceived):
            assert twice.tell(data, f"e{number}") == []
    assert once.lots == twice.lots
