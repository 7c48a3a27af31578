"""What devices have told, and what was moved to files, in an order's story: by API and by trace."""

from datetime import timedelta

import pytest
from typer.testing import CliRunner

from central.api import asked, sources
from central.checkpoint import load_signer, make_key
from central.retention import archive_part
from central.signing import Signing
from central.tracing import Inquiry
from deploy.cli import app
from shared.devices import DeviceReported
from shared.events import PackageDelivered, PackageShipped, PickAccepted
from shared.parts import PlannedLine
from shared.topics import device_source
from tests.api_scene import open_api, take
from tests.central_scene import (
    NOW,
    NOW_MS,
    ScriptedEdge,
    accepted,
    document,
    plan,
    requested,
    scene,
)

run = CliRunner()
DAY_MS = 86_400_000


def trace(folder, order_id):
    config = folder / "central.toml"
    config.write_text(f'data_dir = "{folder / "central"}"\n')
    told = run.invoke(app, ["trace", order_id, "-c", str(config)])
    assert told.exit_code == 0, told.output
    return told.stdout


def health(edge, device, minutes, status, **more):
    at = NOW + timedelta(minutes=minutes)
    told = DeviceReported(status=status, device=device, since=at, last_seen=at, **more)
    edge.say(told, device_source(device))


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """`o0` is given to `dc`, whose home is `e1`; its device and the till `t1` are as told there."""
    folder = tmp_path_factory.mktemp("api")
    with open_api(folder, full=False) as found:
        stage = found.stage
        stage.publish(document())
        one = ScriptedEdge("e1")
        stage.tell(one.hello())
        one.say(accepted("o0", plan("dc", "A", 1)), "o0")
        one.say(requested("o0", "dc", "A", 1, home="e1"), "o0")
        health(one, "dc", -60, "online")
        health(one, "dc", -30, "fault", part="scales", code="drift")
        health(one, "dc", -20, "cleared", part="scales", code="drift")
        health(one, "dc", -10, "fault", part="printer", code="paper_out", detail="tray 1")
        health(one, "dc", -9, "fault", part="belt", code="jam")
        health(one, "dc", 1, "cleared", part="belt", code="jam")
        lost = DeviceReported(
            status="lost", device="dc", since=NOW - timedelta(minutes=3),
            last_seen=NOW - timedelta(minutes=5),
        )  # fmt: skip
        one.say(lost, device_source("dc"))
        health(one, "scanner-7", 0, "online", node_id="dc")
        health(one, "t1", 0, "lost", node_id="s-e1")
        # A device of the same name at another site is another device.
        two = ScriptedEdge("e2")
        health(two, "dc", 0, "online")
        stage.tell(two.hello(), one.batch(), two.batch())
        yield folder, found


def test_a_task_at_a_lost_device_with_a_fault_says_so_in_api_and_trace_with_the_right_times(api):
    folder, served = api
    why = served.get("/v1/orders/o0/why")
    assert (why["stuck"], why["by"]) == (True, "dc")
    reason = why["reasons"][0]
    assert reason["code"] == "pick_not_accepted"
    texts = [x["text"] for x in reason["facts"]]
    lost = "device dc last seen 2026-01-05 08:55:00 UTC, lost since 2026-01-05 08:57:00 UTC"
    paper = "dc reported a fault of printer: paper_out, tray 1, 2026-01-05 08:50:00 UTC"
    over = "dc reported a fault of belt: jam, 2026-01-05 08:51:00 UTC, over 2026-01-05 09:01:00 UTC"
    scanner = "device scanner-7 online since 2026-01-05 09:00:00 UTC"
    assert {lost, paper, over, scanner} < set(texts)
    assert not any("scales" in x for x in texts), "that was over before the task was given"
    times = {x["text"]: x["at"] for x in reason["facts"]}
    assert times[lost] == "2026-01-05T08:57:00Z"
    assert times[paper] == "2026-01-05T08:50:00Z"
    printed = trace(folder, "o0")
    for text in (lost, paper, over, scanner):
        assert text in printed


def test_the_till_that_has_sold_an_order_is_told_if_it_is_lost(api):
    _, served = api
    sold_by = served.get("/v1/orders/o0/timeline")["sold_by"]
    assert sold_by == "t1"
    (till,) = [x for x in served.get("/v1/orders/o0/why")["reasons"] if x["code"] == "till_lost"]
    assert (till["by"], till["blocks"], till["since"]) == ("t1", False, "2026-01-05T09:00:00Z")


