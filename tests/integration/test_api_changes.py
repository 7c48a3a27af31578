"""The ledger as it grows, over a real server."""

import asyncio
import contextlib
import json

import httpx
import pytest

from central.api.serve import serve
from central.api.tokens import make_token
from central.config import Api, Config
from tests.api_scene import fill, take
from tests.brokers import free_port
from tests.central_scene import scene

PATIENCE_S = 20


class Follower:
    """Reads server-sent events as the standard says."""

    def __init__(self, answer):
        self._lines = answer.aiter_lines()

    async def next(self):
        """The next block: its fields, and its comments."""
        fields = {}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                if not line:
                    return fields
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
        return None

    async def entries(self, count):
        found = []
        while len(found) < count:
            block = await self.next()
            assert block is not None, "the stream has ended"
            if "data" in block:
                found.append((int(block["id"]), block["event"], json.loads(block["data"])))
        return found


@contextlib.asynccontextmanager
async def api_over(tmp_path, **values):
    port = free_port()
    config = Config(data_dir=tmp_path / "central", api=Api(port=port, **values))
    token = make_token(config.tokens_file, "bi", "reader", 1)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(config, stop))
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE_S,
        ) as client:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    with contextlib.suppress(httpx.ConnectError):
                        await client.get("/health/live")
                        break
                    await asyncio.sleep(0.02)
            yield client, stop
    finally:
        stop.set()
        await asyncio.wait_for(serving, PATIENCE_S)


@contextlib.asynccontextmanager
async def following(client, headers=None, **query):
    async with client.stream("GET", "/v1/changes", params=query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield Follower(answer)


async def test_a_follower_that_was_cut_off_goes_on_where_it_was(tmp_path):
    with scene(tmp_path / "central") as stage:
        edge = fill(stage)
        async with api_over(tmp_path) as (client, _):
            async with following(client, after=0) as follower:
                first = await follower.entries(5)
            assert [position for position, _, _ in first] == [1, 2, 3, 4, 5]
            async with following(client, {"Last-Event-ID": "5"}, after=0) as follower:
                rest = await follower.entries(12)
                assert [position for position, _, _ in rest] == list(range(6, 18))
                take(edge, "new", 0)
                stage.tell(edge.batch())
                ((position, kind, entry), *_) = await follower.entries(1)
            assert (position, kind) == (18, "pointsman.order.accepted.v1")
            assert entry["event"]["correlationid"] == "new"
            assert entry["withheld"]
            listed = (await client.get("/v1/orders/new/events")).json()["items"]
            assert listed[0] == entry


async def test_a_follower_without_a_position_hears_what_is_new_and_of_its_filter(tmp_path):
    with scene(tmp_path / "central") as stage:
        edge = fill(stage)
        wanted = "pointsman.pick.requested.v1"
        async with api_over(tmp_path) as (client, _), following(client, type=wanted) as follower:
            assert "" in (await follower.next())  # a comment: it is there
            take(edge, "new", 0)
            take(edge, "newer", 0)
            stage.tell(edge.batch())
            found = await follower.entries(2)
            assert {kind for _, kind, _ in found} == {wanted}
            assert [x["event"]["correlationid"] for _, _, x in found] == ["new", "newer"]
            async with following(client, after=0, order_id="o0") as of_order:
                assert len(await of_order.entries(3)) == 3


async def test_streams_are_counted_and_end_with_the_process(tmp_path):
    with scene(tmp_path / "central") as stage:
        fill(stage)
        async with (
            api_over(tmp_path, streams_max=1) as (client, stop),
            following(client) as follower,
        ):
            await follower.next()
            refused = await client.get("/v1/changes")
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            stop.set()
            assert await follower.next() is None


@pytest.mark.parametrize("last", ["-1", "x", "9" * 20, "99"])
async def test_a_position_that_is_none_is_refused(tmp_path, last):
    with scene(tmp_path / "central") as stage:
        fill(stage)
        async with api_over(tmp_path) as (client, _):
            answer = await client.get("/v1/changes", headers={"Last-Event-ID": last})
            assert (answer.status_code, answer.json()["place"]) == (400, "Last-Event-ID")


async def test_without_a_database_it_serves_and_says_that_it_is_not_ready(tmp_path):
    async with api_over(tmp_path) as (client, _):
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "config")
        with scene(tmp_path / "central"):
            assert (await client.get("/health/ready")).status_code == 200
