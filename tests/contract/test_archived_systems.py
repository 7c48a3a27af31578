"""Systems whose commands and answers are old enough for an archive."""

import pytest

from central.checkpoint import load_signer, make_key
from central.database import Location
from central.history import archived_through
from central.retention import NothingToArchiveError, archive_part
from central.signing import Signing
from shared.envelope import decode_data
from shared.events import PackageShipped
from shared.parts import PlannedLine
from shared.systems import InventoryLocked, InventoryLockRefused, MessageSent
from tests.central_scene import (
    NOW_MS,
    Scene,
    ScriptedEdge,
    accepted,
    document,
    plan,
    received,
    requested,
    scene,
)
from tests.system_scene import LIMITS, SYSTEMS, ScriptedSystem, codes, tell


def archive(location: Location, tmp_path):
    return archive_part(location, tmp_path / "moved", before_ms=NOW_MS + 1, now_ms=NOW_MS)


def sign(stage: Scene, tmp_path):
    make_key(tmp_path / "key")
    signing = Signing(stage.database, load_signer(tmp_path / "key"), every_ms=1)
    for elapsed_ms in (0, 1):
        signing.tick(elapsed_ms, NOW_MS)


@pytest.fixture
def shipped(location, tmp_path):
    """The edge, and the systems that were asked about its shipped order."""
    edge, erp, sms = ScriptedEdge("e1"), ScriptedSystem("erp"), ScriptedSystem("sms")
    with scene(location, systems=SYSTEMS) as stage:
        stage.publish(document())
        stage.tell(edge.hello())
        edge.say(received("dc", A=10))
        edge.say(accepted("o", plan("dc", "A", 1)), "o")
        edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
        task = {"task_id": "o.0.0", "node_id": "dc", "home_edge_id": "e1"}
        lines = [PlannedLine(line=0, sku="A", quantity=1)]
        edge.say(PackageShipped(**task, lines=lines), "o")
        tell(stage, edge, erp, sms)
        sign(stage, tmp_path)
        edge.say(received("dc", A=1))
        tell(stage, edge)
    return edge, erp, sms


def test_a_command_that_is_not_answered_stays_in_the_ledger(location, tmp_path, shipped):
    with pytest.raises(NothingToArchiveError) as caught:
        archive(location, tmp_path)
    assert "what erp was asked about it answered" in caught.value.expected
    with scene(location, systems=SYSTEMS) as stage:
        erp = ScriptedSystem("erp")
        assert erp.read(stage.central.connected(0)) == shipped[1].told
        stage.tick(0)
        stage.tick(LIMITS.lock_s * 1_000)
        stage.tick(1_000)
        assert codes(stage) == ["answer_missed"]


@pytest.mark.parametrize("other", [False, True])
def test_an_answer_that_is_repeated_when_its_entry_is_archived_is_recorded(
    location, tmp_path, shipped, other
):
    edge, erp, sms = shipped
    (lock,), (confirmation,) = erp.commands(), sms.commands()
    answer = erp.say(InventoryLocked(order_id="o"), lock)
    with scene(location, systems=SYSTEMS) as stage:
        stage.tell(answer, sms.say(MessageSent(order_id="o"), confirmation))
        sign(stage, tmp_path)
        edge.say(received("dc", A=1))
        tell(stage, edge)
    archived = archive(location, tmp_path)
    assert archived.last == archived_through(location) > len(edge.log)
    if other:
        erp.said = 0
        answer = erp.say(InventoryLockRefused(order_id="o", reason="too late"), lock)
    with scene(location, systems=SYSTEMS) as stage:
        edge.say(received("dc", A=2))
        before = stage.stock()["dc", "A"][3]
        out = stage.tell(answer, edge.batch())
        told = [decode_data(x).kind for x in erp.read(out)]
        assert told == ["report.recorded"]
        assert stage.stock()["dc", "A"][3] == before + 2