def test_devices_are_listed_with_their_faults(api):
    _, served = api
    every = served.all("/v1/devices", limit=1)
    assert every == served.get("/v1/devices")["items"]
    assert [(x["edge_id"], x["device"], x["status"]) for x in every] == [
        ("e1", "dc", "lost"), ("e1", "scanner-7", "online"), ("e1", "t1", "lost"),
        ("e2", "dc", "online"),
    ]  # fmt: skip
    dc = every[0]
    assert (dc["since"], dc["last_seen_at"]) == ("2026-01-05T08:57:00Z", "2026-01-05T08:55:00Z")
    assert dc["faults"] == [
        {"part": "printer", "code": "paper_out", "since": "2026-01-05T08:50:00Z",
         "detail": "tray 1"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query, expected",
    [
        ({"edge_id": "e2"}, [("e2", "dc")]),
        ({"node_id": "dc", "edge_id": "e1"}, [("e1", "dc"), ("e1", "scanner-7")]),
        ({"node_id": "s-e1"}, [("e1", "t1")]),
        ({"status": "lost"}, [("e1", "dc"), ("e1", "t1")]),
        ({"status": "fault"}, [("e1", "dc")]),
        ({"status": "unknown"}, []),
    ],
)
def test_devices_are_found_by_edge_node_and_status(api, query, expected):
    _, served = api
    found = served.all("/v1/devices", limit=1, **query)
    assert [(x["edge_id"], x["device"]) for x in found] == expected


def test_health_is_read_from_either_kind_of_database(location):
    with scene(location) as stage:
        stage.publish(document())
        edge = ScriptedEdge("e1")
        edge.say(accepted("o", plan("dc", "A", 1)), "o")
        edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
        health(edge, "dc", -1, "lost", node_id="dc")
        health(edge, "dc", 0, "fault", part="printer", code="jam")
        health(edge, "s-e1", 0, "fault", code="hot")
        health(edge, "s-e1", 1, "cleared")
        stage.tell(edge.hello(), edge.batch())
        with stage.database.begin():
            _, why = Inquiry().why(stage.database, "o", NOW_MS + 1_000)
            first = sources.devices(stage.database, asked.Devices(limit=1, node_id="dc"))
            lost = sources.devices(stage.database, asked.Devices(status="lost", edge_id="e1"))
            faulty = sources.devices(stage.database, asked.Devices(status="fault"))
    assert (why.by, why.reasons[0].code) == ("dc", "pick_not_accepted")
    told = " ".join(x.text for x in why.reasons[0].facts)
    assert "lost since" in told
    assert "printer: jam" in told
    assert first.items == lost.items == faulty.items
    assert (first.items[0].device, first.items[0].status, first.next) == ("dc", "lost", None)


def test_an_archived_order_says_in_which_file_its_events_are(tmp_path):
    data = tmp_path / "central"
    make_key(tmp_path / "key")
    with scene(data) as stage:
        signing = Signing(stage.database, load_signer(tmp_path / "key"), events=1_000, every_ms=1)
        stage.publish(document())
        edge = ScriptedEdge("e2")
        stage.tell(edge.hello())
        for order_id in ("old", "later"):
            task = {"task_id": f"{order_id}.0.0", "node_id": "dc", "home_edge_id": "e2"}
            take(edge, order_id, 0)
            edge.say(PickAccepted(**task), order_id)
            lines = [PlannedLine(line=0, sku="A", quantity=1)]
            edge.say(PackageShipped(**task, lines=lines), order_id)
        stage.tell(edge.batch())
        signing.tick(0, NOW_MS)
        signing.tick(1, NOW_MS)
        edge.say(PackageDelivered(**task), "later")
        stage.tell(edge.batch())
    moved = archive_part(data, None, before_ms=NOW_MS + DAY_MS, now_ms=NOW_MS + 2 * DAY_MS)
    with open_api(tmp_path, full=False) as api:
        file = {
            "file": moved.file, "first": 1, "last": moved.last, "moved_at": "2026-01-07T09:00:00Z",
        }  # fmt: skip
        for order_id, state, kinds in (
            ("old", "shipped", []),
            ("later", "delivered", ["package.delivered"]),
        ):
            told = api.get(f"/v1/orders/{order_id}/timeline")
            assert (told["archived"], told["complete"]) == ([file], False)
            assert (told["state"], [x["kind"] for x in told["steps"]]) == (state, kinds)
            why = api.get(f"/v1/orders/{order_id}/why")
            assert (why["stuck"], why["reasons"], why["archived"]) == (False, [], [file])
            sentence = f"the order is {state}; what happened before is in archive file {moved.file}"
            assert why["what"] == sentence
            printed = trace(tmp_path, order_id)
            assert sentence in printed
            assert f"archive file {moved.file}: positions 1 to {moved.last}" in printed
        (archive,) = api.get("/v1/ledger/verify-state")["archives"]
        assert (archive["file"], archive["sha256"]) == (moved.file, moved.sha256)
        assert api.ask("/v1/orders/never/timeline").status_code == 404
