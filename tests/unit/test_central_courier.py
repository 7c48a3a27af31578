"""How a system's commands are sent and sent again."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from central.courier import PATIENCE_MS, ROUND_MS, ROUND_MS_MAX, WINDOW, Courier


def send(courier, open_commands, elapsed_ms):
    """One look: what is sent, as `central.post` does it."""
    out = []
    for lane in courier.lane_due(elapsed_ms):
        room = lane.room(elapsed_ms)
        due = sorted(x for x in open_commands if x > lane.cursor)[:room]
        carried = courier.send(lane, [(x, str(x)) for x in due], room, elapsed_ms)
        out += [sequence for sequence, _ in carried]
    return out


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.sets(st.integers(0, 200))), max_size=40))
def test_every_open_command_is_sent_and_sent_again(steps):
    courier, last, still_open, sent, now_ms = Courier(0), 0, set(), set(), 0
    for more, answered in steps:
        for _ in range(more):
            last += 1
            still_open.add(last)
            courier.commanded(last)
        for sequence in answered & still_open & sent:
            courier.answered(str(sequence))
            still_open.discard(sequence)
        found = send(courier, still_open, now_ms)
        assert len(found) <= 2 * WINDOW
        sent |= set(found)
        now_ms += 500
    for _ in range(2):  # a round that was under way does not count
        again: set[int] = set()
        for _ in range(2 * ROUND_MS_MAX // PATIENCE_MS + 400):
            again |= set(send(courier, still_open, now_ms))
            now_ms += PATIENCE_MS
        assert again >= still_open


def test_rounds_become_rarer_while_nobody_answers_and_begin_at_once_when_somebody_does():
    courier, now_ms, times = Courier(1), 0, []
    while len(times) < 5:
        if send(courier, {1}, now_ms):
            times.append(now_ms)
        now_ms += 500
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 4 * ROUND_MS
    courier.hear()
    send(courier, {1}, now_ms)
    assert send(courier, {1}, now_ms + ROUND_MS) == [1]


def test_commands_that_are_never_answered_do_not_block_new_ones():
    stuck = set(range(1, 10 * WINDOW))
    courier, now_ms = Courier(max(stuck)), 0
    for _ in range(100):
        send(courier, stuck, now_ms)
        now_ms += PATIENCE_MS
    new = max(stuck) + 1
    courier.commanded(new)
    assert new in send(courier, stuck | {new}, now_ms)
