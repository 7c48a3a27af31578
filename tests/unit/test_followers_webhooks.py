"""Webhooks against real HTTP servers on this machine."""

import threading
from collections import defaultdict
from random import Random

import pytest
from standardwebhooks import Webhook as Oracle

from central.followers.schedule import DELAYS_S
from central.followers.signatures import rotate_secret
from central.followers.store import open_store
from shared.events import PackagePacked
from tests.central_scene import ScriptedEdge, scene
from tests.follower_scene import Hand, Reply, grow, receiving, until, webhook, working

DAY_MS = 30 * 3_600_000
"""Longer than every delay with its jitter."""


@pytest.fixture
def stage(tmp_path):
    with scene(tmp_path) as found:
        yield found


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "followers" / "followers.db")
    yield opened
    opened.close()


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


@pytest.fixture
def clock():
    return Hand()


@pytest.fixture
def edge():
    return ScriptedEdge("e1")


def delivered(store, name="erp"):
    return {x.endpoint: x.delivered for x in store.overview()}.get(name)


async def test_each_event_is_posted_in_its_own_bytes_and_signed(
    tmp_path, stage, store, receiver, clock, edge
):
    grow(stage, edge, "o1", "o2", None)
    endpoint = webhook(tmp_path, receiver.url)
    async with working(tmp_path, store, clock, endpoint):
        await until(lambda: delivered(store) == 3)
    assert sorted(request.body for request in receiver.requests) == sorted(edge.log)
    oracle = Oracle(endpoint.secret_file.read_text().strip())
    for request in receiver.requests:
        assert request.headers["content-type"] == "application/cloudevents+json"
        assert oracle.verify(request.body, request.headers) == request.event
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 3


async def test_only_the_kinds_that_were_chosen_are_told_and_a_new_endpoint_begins_with_what_is_next(
    tmp_path, stage, store, receiver, clock, edge
):
    grow(stage, edge, *["o"] * 4)
    endpoint = webhook(tmp_path, receiver.url, kinds=("pick.*",), begin="next")
    async with working(tmp_path, store, clock, endpoint):
        await until(lambda: store.cursor("erp") == 4)
        grow(stage, edge, *["o"] * 4)
        await until(lambda: delivered(store) == 2)
        await until(lambda: store.cursor("erp") == 8)
    assert [request.event["type"] for request in receiver.requests] == [
        "pointsman.pick.completed.v1"
    ] * 2
    assert receiver.sequences() == [6, 8]


async def test_events_of_one_order_come_in_order_however_often_the_endpoint_fails(
    tmp_path, stage, store, receiver, clock, edge
):
    random = Random(5)
    grow(stage, edge, *(f"o{random.randrange(7)}" for _ in range(120)))
    taken = defaultdict(list)

    def reply(request):
        if random.random() < 0.3:
            return Reply(random.choice([400, 404, 500, 502]))
        taken[request.event["correlationid"]].append(request.sequence)
        return Reply(200)

    receiver.reply = reply
    async with working(tmp_path, store, clock, webhook(tmp_path, receiver.url)):

        def done():
            clock.at_ms += 3_600_000
            return delivered(store) == 120

        await until(done)
    assert sum(map(len, taken.values())) == 120
    assert all(found == sorted(set(found)) for found in taken.values())


async def test_an_event_that_is_refused_again_and_again_is_dead_and_can_be_replayed(
    tmp_path, stage, store, receiver, clock, edge
):
    receiver.reply = lambda request: Reply(500 if request.sequence == 1 else 204)
    grow(stage, edge, "o1", "o1", "o2")
    async with working(tmp_path, store, clock, webhook(tmp_path, receiver.url)):
        for attempt in range(1, len(DELAYS_S) + 1):
            await until(lambda n=attempt: receiver.sequences().count(1) == n)
            if attempt < len(DELAYS_S):
                assert 2 not in receiver.sequences(), "the later event waits"
                await until(lambda: store.due("erp", clock.now_ms(), 9) == [])
                clock.at_ms += DAY_MS
        await until(lambda: len(store.dead(None, 9)) == 1)
        await until(lambda: receiver.sequences().count(2) == 1)
        (dead,) = store.dead("erp", 9)
        assert (dead.position, dead.kind, dead.attempts) == (1, "package.packed", len(DELAYS_S))
        assert dead.reason == "HTTP 500"

        receiver.reply = lambda _: Reply()
        assert store.replay("erp", [2], clock.now_ms()) == (0, 0)
        assert store.replay("other", [], clock.now_ms()) == (0, 0)
        assert store.replay(None, [1], clock.now_ms()) == (1, 0)
        await until(lambda: delivered(store) == 3)
        assert store.dead(None, 9) == []


