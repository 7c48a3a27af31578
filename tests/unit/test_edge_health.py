"""Health of devices at the edge: what is told of them, when, and what it never costs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.commands import FromDevice
from edge.config import LogLimits
from edge.devices import FAULTS_MAX
from edge.health import DEVICES_MAX, TELL_MS, TELLINGS_MAX, Health
from shared.clock import to_datetime, to_ms
from shared.devices import DeviceReported
from shared.envelope import decode_data
from shared.errors import OverloadedError
from shared.frames import Rejoin
from tests.edge_scene import Scene, open_scene
from tests.shop import NOON_MS, device_event, payment, question

SILENCE_MS = 90_000
WILL = DeviceReported(status="lost", connection="c1", detail="last will")


def birth(connection: str = "c1", **more: Any) -> DeviceReported:
    return DeviceReported(status="online", connection=connection, **more)


def beat() -> DeviceReported:
    return DeviceReported(status="heartbeat")


def fault(code: str = "paper_out", part: str | None = "printer", detail: str = "") -> Any:
    return DeviceReported(status="fault", part=part, code=code, detail=detail)


def cleared(code: str | None = "paper_out", part: str | None = "printer") -> Any:
    return DeviceReported(status="cleared", part=part, code=code)


def told(scene: Scene) -> list[DeviceReported]:
    """What the log says of devices."""
    events = [decode_data(event) for event in scene.log()]
    return [data for data in events if isinstance(data, DeviceReported)]


def words(scene: Scene) -> list[str]:
    return [data.status for data in told(scene)]


def listening(scene: Scene) -> Scene:
    scene.core.health.listen()
    scene.turn()
    return scene


def later(scene: Scene, seconds: int) -> None:
    """Time goes by, a turn each second."""
    for _ in range(seconds):
        scene.now_ms += 1_000
        scene.elapsed_ms += 1_000
        scene.turn()


def test_a_change_is_told_at_once_and_heartbeats_are_not(scene: Scene) -> None:
    scene.tell("wh-3", birth(node_id="dc-south"), "b1")
    for number in range(20):
        scene.now_ms += 30_000
        scene.tell("wh-3", beat(), f"h{number}")
    (online,) = told(scene)
    (event,) = scene.log()
    assert (online.status, online.device, online.node_id) == ("online", "wh-3", "dc-south")
    assert online.since == online.last_seen == to_datetime(NOON_MS)
    assert (event.causationid, event.correlationid) == ("b1", "/devices/wh-3")
    assert scene.said == []


def test_a_last_will_tells_when_the_device_was_last_heard(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=5)
    scene.tell("till-1", birth(), "b1")
    scene.now_ms += 60_000
    scene.tell("till-1", payment("sku-1"), "p1")
    scene.now_ms += 120_000
    scene.turn(scene.message("till-1", WILL, "will-c1", NOON_MS))
    lost = told(scene)[-1]
    assert (lost.status, lost.detail) == ("lost", "last will")
    assert lost.last_seen == to_datetime(NOON_MS + 60_000)
    assert lost.since == to_datetime(NOON_MS + 180_000)
    assert scene.log()[-1].causationid == "will-c1"


def test_a_question_is_a_sign_of_life(scene: Scene) -> None:
    scene.tell("till-1", birth(), "b1")
    scene.now_ms += 5_000
    scene.core.answer(scene.message("till-1", question("sku-1"), "q1"), scene.now_ms)
    scene.tell("till-1", WILL, "w1")
    assert told(scene)[-1].last_seen == to_datetime(NOON_MS + 5_000)


def test_any_message_of_a_lost_device_shows_that_it_is_there(scene: Scene) -> None:
    scene.grant("dc-south", sku_1=5)
    scene.tell("till-1", birth(), "b1")
    scene.tell("till-1", WILL, "w1")
    scene.tell("till-1", payment("sku-1"), "p1")
    assert words(scene) == ["online", "lost", "online"]


def test_the_will_of_an_earlier_connection_is_old_news(scene: Scene) -> None:
    scene.tell("till-1", birth("c1"), "b1")
    scene.tell("till-1", birth("c2"), "b2")
    scene.tell("till-1", WILL, "w1")
    assert words(scene) == ["online"]


def test_a_device_that_sends_heartbeats_is_lost_when_it_is_silent(scene: Scene) -> None:
    listening(scene)
    scene.tell("wh-3", birth(), "b1")
    scene.tell("wh-4", birth(), "b2")  # sends none, so its silence means nothing
    scene.tell("wh-3", beat(), "h1")
    later(scene, 95)
    lost = told(scene)[-1]
    assert words(scene) == ["online", "online", "lost"]
    assert (lost.device, lost.detail) == ("wh-3", "silent for 90 s")
    assert lost.last_seen == to_datetime(NOON_MS)
    assert scene.log()[-1].causationid == "h1"
    scene.tell("wh-3", beat(), "h2")
    assert words(scene)[-1] == "online"


def test_silence_means_nothing_while_the_edge_cannot_hear(scene: Scene) -> None:
    listening(scene)
    scene.tell("wh-3", beat(), "h1")
    scene.core.health.deafen()
    later(scene, 200)
    listening(scene)
    later(scene, 80)
    assert words(scene) == ["online"]
    scene.elapsed_ms += 3_600_000  # the machine slept
    scene.turn()
    assert words(scene) == ["online"]
    scene.core.health.behind = True
    later(scene, 200)
    assert words(scene) == ["online"]


def test_faults_are_told_when_they_begin_and_when_they_end(scene: Scene) -> None:
    scene.tell("wh-3", birth(), "b1")
    scene.tell("wh-3", fault(detail="call 020-1234 5678"), "f1")
    scene.tell("wh-3", fault(detail="call 020-1234 5678"), "f2")
    scene.tell("wh-3", fault("jam"), "f3")
    scene.tell("wh-3", cleared(None), "c1")
    assert [(x.status, x.part, x.code) for x in told(scene)] == [
        ("online", None, None),
        ("fault", "printer", "paper_out"),
        ("fault", "printer", "jam"),
        ("cleared", "printer", "paper_out"),
        ("cleared", "printer", "jam"),
    ]
    assert "1234" not in told(scene)[1].detail


def test_a_birth_ends_the_faults_of_the_life_before(scene: Scene) -> None:
    scene.tell("wh-3", fault(), "f1")
    scene.tell("wh-3", fault("jam"), "f2")
    scene.turn(scene.message("wh-3", birth("c2"), "b2"), scene.message("wh-3", fault("jam"), "f3"))
    assert [(x.status, x.code) for x in told(scene)[2:]] == [
        ("fault", "jam"), ("cleared", "paper_out"),
    ]  # fmt: skip


def test_a_device_that_comes_and_goes_does_not_fill_the_log(scene: Scene) -> None:
    listening(scene)
    for number in range(600):
        scene.tell("till-1", birth(f"c{number}"), f"b{number}")
        scene.tell("till-1", DeviceReported(status="lost", connection=f"c{number}"), f"w{number}")
        later(scene, 1)
    assert len(told(scene)) <= TELLINGS_MAX + 600_000 // TELL_MS
    scene.tell("till-1", birth("last"), "last")
    later(scene, TELL_MS // 1_000 + 1)
    assert words(scene)[-1] == "online"


def test_a_commit_that_fails_is_told_again(scene: Scene) -> None:
    scene.tell("till-1", birth(), "b1")
    scene.turn(scene.message("till-1", WILL, "w1"), broken_disk=True)
    assert words(scene) == ["online"]
    later(scene, 2)
    assert words(scene) == ["online", "lost"]


def test_a_device_that_went_while_the_edge_was_down_is_lost_with_its_last_word(
    scene: Scene,
) -> None:
    listening(scene)
    scene.tell("wh-3", birth(), "b1")
    for number in range(10):
        later(scene, 30)
        scene.tell("wh-3", beat(), f"h{number}")
    later(scene, 31)
    seen_ms = scene.now_ms - 31_000
    scene.restart()
    scene.now_ms += 600_000
    listening(scene)
    later(scene, 80)
    assert words(scene) == ["online"]
    later(scene, 15)
    lost = told(scene)[-1]
    assert lost.status == "lost"
    assert lost.last_seen == to_datetime(seen_ms)


def test_health_keeps_no_payment_out_of_a_full_outbox(tmp_path: Path) -> None:
    scene = open_scene(tmp_path / "edge.db", LogLimits(outbox_rows_max=1_000))
    scene.grant("dc-south", sku_1=1_000)
    for number in range(300):
        scene.tell(f"till-{number}", birth(), f"b{number}")
    before = len(scene.log())
    assert len(told(scene)) == 300
    taken = 0
    while not scene.codes(f"p{taken - 1}"):
        scene.tell("till-1", payment("sku-1"), f"p{taken}")
        taken += 1
    assert len(scene.log()) - before >= 1_000
    scene.restart()  # it is known again which entries are about health
    scene.tell("till-1", payment("sku-1"), "again")
    assert scene.codes("again") == ["outbox_full"]
    scene.ack_all()
    scene.tell("till-1", payment("sku-1"), "room")
    assert scene.kinds("room") == ["order.accepted"]


def test_an_edge_that_must_not_sell_tells_of_devices_in_its_next_epoch(scene: Scene) -> None:
    scene.tell("till-1", birth(), "b1")
    scene.tell("till-2", birth(), "b2")
    scene.ack(99)  # central knows more than this store
    scene.turn()
    scene.tell("till-1", WILL, "w1")
    assert scene.codes("w1") == []
    assert words(scene) == ["online", "online"]
    scene.feed(Rejoin(epoch=2, restored=True))
    scene.feed([])
    later(scene, 1)
    of_epoch = [decode_data(event) for event in scene.log() if event.epoch == 2]
    assert [(x.device, x.status) for x in of_epoch if isinstance(x, DeviceReported)] == [
        ("till-1", "lost"), ("till-2", "online"),
    ]  # fmt: skip


def command(device: str, data: DeviceReported, event_id: str = "e") -> FromDevice:
    return FromDevice(device, device_event(device, event_id, data), data)


def test_who_is_lost_longest_makes_room_for_another_device() -> None:
    health = Health([], [], SILENCE_MS)
    for number in range(DEVICES_MAX):
        health.take(command(f"d{number}", birth()), number)
    with pytest.raises(OverloadedError):
        health.take(command("one-more", birth()), 1)
    health.take(command("d7", WILL), 2)
    health.take(command("d5", WILL), 3)
    while health.due(10**9, 0):
        health.settled()
    health.take(command("one-more", birth()), 4)
    assert (health.find("d7"), health.find("d5") is None) == (None, False)
    told = health.due(10**9, 0)
    assert told is not None
    assert ("d7", None) in told.rows


def test_a_device_has_so_many_faults_at_a_time_and_no_more() -> None:
    health = Health([], [], SILENCE_MS)
    for number in range(FAULTS_MAX):
        health.take(command("d", fault(f"f{number}")), 1)
    health.take(command("d", fault("f3", detail="worse")), 1)
    with pytest.raises(OverloadedError):
        health.take(command("d", fault("one-more")), 1)


codes = st.sampled_from(["jam", "paper_out"])
parts = st.sampled_from(["printer", None])
steps = st.lists(
    st.tuples(
        st.sampled_from(["d1", "d2"]),
        st.one_of(
            st.builds(birth, st.sampled_from(["c1", "c2"])),
            st.just(beat()),
            st.builds(
                lambda c: DeviceReported(status="lost", connection=c),
                st.sampled_from(["c1", "c2", None]),
            ),
            st.builds(fault, codes, parts, st.sampled_from(["", "worse"])),
            st.builds(cleared, st.one_of(codes, st.none()), parts),
            st.sampled_from(["breaks", "restart", "epoch"]),
        ),
        st.sampled_from([0, 1_000, 1_000, 200_000]),
    ),
    max_size=60,
)


class Log:
    """An edge's log and rows around a health, with commits that may fail."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.entries: list[DeviceReported] = []
        self.health = Health([], [], SILENCE_MS)

    def commit(self, elapsed_ms: int, *, breaks: bool = False) -> None:
        told = self.health.due(elapsed_ms, 0)
        if told is None:
            return
        end = len(self.entries)
        self.health.logged(range(end + 1, end + 1 + len(told.reports)))
        if breaks:
            self.health.undone(end)
            return
        self.entries += [report for _, report in told.reports]
        for device, body in told.rows:
            assert body is not None
            self.rows[device] = body
        self.health.settled()

    def last_word(self) -> dict[str, tuple[bool | None, dict[Any, str]]]:
        """What somebody knows who has read the log."""
        found: dict[str, tuple[bool | None, dict[Any, str]]] = {}
        for x in self.entries:
            up, faults = found.get(str(x.device), (None, {}))
            match x.status:
                case "online" | "lost":
                    up = x.status == "online"
                case "fault":
                    faults = faults | {(x.part, x.code): x.detail}
                case "cleared":
                    faults = {k: v for k, v in faults.items() if k != (x.part, x.code)}
            found[str(x.device)] = up, faults
        return found


