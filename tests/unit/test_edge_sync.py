"""What an edge says to central: the log, hellos, tasks, contacts; no loop, no wire."""

from edge.records import Peer
from edge.sync import (
    HELLO_MS,
    PEERS_AT_ONCE,
    SEND_BYTES_MAX,
    SILENCE_MS,
    WINDOW_EVENTS,
)
from shared.envelope import decode_event, split_batch
from shared.frames import (
    Ask,
    ContactFor,
    ContactsAck,
    Hello,
    decode_frame,
    encode_frame,
)
from shared.limits import BATCH_EVENTS_MAX
from shared.parts import Contact, Shortage
from shared.topics import up
from tests.edge_line import OWN, Line, pay
from tests.shop import Shop, payment

BEFORE, OLD = "a" * 16, "0" * 16


ALL = list(range(1, 11))


def test_nothing_of_the_log_is_sent_before_central_has_said_what_it_has(line: Line) -> None:
    (hello,) = line.hellos()
    assert hello == Hello(epoch=1, sequence=10, feed=0, boots=[OWN])
    assert line.sent() == []
    line.ack(4)
    assert line.sent() == [5, 6, 7, 8, 9, 10]
    assert line.sent() == []


def test_after_a_new_connection_everything_unacknowledged_is_sent_again(line: Line) -> None:
    line.ack(4)
    line.sent()
    line.sync.disconnected()
    assert line.sent() == []
    line.sync.connected()
    assert line.sent() == []
    line.ack(6)
    assert line.sent() == [7, 8, 9, 10]


def test_an_ack_never_moves_back(line: Line) -> None:
    line.ack(6)
    assert line.sent() == [7, 8, 9, 10]
    line.ack(2)
    assert line.sync.acked == 6
    line.now_ms += SILENCE_MS + 1
    assert line.sent() == [7, 8, 9, 10]


def test_central_s_word_outlasts_the_process(line: Line) -> None:
    line.shop.store.set_meta("acked", "6")
    again = Line(line.shop)
    assert again.sync.acked == 6
    again.ack(2)  # It says less than it did: what it had may be pruned here.
    assert again.sent() == [7, 8, 9, 10]


# Go-back-N.


def test_after_a_silence_the_edge_goes_back_to_the_ack(line: Line) -> None:
    line.ack(0)
    assert line.sent() == ALL
    line.now_ms += SILENCE_MS
    assert line.sent() == []
    line.now_ms += 1
    assert line.sent() == ALL


def test_hellos_and_asks_do_not_count_as_news_of_the_log(line: Line) -> None:
    line.ack(0)
    line.sent()
    for number in range(6):
        line.now_ms += SILENCE_MS // 6 + 1
        line.sync.greet()
        line.sync.ask(
            Ask(
                id=f"{number:016x}",
                lines=[Shortage(line=0, sku="sku-1", quantity=1, reason="share")],
            )
        )
        if sent := line.sent():
            break
    assert (number, sent) == (5, ALL)


def test_new_entries_do_not_put_off_the_return_to_what_was_lost(line: Line) -> None:
    line.ack(0)
    line.sent()
    went_back = False
    for _ in range(10):
        line.now_ms += 500
        pay(line.shop, 1)
        went_back = went_back or 1 in line.sent()
    assert went_back


def test_what_the_broker_takes_slowly_is_not_sent_twice(line: Line) -> None:
    line.ack(0)
    words = line.sync.next_words(line.now_ms)
    line.now_ms += 8_000  # A thin line.
    line.sync.said(words, line.now_ms)
    line.ack(4)
    line.now_ms += 8_000
    pay(line.shop, 1)
    words = line.sync.next_words(line.now_ms)
    assert [x.topic for x in words][-1] == up("edge-1", "log")


def test_an_ack_gives_patience_for_the_rest(line: Line) -> None:
    line.ack(0)
    line.sent()
    for acked in (2, 4, 6):
        line.now_ms += SILENCE_MS - 1
        line.ack(acked)
        assert line.sent() == []
    line.now_ms += SILENCE_MS + 1
    assert line.sent() == [7, 8, 9, 10]


def test_an_ack_without_progress_does_not(line: Line) -> None:
    line.ack(0)
    line.sent()
    line.now_ms += SILENCE_MS - 1
    line.ack(0)
    line.now_ms += 2
    assert line.sent() == ALL


