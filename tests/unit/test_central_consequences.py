"""What central commands because of an event."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from central import consequences, hub
from central.consequences import held, lines_of
from central.dealings import Dealings
from central.desk import Desk
from central.hub_stream import Cause, Head, HubStream
from central.stream import genesis, link
from central.systems import System, Systems
from shared.envelope import make_event
from shared.events import OrderCancelled, OrderParked, RoutePlanned
from shared.parts import CellUnits
from shared.systems import InventoryLockRequested, PaymentConfirmationRequested
from tests.central_scene import NOW, NOW_MS, accepted, plan, received, shortage
from tests.system_scene import SYSTEMS

NODES = ("dc", "s-e1")


def life(*told, systems=SYSTEMS, edge_id="e1"):
    """The commands that follow from events of one edge, in order."""
    desk, dealings, stream, made = Desk(), Dealings(), HubStream(Head(), NOW_MS), []
    for number, data in enumerate(told):
        event = make_event(data, id=f"e-{number}", source="/edges/e1", time=NOW, epoch=1,
                           sequence=number + 1, hlc="0" * 16)  # fmt: skip
        for command in consequences.follow(edge_id, event, data, desk, dealings, systems):
            entry = stream.decide(command, Cause.of(event))
            assert dealings.apply("hub", entry.event, command, None) == []
            made.append(command)
        hub.apply(desk, edge_id, event, data)
    return made


def test_each_role_gets_its_own_commands_only():
    paid = accepted("o", plan("dc", "A", 1))
    assert life(paid, systems=Systems()) == []
    (lock,) = life(paid, systems=Systems([System(name="sap", role="erp")]))
    assert isinstance(lock, InventoryLockRequested)
    assert lock.system == "sap"
    (told,) = life(paid, systems=Systems([System(name="bulk", role="sms")]))
    assert isinstance(told, PaymentConfirmationRequested)
    assert told.promised_at == paid.plan.packages[0].arrives_at
    assert life(paid, systems=Systems([System(name="wms", role="wms")])) == []


def test_what_changes_nothing_that_an_order_holds_commands_nothing():
    paid = accepted("o", plan("dc", "A", 1), quantity=2, parked=1)
    same = OrderParked(order_id="o", parked=shortage("A", 1))
    assert len(life(paid, same, received("dc", A=3), RoutePlanned(plan=plan("dc", "A", 1)))) == 2


def test_an_order_that_is_cancelled_whole_gives_its_lock_back():
    paid = accepted("o", plan("dc", "A", 1))
    back = [CellUnits(node_id="dc", sku="A", quantity=1)]
    made = life(paid, OrderCancelled(order_id="o", released=back, nothing_left=True))
    assert [x.lines for x in made if isinstance(x, InventoryLockRequested)][-1] == []


units = st.integers(1, 5)
changes = st.lists(
    st.one_of(
        st.builds(
            lambda node, q, rest: RoutePlanned(
                order_id="o", plan=plan(node, "A", q), parked=shortage("A", rest)
            ),
            st.sampled_from(NODES), units, units,
        ),
        st.builds(lambda q: OrderParked(order_id="o", parked=shortage("A", q)), units),
        st.builds(
            lambda node, q: OrderCancelled(
                order_id="o", released=[CellUnits(node_id=node, sku="A", quantity=q)]
            ),
            st.sampled_from(NODES), units,
        ),
    ),
    max_size=8,
)  # fmt: skip


@given(changes)
def test_the_last_lock_is_what_all_events_together_leave(told):
    first = accepted("o", plan("dc", "A", 2), quantity=3, parked=1)
    locks = [x for x in life(first, *told) if isinstance(x, InventoryLockRequested)]
    holding = held(first, {}, first.parked)
    for data in told:
        holding = held(data, holding, data.parked)
    assert locks[-1].lines == lines_of(holding)
    assert [x.revision for x in locks] == list(range(1, len(locks) + 1))
    assert all(a.lines != b.lines for a, b in pairwise(locks))


@given(st.lists(st.integers(0, 1 << 45), min_size=1, max_size=6))
def test_what_follows_is_later_than_its_cause_whatever_the_clocks_say(readings):
    stream = HubStream(Head(), NOW_MS)
    data = InventoryLockRequested(order_id="o", system="erp", revision=1, lines=[])
    before, digest = "", genesis("hub", 1)
    for number, ms in enumerate(readings, 1):
        cause = Cause("e-1", f"{ms << 16:016x}")
        entry = stream.decide(data, cause)
        assert entry.event.hlc > max(cause.hlc, before)
        before, digest = entry.event.hlc, link(digest, entry.raw)
        assert (entry.hash, entry.sequence) == (digest, number)