async def test_410_disables_an_endpoint_until_it_is_enabled_and_nothing_is_lost(
    tmp_path, stage, store, receiver, clock, edge
):
    receiver.reply = lambda _: Reply(410)
    grow(stage, edge, "o1", "o1")
    async with working(tmp_path, store, clock, webhook(tmp_path, receiver.url)):
        await until(lambda: bool(store.overview()) and store.overview()[0].disabled_ms is not None)
        grow(stage, edge, "o1")
    assert receiver.sequences() == [1]
    async with working(tmp_path, store, clock, webhook(tmp_path, receiver.url)):
        receiver.reply = lambda _: Reply()
        assert store.enable("erp")
        assert not store.enable("nobody")
        await until(lambda: delivered(store) == 3)
    assert receiver.sequences() == [1, 1, 2, 3]


@pytest.mark.parametrize("status", [429, 503])
async def test_an_endpoint_that_asks_to_wait_is_left_alone(
    tmp_path, stage, store, receiver, clock, edge, status
):
    receiver.reply = lambda _: Reply(status, (("retry-after", "600"),))
    grow(stage, edge, "o1", *(f"p{n}" for n in range(20)))
    async with working(tmp_path, store, clock, webhook(tmp_path, receiver.url, parallel=1)):
        await until(lambda: bool(store.overview()) and store.overview()[0].paused_ms > 0)
        assert receiver.sequences() == [1]
        assert store.overview()[0].paused_ms == clock.now_ms() + 600_000
        receiver.reply = lambda _: Reply()
        clock.at_ms += 599_999
        grow(stage, edge, "o2")
        await until(lambda: store.cursor("erp") == 22)
        assert receiver.sequences() == [1]
        clock.at_ms += 1
        await until(lambda: delivered(store) == 22)


async def test_a_redirect_is_not_followed(tmp_path, stage, store, receiver, clock, edge):
    with receiving() as elsewhere:
        receiver.reply = lambda _: Reply(307, (("location", elsewhere.url),))
        grow(stage, edge, "o1")
        async with working(tmp_path, store, clock, webhook(tmp_path, receiver.url)):
            await until(lambda: len(receiver.requests) == 1)
            await until(lambda: store.due("erp", clock.now_ms(), 9) == [])
        assert elsewhere.requests == []


async def test_an_endpoint_that_hangs_or_is_not_there_holds_up_no_other(
    tmp_path, stage, store, receiver, clock, edge
):
    released = threading.Event()
    with receiving() as slow:
        slow.reply = lambda _: Reply(hang=released)
        grow(stage, edge, *(f"o{n}" for n in range(50)))
        endpoints = [
            webhook(tmp_path, slow.url, "slow", parallel=2),
            webhook(tmp_path, "http://127.0.0.1:9/", "absent"),
            webhook(tmp_path, receiver.url, "quick"),
        ]
        async with working(tmp_path, store, clock, *endpoints):
            await until(lambda: delivered(store, "quick") == 50)
            assert len(slow.requests) == 2, "bounded"
            await until(lambda: store.due("absent", clock.now_ms(), 9) == [])
            released.set()
            await until(lambda: delivered(store, "slow") == 50)


async def test_a_secret_is_rotated_while_events_flow(tmp_path, stage, store, receiver, clock, edge):
    endpoint = webhook(tmp_path, receiver.url)
    old = Oracle(endpoint.secret_file.read_text().strip())
    async with working(tmp_path, store, clock, endpoint):
        new = Oracle(rotate_secret(endpoint.secret_file))
        grow(stage, edge, "o1")
        await until(lambda: len(receiver.requests) == 1)
        for oracle in (old, new):
            oracle.verify(receiver.requests[0].body, receiver.requests[0].headers)


async def test_poison_that_is_no_event_is_passed_over(
    tmp_path, stage, store, receiver, clock, edge
):
    edge.say(PackagePacked(task_id="o.0.0"), "o", type="pointsman.order/#.v1")
    edge.say(PackagePacked(task_id="o.0.0"), "o")
    stage.tell(edge.batch())
    async with working(tmp_path, store, clock, webhook(tmp_path, receiver.url)):
        await until(lambda: delivered(store) == 1)
        assert store.cursor("erp") == 2
    assert receiver.sequences() == [2]
