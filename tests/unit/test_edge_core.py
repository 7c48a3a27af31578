"""The edge's core: a disk that fails, an outbox that fills, answers that are gone."""

from pathlib import Path

import structlog

from edge.config import LogLimits
from edge.core import ASK_MS_MAX, REST_MS
from shared.envelope import decode_data
from shared.events import OrderCancelled, PickRejected, PickRequested, StockCounted
from shared.frames import Grant
from shared.parts import CountLine
from tests.edge_scene import Scene, cells, open_scene
from tests.shop import lines, payment, question


def test_a_commit_that_fails_refuses_what_it_decided_and_keeps_what_waits(scene: Scene) -> None:
    scene.grant("dc-south", sku_2=5)
    scene.turn(
        scene.message("till-1", payment("sku-1"), "lacks"),
        scene.message("till-1", payment("sku-2"), "has"),
        broken_disk=True,
    )
    assert scene.codes("has") == ["storage_failed"]
    assert scene.done == ["has"]
    assert scene.share("dc-south", "sku-2") == 5
    assert scene.log() == []
    scene.elapsed_ms += ASK_MS_MAX
    scene.rest()
    assert scene.kinds("lacks") == ["order.accepted"]
    scene.tell("till-1", payment("sku-2"), "has")
    assert scene.kinds("has") == ["input.rejected", "order.accepted"]
    assert [event.number() for event in scene.log()] == [1, 2, 3, 4]


def test_a_payment_that_had_waited_is_refused_as_well_when_its_commit_fails(scene: Scene) -> None:
    scene.tell("till-1", payment("sku-1"), "p1")
    (ask,) = scene.asks()
    scene.send(Grant(cells=cells("dc-south", sku_1=1)))
    scene.turn()
    scene.asked(ask)
    scene.turn(broken_disk=True)
    assert scene.codes("p1") == ["storage_failed"]
    assert scene.share("dc-south", "sku-1") == 1
    scene.elapsed_ms += REST_MS
    scene.rest()
    assert len(scene.said) == 1
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.kinds("p1") == ["input.rejected", "order.accepted"]


def test_what_has_waited_enough_is_answered_although_the_disk_rests(scene: Scene) -> None:
    scene.grant("dc-south", sku_2=5)
    scene.turn(
        scene.message("till-1", payment("sku-1"), "lacks"),
        scene.message("till-1", payment("sku-2"), "has"),
        broken_disk=True,
    )
    scene.elapsed_ms += ASK_MS_MAX
    assert ASK_MS_MAX < REST_MS
    assert scene.core.has_work(scene.elapsed_ms)


def test_a_full_disk_in_the_middle_of_a_burst_refuses_all_of_it(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=500)
    limit = scene.store._connection
    pages = limit.execute("pragma page_count").fetchone()[0]
    limit.execute(f"pragma max_page_count = {pages}")
    paid = [scene.message("till-1", payment("sku-1"), f"p{n}") for n in range(100)]
    scene.turn(*paid)
    assert scene.done == [f"p{n}" for n in range(100)]
    assert {code for n in range(100) for code in scene.codes(f"p{n}")} == {"storage_failed"}
    assert scene.share("dc-south", "sku-1") == 500
    limit.execute("pragma max_page_count = 100000")
    scene.turn(*paid)
    assert scene.share("dc-south", "sku-1") == 400


def test_feed_items_of_a_failed_commit_are_applied_when_central_sends_them_again(
    scene: Scene,
) -> None:
    grant = Grant(cells=cells("dc-south", sku_1=4))
    scene.send(grant)
    scene.turn(broken_disk=True)
    assert scene.core.applied == 1
    assert scene.hello().feed == 1
    scene.elapsed_ms += REST_MS
    scene.send(grant, 2)
    scene.rest()
    assert scene.share("dc-south", "sku-1") == 4
    assert scene.hello().feed == 2


def test_a_store_that_must_stop_selling_stops_although_the_disk_failed_at_first(
    scene: Scene,
) -> None:
    scene.grant("dc-south", sku_1=4)
    scene.ack(7)
    scene.turn(broken_disk=True)
    scene.elapsed_ms += REST_MS
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.codes("p1") == ["stale_store"]
    scene.restart()
    scene.tell("till-1", payment("sku-1"), "p2")
    assert scene.codes("p2") == ["stale_store"]


def test_a_repeated_turn_with_nothing_to_do_does_not_touch_the_disk(scene: Scene) -> None:
    scene.rest()
    scene.core.decide([], scene.now_ms, scene.elapsed_ms)
    assert not scene.store.dirty


# What follows in the same transaction.


def test_a_count_below_what_is_promised_and_what_follows_from_it_are_one_transaction(
    scene: Scene,
) -> None:
    scene.grant("dc-south", sku_1=2)
    scene.grant("dc-north", sku_1=5)
    scene.tell("till-1", payment(lines=lines("sku-1", quantity=2)), "p1")
    counted = StockCounted(node_id="dc-south", lines=[CountLine(sku="sku-1", quantity=1)])
    message = scene.message("dc-south", counted, "c1")
    before = len(scene.log())
    scene.turn(message, broken_disk=True)
    assert len(scene.log()) == before
    assert scene.share("dc-north", "sku-1") == 5
    scene.turn(message)
    kinds = [event.type for event in scene.log()[before:]]
    assert kinds == [
        f"pointsman.{kind}.v1"
        for kind in ("stock.counted", "pick.short", "route.planned", "pick.requested")
    ]
    assert scene.share("dc-north", "sku-1") == 4


