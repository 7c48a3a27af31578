"""What an edge makes of what central says: acks, refusals, epochs, feed."""

import pytest

from edge.commands import FromFeed, FromPeer
from edge.sync import (
    INBOX_ITEMS_MAX,
    SILENCE_MS,
    Words,
)
from shared.envelope import decode_event, encode_event, split_batch
from shared.errors import PointsmanError
from shared.frames import (
    Asked,
    Grant,
    Rejoin,
    encode_bulk,
    encode_frame,
)
from shared.topics import down, up
from tests.edge_line import OWN, Line, pay
from tests.edge_scene import cells, event_of
from tests.unit.test_edge_engine import task

STRANGER = "f" * 16


# Refusals.


def test_an_ack_for_a_process_that_this_store_does_not_know_stops_it(line: Line) -> None:
    line.ack(0)
    line.ack(0, boot=STRANGER)
    assert "a copy of its disk" in line.sync.refused
    assert line.sent() == []
    line.sync.greet()
    assert [hello.unfit for hello in line.hellos()] == [True]


def test_a_refusal_of_another_process_is_not_this_one_s(line: Line) -> None:
    line.ack(0, boot=STRANGER, refusal="twin")
    assert line.sync.refused == ""


@pytest.mark.parametrize("refusal, why", [("behind", "behind the ledger"), ("twin", "a copy")])
def test_a_refusal_is_told_and_ends_the_conversation_but_for_hellos(
    line: Line, refusal: str, why: str
) -> None:
    line.ack(0)
    line.ack(0, refusal=refusal)
    assert why in line.sync.refused
    line.hear("feed/1/grant", encode_bulk(Grant(cells=cells("dc-south", sku_1=1))))
    assert not line.sync.inbox
    assert line.sent() == []
    assert not line.sync.near(line.now_ms)


def test_an_ack_ahead_of_the_store_stops_it(line: Line) -> None:
    line.ack(11)
    assert "through 11" in line.sync.refused
    assert "ends at 10" in line.sync.refused


def test_what_is_not_durable_yet_does_not_make_an_ack_of_it_right(line: Line) -> None:
    # Nothing is sent before it is durable, so central cannot have it from this store.
    line.shop.store.begin()
    line.ack(11)
    assert line.sync.refused


def test_a_refused_edge_that_central_speaks_with_again_takes_the_feed_and_sends_nothing(
    line: Line,
) -> None:
    line.ack(12)
    line.ack(12)
    assert line.sent() == []
    line.hear("feed/1/rejoin", encode_frame(Rejoin(epoch=2)))
    ((_, _, item),) = line.sync.inbox
    assert item == FromFeed(1, Rejoin(epoch=2))


# Epochs.


@pytest.fixture
def rejoined(line: Line) -> Line:
    """Ten entries in epoch 1, of which central has six; five in epoch 2, the first its own."""
    line.ack(6)
    line.shop.feed(Rejoin(epoch=2))
    line.sync.rejoined()
    pay(line.shop, 2)
    line.sync.connected()
    return line


def numbers(words: list[Words]) -> list[tuple[int | None, int]]:
    return [
        (event.epoch, event.number())
        for topic, payload in words
        if topic == up("edge-1", "log")
        for event in map(decode_event, split_batch(payload))
    ]


NEW = [(2, n) for n in range(1, 6)]


def test_what_an_old_epoch_left_unsaid_is_said_before_the_new_one(rejoined: Line) -> None:
    (hello,) = rejoined.hellos()
    assert (hello.epoch, hello.sequence) == (2, 5)
    rejoined.ack(8, epoch=1)
    assert numbers(rejoined.words()) == [(1, 9), (1, 10), *NEW]
    rejoined.ack(2, epoch=2)
    rejoined.now_ms += SILENCE_MS + 1
    assert numbers(rejoined.words()) == NEW[2:]


