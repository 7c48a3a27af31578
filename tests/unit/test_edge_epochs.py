"""Recalls, new epochs, and stores that must not sell."""

from pathlib import Path

from edge.core import ASK_MS_MAX, REST_MS
from shared.envelope import decode_data
from shared.events import PickRejected, PickRequested, PickShort
from shared.frames import Grant, Recall, Rejoin
from tests.edge_scene import Scene, cells, event_of
from tests.shop import NORTH, network, payment, question


def test_a_recall_takes_what_is_still_there_and_says_so(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=3)
    wanted = [*cells("dc-south", sku_1=5, sku_2=2, sku_unknown=1), *cells("nowhere", sku_1=1)]
    number = scene.send(Recall(cells=wanted))
    scene.rest()
    assert scene.share("dc-south", "sku-1") == 0
    returned = decode_data(scene.log()[-1])
    assert returned.cells == cells("dc-south", sku_1=3)
    assert returned.recall == number


def test_a_recall_before_the_first_network_returns_nothing_and_loses_nothing(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path / "edge.db")
    scene.ack()
    scene.grant("dc-south", sku_1=3)
    scene.feed(Recall(cells=cells("dc-south", sku_1=3)))
    assert decode_data(scene.log()[-1]).cells == []
    scene.feed(network())
    assert scene.share("dc-south", "sku-1") == 3


def test_a_recall_is_answered_once_however_often_it_comes(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=3)
    recall = Recall(cells=cells("dc-south", sku_1=2))
    number = scene.send(recall)
    scene.send(recall, number)
    scene.rest()
    scene.send(recall, number)
    scene.rest()
    assert len(scene.log()) == 1
    assert scene.share("dc-south", "sku-1") == 1


def test_a_fenced_edge_begins_its_log_and_its_shares_anew_and_keeps_its_orders(
    scene: Scene,
) -> None:
    scene.grant("dc-south", sku_1=5)
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.tell("till-1", payment("sku-2"), "p2")
    scene.elapsed_ms += ASK_MS_MAX
    scene.rest()
    scene.feed(Rejoin(epoch=2))
    began = scene.log()[-1]
    assert (began.epoch, began.number(), began.id) == (2, 1, "edge-1-2-1")
    data = decode_data(began)
    assert (data.previous_epoch, data.previous_sequence) == (1, 4)
    assert scene.share("dc-south", "sku-1") == 0
    hello = scene.hello()
    assert (hello.epoch, hello.sequence, hello.feed) == (2, 1, scene.feed_sent)
    scene.grant("dc-south", sku_2=1)  # What was parked in the old epoch is planned in this one.
    assert [event.epoch for event in scene.log()[-2:]] == [2, 2]
    scene.restart()
    scene.ack(0, epoch=2)
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.kinds("p1") == ["order.accepted"] * 2


def test_a_rejoin_to_an_epoch_that_is_over_changes_nothing_and_is_named(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=5)
    scene.feed(Rejoin(epoch=3))
    scene.grant("dc-south", sku_1=2)
    scene.feed(Rejoin(epoch=3), Rejoin(epoch=2))
    assert scene.share("dc-south", "sku-1") == 2
    assert scene.hello().epoch == 3
    assert scene.hello().feed == scene.feed_sent
    assert [event.number() for event in scene.log()] == [1]


def test_a_rejoin_whose_commit_fails_is_as_if_it_had_not_come(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=5)
    scene.ack(9)
    scene.rest()
    scene.ack(0)
    scene.send(Rejoin(epoch=2))
    scene.turn(broken_disk=True)
    assert scene.share("dc-south", "sku-1") == 5
    assert (scene.hello().epoch, scene.hello().unfit) == (1, True)
    scene.elapsed_ms += REST_MS
    scene.send(Rejoin(epoch=2), scene.feed_sent)
    scene.rest()
    assert (scene.hello().epoch, scene.hello().unfit) == (2, False)
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.codes("p1") == []


def test_an_unfit_edge_takes_no_grant_and_no_payment_until_it_rejoins(scene: Scene) -> None:
    scene.ack(7)
    scene.rest()
    assert scene.hello().unfit
    scene.ack(7)  # It is fenced: central speaks with it again.
    scene.send(Grant(cells=cells("dc-south", sku_1=5)), 2)
    scene.rest()
    assert scene.core.applied == 1
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.codes("p1") == ["stale_store"]
    (send,) = scene.core.answer(scene.message("till-1", question("sku-1"), "q1"), scene.now_ms)
    assert send.kind == "input.rejected"
    # What was not taken before is missing in front of it.
    scene.feed(Rejoin(epoch=2, restored=True), [], Grant(cells=cells("dc-south", sku_1=5)))
    scene.tell("till-1", payment("sku-1"), "p2")
    assert scene.kinds("p2") == ["order.accepted"]
    assert scene.hello().unfit is False


def test_a_payment_that_waits_while_its_store_turns_out_unfit_is_refused(scene: Scene) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.ack(7)
    scene.elapsed_ms += ASK_MS_MAX
    scene.rest()
    assert scene.codes("p1") == ["stale_store"]


def test_a_task_that_an_edge_far_away_has_failed_is_followed_once(scene: Scene) -> None:
    scene.grant("dc-north", sku_1=1)
    scene.tell("till-1", payment("sku-1", destination=NORTH), "p1")
    task = decode_data(scene.log()[-1])
    assert isinstance(task, PickRequested)
    names = {"task_id": task.task_id, "node_id": "dc-north", "home_edge_id": "edge-1"}
    for told in (PickRejected(**names), PickShort(**names, missing=task.lines)):
        scene.feed(event_of("edge-2", told, task.order_id))
    assert [event.type for event in scene.log()].count("pointsman.order.parked.v1") == 1