def test_no_more_than_the_window_is_under_way(shop: Shop) -> None:
    pay(shop, 700)
    line = Line(shop)
    line.ack(0)
    assert line.sent() == list(range(1, WINDOW_EVENTS + 1))
    line.ack(10)
    assert line.sent() == list(range(WINDOW_EVENTS + 1, WINDOW_EVENTS + 11))


def test_batches_are_bounded_in_events_and_bytes_and_a_large_event_goes_alone(shop: Shop) -> None:
    pay(shop, 150)
    many = [line for n in range(900) for line in payment(f"sku-{n % 20}").lines]
    shop.tell("till-1", payment(lines=many))
    pay(shop, 1)
    line = Line(shop)
    line.ack(0)
    batches = [payload for topic, payload in line.words() if topic.endswith("/log")]
    counts = [len(split_batch(batch)) for batch in batches]
    assert sum(counts) == 304
    assert max(counts) <= BATCH_EVENTS_MAX
    large = [len(batch) > SEND_BYTES_MAX for batch in batches]
    assert any(large)
    assert all(count == 1 for count, is_large in zip(counts, large, strict=True) if is_large)
    assert [decode_event(raw).number() for b in batches for raw in split_batch(b)] == list(
        range(1, 305)
    )


# Hellos.


def test_a_hello_is_said_on_connecting_when_the_feed_moved_and_now_and_then(line: Line) -> None:
    assert len(line.hellos()) == 1
    assert line.hellos() == []
    line.applied = 3
    line.sync.greet()
    assert [hello.feed for hello in line.hellos()] == [3]
    line.now_ms += HELLO_MS
    assert line.hellos() == []
    line.now_ms += 1
    assert len(line.hellos()) == 1


def test_central_counts_as_near_while_it_is_heard(line: Line) -> None:
    assert not line.sync.near(line.now_ms)
    line.ack(0)
    assert line.sync.near(line.now_ms)
    assert not line.sync.near(line.now_ms + 2 * HELLO_MS)
    line.sync.disconnected()
    assert not line.sync.near(line.now_ms)


def test_the_starts_that_central_may_know_are_named_until_it_confirms_this_one(shop: Shop) -> None:
    line = Line(shop, [OLD, BEFORE, OWN])
    assert [hello.boots for hello in line.hellos()] == [[OLD, BEFORE, OWN]]
    line.ack(0, boot=BEFORE)  # Meant for the process before this one.
    assert line.sync.boots == [OLD, BEFORE, OWN]
    assert not line.sync.near(line.now_ms)
    line.ack(0)
    line.sync.greet()
    assert [hello.boots for hello in line.hellos()] == [[OWN]]


# Tasks, asks, contacts.


def test_tasks_for_peers_go_at_once_but_leave_room_for_the_log(line: Line) -> None:
    for number in range(PEERS_AT_ONCE + 10):
        line.sync.forward(Peer("edge-2", b"%d" % number))
    line.ack(0)
    first = line.once()
    told = [x.payload for x in first if x.topic == up("edge-1", "tasks/edge-2")]
    assert told == [b"%d" % number for number in range(PEERS_AT_ONCE)]
    assert any(x.topic == up("edge-1", "log") for x in first)
    assert sum("tasks" in x.topic for x in line.words()) == 10


def test_asks_do_not_outlive_the_line(line: Line) -> None:
    line.sync.ask(Ask(id=OWN, lines=[Shortage(line=0, sku="sku-1", quantity=1, reason="share")]))
    line.sync.disconnected()
    line.sync.connected()
    assert not any("ask" in x.topic for x in line.words())


def test_contacts_are_sent_until_central_keeps_them(shop: Shop) -> None:
    pay(shop, 1, contact=Contact(name="Customer 1"))
    line = Line(shop)
    assert not any("contacts" in x.topic for x in line.words())
    line.ack(0)
    ((_, payload),) = [x for x in line.words() if "contacts" in x.topic]
    (sent,) = decode_frame(payload, list[ContactFor])
    line.now_ms += SILENCE_MS
    assert not any("contacts" in x.topic for x in line.words())
    line.now_ms += 1
    assert any("contacts" in x.topic for x in line.words())
    line.hear("contacts", encode_frame(ContactsAck(order_ids=[sent.order_id])))
    assert line.sync.kept_contacts == [sent.order_id]