def test_an_ack_beyond_the_end_of_an_old_epoch_means_its_end(rejoined: Line) -> None:
    rejoined.ack(99, epoch=1)
    assert rejoined.sync.refused == ""
    assert numbers(rejoined.words()) == NEW


def test_an_ack_of_an_epoch_that_this_store_does_not_know_stops_it_and_it_listens(
    rejoined: Line,
) -> None:
    rejoined.ack(1, epoch=3)
    assert "backup" in rejoined.sync.refused
    assert numbers(rejoined.words()) == []  # nothing of its log
    rejoined.hear("feed/9/rejoin", encode_frame(Rejoin(epoch=4, restored=True)))
    assert len(rejoined.sync.inbox) == 1


def test_an_ack_ahead_in_the_new_epoch_stops_the_store(rejoined: Line) -> None:
    rejoined.ack(6, epoch=2)
    assert "epoch 2 through 6" in rejoined.sync.refused


def test_a_new_epoch_ends_a_refusal(line: Line) -> None:
    line.ack(0, refusal="behind")
    line.sync.rejoined()
    assert line.sync.refused == ""
    assert [hello.unfit for hello in line.hellos()] == [False]


# What comes down.


def test_feed_before_the_first_ack_is_not_ours_for_certain(line: Line) -> None:
    line.hear("feed/1/rejoin", encode_frame(Rejoin(epoch=2)))
    assert not line.sync.inbox
    line.ack(0)
    line.hear("feed/1/rejoin", encode_frame(Rejoin(epoch=2)))
    assert len(line.sync.inbox) == 1


def test_feed_that_was_applied_already_is_answered_with_a_hello(line: Line) -> None:
    line.ack(0)
    line.words()
    line.applied = 5
    line.hear("feed/5/grant", b"whatever")
    assert not line.sync.inbox
    assert [hello.feed for hello in line.hellos()] == [5]


@pytest.mark.parametrize(
    "kind", ["ack", "contacts", "asked", "feed/x/grant", "feed/2/coffee", "nonsense"]
)
def test_nonsense_from_central_is_named_and_skipped(line: Line, kind: str) -> None:
    line.ack(0)
    line.hear(kind, b"{nonsense")
    ((topic, _, item),) = line.sync.inbox
    assert topic == down("edge-1", kind)
    assert isinstance(item, PointsmanError)


@pytest.mark.parametrize("kind", ["network", "grant", "recall", "rejoin", "past", "event"])
def test_a_feed_item_that_cannot_be_read_keeps_its_place(line: Line, kind: str) -> None:
    line.ack(0)
    line.hear(f"feed/1/{kind}", b"\xc1")
    ((_, _, item),) = line.sync.inbox
    assert isinstance(item, FromFeed)
    assert item.number == 1
    assert isinstance(item.item, PointsmanError)


def test_the_inbox_is_bounded(line: Line) -> None:
    line.ack(0)
    for number in range(INBOX_ITEMS_MAX + 10):
        line.hear(f"feed/{number + 1}/rejoin", encode_frame(Rejoin(epoch=2)))
    assert len(line.sync.inbox) == INBOX_ITEMS_MAX


def test_a_task_on_the_topic_of_another_edge_than_its_author_is_refused(line: Line) -> None:
    event = event_of("edge-2", task(), "o")
    topic = up("edge-2", "tasks/edge-1")
    line.sync.take(topic, encode_event(event), line.now_ms)
    line.sync.take(topic.replace("edge-2", "edge-3"), encode_event(event), line.now_ms)
    (_, _, good), (_, _, bad) = line.sync.inbox
    assert good == FromPeer(event, task())
    assert isinstance(bad, PointsmanError)
    assert bad.code == "topic_mismatch"


def test_what_central_has_answered_is_kept_for_who_waits(line: Line) -> None:
    line.hear("asked", encode_frame(Asked(id=OWN, feed=7)))
    assert line.sync.answered == {OWN: 7}