# The outbox.


def small(rows: int = 1_000) -> LogLimits:
    return LogLimits(outbox_rows_max=rows)


def fill(scene: Scene, through: int) -> None:
    """Payments without stock, two log entries each, until the log has so many."""
    number = 0
    while scene.store.durable < through:
        number += 1
        batch = [scene.message("till-1", payment("sku-9"), f"fill-{number}-{n}") for n in range(50)]
        scene.turn(*batch)


def test_a_full_outbox_refuses_what_is_new_and_answers_questions_and_repeats(
    tmp_path: Path,
) -> None:
    scene = open_scene(tmp_path / "edge.db", small())
    scene.core.sync.disconnected()
    scene.tell("till-1", payment("sku-1"), "p1")
    fill(scene, 1_000)
    scene.tell("till-1", payment("sku-1"), "p2")
    (refused,) = [data for _, data in scene.answers("p2")]
    assert (refused.code, refused.place) == ("outbox_full", "outbox")
    assert refused.retry_after_ms
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.kinds("p1") == ["order.accepted"] * 2
    (send,) = scene.core.answer(scene.message("till-1", question("sku-1"), "q1"), scene.now_ms)
    assert send.kind == "route.planned"
    scene.core.sync.connected()
    scene.ack(10)
    scene.elapsed_ms += 60_000  # Central is not near enough to be asked.
    scene.tell("till-1", payment("sku-1"), "p2")
    assert scene.kinds("p2") == ["input.rejected", "order.accepted"]


def test_a_burst_does_not_run_over_the_outbox_s_bound(tmp_path: Path) -> None:
    scene = open_scene(tmp_path / "edge.db", small())
    scene.core.sync.disconnected()
    fill(scene, 950)
    scene.turn(*(scene.message("till-1", payment("sku-1"), f"p{n}") for n in range(50)))
    assert scene.store.durable == 1_000
    assert scene.codes("p49") == ["outbox_full"]


def test_an_outbox_that_fills_is_told_at_70_85_and_95_percent_once_each(tmp_path: Path) -> None:
    scene = open_scene(tmp_path / "edge.db", small())
    scene.core.sync.disconnected()
    with structlog.testing.capture_logs() as logs:
        fill(scene, 1_000)
        scene.core.sync.connected()
        scene.ack(300)
        scene.turn()
        scene.ack(1_000)
        scene.turn()
        scene.turn()
    alarms = [entry["alarm_percent"] for entry in logs if entry["event"] == "outbox_filling"]
    assert alarms == [70, 85, 95]
    emptying = [entry["percent"] for entry in logs if entry["event"] == "outbox_emptying"]
    assert emptying == [70, 0]


def test_what_central_has_is_known_over_a_restart(tmp_path: Path) -> None:
    scene = open_scene(tmp_path / "edge.db", small())
    scene.core.sync.disconnected()
    fill(scene, 1_000)
    scene.core.sync.connected()
    scene.ack(1_000)
    scene.elapsed_ms += 1_000
    scene.turn()
    scene.restart()
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.kinds("p1") == ["order.accepted"]


# What is no longer kept.


def test_a_payment_whose_answer_was_pruned_is_told_so_and_has_no_effect_again(
    scene: Scene,
) -> None:
    scene.grant("dc-south", sku_1=5, sku_2=5)
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.now_ms += 31 * 86_400_000
    scene.tell("till-1", payment("sku-2"), "p2")
    scene.ack_all()
    scene.elapsed_ms += 1_000
    scene.turn()
    assert [event.number() for event in scene.log()] == [3, 4]
    scene.tell("till-1", payment("sku-1"), "p1")
    assert scene.kinds("p1") == ["order.accepted", "input.rejected"]
    assert scene.codes("p1") == ["answer_pruned"]
    assert scene.share("dc-south", "sku-1") == 4


def test_nothing_is_pruned_that_central_does_not_have(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=5)
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.now_ms += 400 * 86_400_000
    scene.tell("till-1", payment("sku-1"), "p2")
    scene.ack(1)
    scene.elapsed_ms += 1_000
    scene.turn()
    assert [event.number() for event in scene.log()] == [2, 3, 4]


def test_a_reason_enters_the_log_masked_and_the_event_is_known_again(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=1)
    scene.tell("till-1", payment("sku-1"), "p1")
    order_id = scene.log()[0].correlationid or ""
    reason = "CALLED 138-0013-8000, wang.li@example.com"
    for _ in range(2):
        scene.tell("till-1", OrderCancelled(order_id=order_id, reason=reason), "c1")
    assert set(scene.kinds("c1")) == {"order.cancelled"}
    logged = [x for x in map(decode_data, scene.log()) if isinstance(x, OrderCancelled)]
    assert {x.reason for x in logged} == {"CALLED #####00, #####@"}
    assert not any(b"8000" in bytes(x.data) or b"wang" in bytes(x.data) for x in scene.log())


def test_a_rejection_of_a_task_enters_the_log_masked(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=1)
    scene.tell("till-1", payment("sku-1"), "p1")
    (task,) = (x for x in map(decode_data, scene.log()) if isinstance(x, PickRequested))
    scene.tell("dc-south", PickRejected(task_id=task.task_id, reason="ask 13800138000"), "r1")
    (logged,) = (x for x in map(decode_data, scene.log()) if isinstance(x, PickRejected))
    assert logged.reason == "ask #####00"
