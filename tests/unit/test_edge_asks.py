"""Payments that wait, for a moment, for units that central may have."""

from msgspec.structs import replace

from edge.core import ASK_MS_MAX, ASKS_MAX
from shared.envelope import decode_data
from shared.frames import Grant
from shared.parts import Fulfilment
from tests.edge_scene import Scene, cells
from tests.shop import payment, question


def test_a_payment_that_lacks_units_asks_central_and_is_answered_with_what_is_granted(
    scene: Scene,
) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    assert (scene.said, scene.done, scene.log()) == ([], [], [])
    (ask,) = scene.asks()
    (lacking,) = ask.lines
    assert (lacking.sku, lacking.quantity) == ("sku-1", 1)
    assert lacking.nodes == ["store-1", "dc-south", "dc-north"]
    scene.send(Grant(cells=cells("dc-south", sku_1=1)))
    scene.asked(ask)
    scene.rest()
    ((_, accepted),) = scene.answers("p1")
    assert accepted.plan is not None
    assert accepted.parked == []
    assert scene.done == ["p1"]
    assert scene.share("dc-south", "sku-1") == 0


def test_an_ask_names_the_only_node_that_will_do(scene: Scene) -> None:
    wanted = Fulfilment(kind="pick_up", node_id="store-1")
    scene.tell("till-1", payment("sku-1", fulfilment=wanted), "p1")
    (ask,) = scene.asks()
    assert [line.nodes for line in ask.lines] == [["store-1"]]


def test_an_answered_ask_waits_until_its_feed_item_is_applied(scene: Scene) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    (ask,) = scene.asks()
    scene.asked(ask, feed=2)
    scene.rest()
    assert scene.said == []
    scene.grant("dc-south", sku_1=1)
    ((_, accepted),) = scene.answers("p1")
    assert accepted.plan is not None


def test_an_ask_that_brings_nothing_parks_the_payment_at_once(scene: Scene) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    (ask,) = scene.asks()
    scene.asked(ask)
    scene.rest()
    ((kind, accepted),) = scene.answers("p1")
    assert (kind, accepted.plan, accepted.parked[0].sku) == ("order.accepted", None, "sku-1")


def test_a_payment_waits_a_tenth_of_a_second_at_most_and_late_units_still_reach_it(
    scene: Scene,
) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    (ask,) = scene.asks()
    scene.elapsed_ms += ASK_MS_MAX - 1
    assert not scene.core.has_work(scene.elapsed_ms)
    scene.elapsed_ms += 1
    scene.rest()
    ((_, accepted),) = scene.answers("p1")
    assert accepted.plan is None
    scene.asked(ask, feed=2)
    scene.grant("dc-south", sku_1=1)
    planned = [decode_data(event) for _, kind, event in scene.said if kind == "route.planned"]
    assert [plan.order_id for plan in planned] == [accepted.order_id]
    assert scene.core.sync.answered == {}


def test_the_same_payment_sent_again_while_it_waits_is_one_order(scene: Scene) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.tell("till-1", payment("sku-1"), "p1")
    first, again = scene.asks()
    scene.send(Grant(cells=cells("dc-south", sku_1=2)))
    scene.asked(first)
    scene.asked(again)
    scene.rest()
    answers = scene.answers("p1")
    assert [kind for kind, _ in answers] == ["order.accepted"] * 2
    assert answers[0] == answers[1]
    assert scene.share("dc-south", "sku-1") == 1
    assert scene.done == ["p1", "p1"]


def test_other_content_under_the_id_of_a_payment_that_waits_is_refused(scene: Scene) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.tell("till-1", payment("sku-2"), "p1")
    scene.elapsed_ms += ASK_MS_MAX
    scene.rest()
    assert scene.kinds("p1") == ["order.accepted", "input.rejected"]
    assert scene.codes("p1") == ["id_reused"]


def test_while_central_is_away_nobody_waits(scene: Scene) -> None:
    scene.core.sync.disconnected()
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.kinds("p1") == ["order.accepted"]
    scene.core.sync.connected()
    scene.ack_all()
    scene.elapsed_ms += 60_000  # Connected, but silent.
    scene.tell("till-1", payment("sku-1"), "p2")
    assert scene.kinds("p2") == ["order.accepted"]


def test_an_ask_is_not_made_up_for_once_the_line_is_back(scene: Scene) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.core.sync.disconnected()
    scene.core.sync.connected()
    assert scene.asks() == []
    scene.elapsed_ms += ASK_MS_MAX
    scene.rest()
    assert scene.kinds("p1") == ["order.accepted"]


def test_only_so_many_payments_wait_at_once(scene: Scene) -> None:
    messages = [scene.message("till-1", payment("sku-1"), f"p{n}") for n in range(ASKS_MAX + 2)]
    scene.turn(*messages)
    assert len(scene.asks()) == ASKS_MAX
    assert scene.done == [f"p{ASKS_MAX}", f"p{ASKS_MAX + 1}"]
    scene.elapsed_ms += ASK_MS_MAX
    scene.rest()
    assert len(scene.done) == ASKS_MAX + 2
    assert [event.number() for event in scene.log()] == list(range(1, 2 * (ASKS_MAX + 2) + 1))


def test_who_waits_does_not_hold_up_who_has_what_he_needs(scene: Scene) -> None:
    scene.grant("dc-south", sku_2=1)
    scene.turn(
        scene.message("till-1", payment("sku-1"), "p1"),
        scene.message("till-1", payment("sku-2"), "p2"),
        scene.message("till-1", payment("nothing"), "p3"),
    )
    assert scene.done == ["p2", "p3"]
    assert scene.codes("p3") == ["unknown_sku"]


def test_a_parked_question_never_asks(scene: Scene) -> None:
    asked = scene.message("till-1", question("sku-1"), "q1")
    (send,) = scene.core.answer(asked, scene.now_ms)
    assert send.kind == "route.planned"
    assert scene.asks() == []


def test_what_waits_is_forgotten_with_the_site_s_broker_and_decided_when_it_comes_again(
    scene: Scene,
) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    (ask,) = scene.asks()
    scene.core.forget_asks()
    scene.asked(ask)
    scene.elapsed_ms += ASK_MS_MAX
    scene.rest()
    assert (scene.said, scene.core.sync.answered) == ([], {})
    scene.grant("dc-south", sku_1=1)
    scene.tell("till-1", payment("sku-1"), "p1")  # The broker delivers it anew.
    assert scene.kinds("p1") == ["order.accepted"]


def test_the_answer_to_another_process_s_ask_is_nobody_s(scene: Scene) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    (ask,) = scene.asks()
    other = Grant(cells=cells("dc-south", sku_1=1))
    scene.send(other)
    scene.asked(replace(ask, id="f" * 16))
    scene.rest()
    assert scene.said == []
    assert scene.core.sync.answered == {}
