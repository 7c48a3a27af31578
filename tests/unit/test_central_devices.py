"""The view of devices: what edges say of them, by device and by place."""

from datetime import timedelta
from typing import Any

import pytest

from central.devices import load_devices, load_history, read_devices
from central.digest import digests
from central.rebuild import rebuild
from central.tables import devices, ledger
from shared.devices import DeviceReported
from shared.topics import device_source
from tests.central_scene import NOW, NOW_MS, ScriptedEdge, accepted, document, plan, scene
from tests.system_scene import SYSTEMS


@pytest.fixture
def stage(tmp_path):
    with scene(tmp_path) as found:
        found.publish(document())
        yield found


@pytest.fixture
def edge(stage):
    one = ScriptedEdge("e1")
    stage.tell(one.hello())
    return one


def report(status: Any, minutes: int = 0, device: str = "wh-3", **more: Any) -> DeviceReported:
    at = NOW + timedelta(minutes=minutes)
    return DeviceReported(status=status, device=device, since=at, last_seen=at, **more)


def say(stage, edge, *told):
    for data in told:
        edge.say(data, device_source(data.device))
    stage.tell(edge.batch())


def view(stage):
    return [
        (x["edge_id"], x["device"], x["part"], x["fault"], x["status"], x["since_ms"] - NOW_MS)
        for x in stage.rows(devices)
    ]


def test_a_device_has_one_row_and_one_for_each_fault_that_lasts(stage, edge):
    say(stage, edge, report("online", node_id="dc"))
    say(
        stage, edge,
        report("fault", 1, part="printer", code="paper_out"),
        report("fault", 1, part="printer", code="jam"),
        report("lost", 2),
        report("cleared", 3, part="printer", code="jam"),
    )  # fmt: skip
    assert view(stage) == [
        ("e1", "wh-3", "", "", "lost", 120_000),
        ("e1", "wh-3", "printer", "paper_out", "fault", 60_000),
    ]


def test_clearing_without_a_code_clears_a_part_or_everything(stage, edge):
    faults = [report("fault", part=x, code=y) for x, y in [("p", "a"), ("p", "b"), (None, "c")]]
    say(stage, edge, report("online"), *faults, report("cleared", part="p"))
    assert [row[3] for row in view(stage)] == ["", "c"]
    say(stage, edge, report("cleared"))
    assert [row[3] for row in view(stage)] == [""]


def test_an_edge_that_begins_anew_has_to_tell_again(stage, edge):
    say(stage, edge, report("online"), report("online", device="wh-4"))
    say(stage, edge, report("fault", part="printer", code="jam"))
    other = ScriptedEdge("e2")
    stage.tell(other.hello())
    say(stage, other, report("online", device="till-1"))
    stage.admin("fence", edge_id="e1")
    stage.tell(edge.hello())
    edge.begin(2)
    say(stage, edge, report("lost", 9))
    assert view(stage) == [
        ("e1", "wh-3", "", "", "lost", 540_000),
        ("e1", "wh-4", "", "", "unknown", 0),
        ("e2", "till-1", "", "", "online", 0),
    ]


def test_the_view_follows_from_the_ledger(stage, edge):
    say(stage, edge, report("online"), report("fault", part="p", code="jam"), report("lost", 4))
    stage.admin("fence", edge_id="e1")
    stage.tell(edge.hello())
    edge.begin(2)
    say(stage, edge, report("online", 6), report("fault", 7, code="hot"))
    with stage.database.begin():
        before = digests(stage.database)
        rebuild(stage.database, NOW_MS)
        assert digests(stage.database) == before
        assert before["devices"].rows == 2


def test_devices_are_found_by_their_name_and_by_where_they_are(stage, edge):
    say(
        stage, edge,
        report("online", device="dc"),
        report("online", device="scanner-7", node_id="dc"),
        report("fault", device="scanner-7", node_id="dc", code="battery"),
        report("online", device="till-1", node_id="s-e1"),
    )  # fmt: skip
    with stage.database.begin():
        found = load_devices(stage.database, place="dc")
        assert {name: [x.status for x in rows] for name, rows in found.items()} == {
            "dc": ["online"], "scanner-7": ["online", "fault"],
        }  # fmt: skip
        assert list(load_devices(stage.database, edge_id="e2")) == []


def test_a_devices_history_is_in_the_ledger_when_its_faults_are_over(stage, edge):
    say(stage, edge, report("online"), report("fault", 1, part="printer", code="jam"))
    say(stage, edge, report("online", device="wh-4"), report("cleared", part="printer", code="jam"))
    with stage.database.begin():
        found = load_history(stage.database, "wh-3", 2)
    assert [(x.edge_id, x.event_id, x.report.status) for x in found] == [
        ("e1", "e1-1-4", "cleared"), ("e1", "e1-1-2", "fault"),
    ]  # fmt: skip


def test_what_is_wrong_is_listed_first(stage, edge, tmp_path):
    say(
        stage, edge,
        report("online", device="a"),
        report("fault", device="a", code="hot"),
        report("lost", device="b"),
    )  # fmt: skip
    rows, edges = read_devices(tmp_path)
    assert [(x.device, x.status) for x in rows] == [("b", "lost"), ("a", "fault"), ("a", "online")]
    assert [(x.edge_id, x.last_seen_ms) for x in edges] == [("e1", NOW_MS), ("e2", 0)]


def test_centrals_own_stream_is_no_edge(tmp_path):
    with scene(tmp_path, systems=SYSTEMS) as stage:
        edge = ScriptedEdge("e1")
        edge.say(accepted("o", plan("dc", "A", 1)), "o")
        stage.tell(edge.batch())
        assert stage.rows(ledger)[-1]["edge_id"] == "hub"
        _, edges = read_devices(tmp_path)
    assert [x.edge_id for x in edges] == ["e1"]