class Truth:
    """A device as it should be known, by the rules of docs/protocol.md."""

    def __init__(self) -> None:
        self.up = True
        self.connection: str | None = None
        self.faults: dict[Any, str] = {}

    def take(self, x: DeviceReported, first: bool) -> None:
        if x.status == "lost":
            if first or x.connection is None or self.connection in (None, x.connection):
                self.up = False
            return
        self.up = True
        if x.status == "online":
            self.connection, self.faults = x.connection, {}
        elif x.status == "fault":
            self.faults[x.part, x.code] = x.detail
        elif x.status == "cleared":
            every = x.part is None and x.code is None
            for part, code in list(self.faults):
                if every or (part == x.part and x.code in (None, code)):
                    del self.faults[part, code]


@given(steps)
def test_the_last_word_of_the_log_is_the_last_state_of_the_device(walk: Any) -> None:
    log, truth = Log(), dict[str, Truth]()
    elapsed_ms = 0
    for number, (device, what, wait_ms) in enumerate(walk):
        elapsed_ms += wait_ms
        breaks = what == "breaks"
        if what == "restart":
            log.commit(elapsed_ms)
            known = range(1, len(log.entries) + 1)
            log.health = Health(log.rows.values(), known, SILENCE_MS)
        elif what == "epoch":
            log.health.retell()
        elif not breaks:
            first = device not in truth
            truth.setdefault(device, Truth()).take(what, first)
            log.health.take(command(device, what, str(number)), elapsed_ms)
        log.commit(elapsed_ms, breaks=breaks)
    for _ in range(3):
        elapsed_ms += TELLINGS_MAX * TELL_MS
        log.commit(elapsed_ms)
    assert log.last_word() == {k: (x.up, x.faults) for k, x in truth.items()}
    told_before = len(log.entries)
    log.commit(elapsed_ms + TELL_MS)
    assert len(log.entries) == told_before


def test_times_of_the_log_are_the_edges_own(scene: Scene) -> None:
    scene.turn(scene.message("till-1", birth(), "b1", at_ms=NOON_MS - 86_400_000))
    assert to_ms(scene.log()[-1].time) == NOON_MS
