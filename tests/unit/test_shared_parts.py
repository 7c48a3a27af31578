"""Ids, clocks, topics, frames, settings."""

import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import HybridClock, ScaledClock, SystemClock, to_datetime, to_ms
from shared.errors import ConfigError, InvalidDataError, NotJsonError, TopicMismatchError
from shared.frames import (
    Ack,
    Grant,
    Hello,
    decode_bulk,
    decode_frame,
    encode_bulk,
    encode_frame,
    feed_kind,
    parse_feed_kind,
)
from shared.ids import order_id
from shared.network import Network, parse_network
from shared.parts import CellUnits
from shared.settings import Broker, Section, load_settings
from shared.topics import down, parse_down, parse_up, up
from tests.shop import network, to_json

MS = st.integers(0, 253_402_300_799_999)


@given(st.text(max_size=50), st.text(max_size=50), MS)
def test_an_order_id_is_a_uuid_of_version_7_that_begins_with_its_time(
    source: str, event_id: str, time_ms: int
) -> None:
    made = uuid.UUID(order_id(source, event_id, time_ms))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == time_ms
    assert order_id(source, event_id, time_ms) == str(made)


def test_source_and_id_cannot_be_shifted_into_each_other() -> None:
    assert order_id("a", "bc", 1) != order_id("ab", "c", 1)


@given(st.lists(MS, min_size=1, max_size=50))
def test_a_hybrid_clock_only_goes_forward_whatever_the_wall_clock_does(times: list[int]) -> None:
    clock = HybridClock()
    readings = [clock.tick(ms) for ms in times]
    assert readings == sorted(set(readings))
    seen = HybridClock()
    seen.observe(readings[-1])
    assert seen.tick(0) > readings[-1]


def test_a_reading_that_is_no_clocks_does_not_use_up_the_clock() -> None:
    clock = HybridClock()
    clock.observe("f" * 16)
    assert len(clock.tick(2**47)) == 16


def test_a_scaled_clock_runs_faster() -> None:
    now_ms = SystemClock().now_ms()
    clock = ScaledClock(now_ms - 1_000, 0, 60.0)
    assert 60_000 <= clock.now_ms() < 120_000
    assert to_ms(to_datetime(1_234_567)) == 1_234_567


@pytest.mark.parametrize(
    "topic",
    ["", "other/v1/x/up/y", "pointsman/v1/x/down/y", "pointsman/v1//up/y", "pointsman/v1/x/up/",
     "pointsman/v1/x y/up/z", "pointsman/v1/up/y"],
)  # fmt: skip
def test_a_topic_that_is_no_devices_is_refused(topic: str) -> None:
    with pytest.raises(TopicMismatchError):
        parse_up(topic)


def test_topics_go_there_and_back() -> None:
    assert parse_up(up("till-1", "payment.succeeded")) == ("till-1", "payment.succeeded")
    assert parse_up(up("edge-1", "tasks/edge-2")) == ("edge-1", "tasks/edge-2")
    assert parse_down(down("edge-1", feed_kind(7, "grant"))) == ("edge-1", "feed/7/grant")
    assert parse_feed_kind("feed/7/grant") == (7, "grant")
    for wrong in ("feed/7", "feed/x/grant", "feed/7/coffee", "ack", "feed/²/grant"):
        with pytest.raises(InvalidDataError):
            parse_feed_kind(wrong)


def test_bulk_state_survives_the_wire() -> None:
    assert decode_bulk(encode_bulk(network()), Network) == network()
    grant = Grant(cells=[CellUnits(node_id="n", sku=f"s-{i}", quantity=i + 1) for i in range(9)])
    assert decode_bulk(encode_bulk(grant), Grant) == grant


@given(st.binary(max_size=100))
def test_bulk_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidDataError):
        decode_bulk(payload, Grant)


def test_control_messages_are_checked() -> None:
    hello = Hello(epoch=1, sequence=2, feed=3, boots=["0f" * 8])
    assert decode_frame(encode_frame(hello), Hello) == hello
    with pytest.raises(InvalidDataError):
        decode_frame(b'{"epoch":0,"sequence":0}', Ack)
    with pytest.raises(NotJsonError):
        decode_frame(b"\xff", Ack)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x: x["lanes"][0].update(node_id="gone"), "which is not in the document"),
        (lambda x: x["nodes"].append(x["nodes"][0]), "stands twice"),
        (lambda x: x["tariffs"][0]["steps"].reverse(), "ascend"),
        (lambda x: x["products"].clear(), "length >= 1"),
    ],
)
def test_a_network_document_that_contradicts_itself_is_refused(change, words: str) -> None:
    import json

    document = to_json(network())
    assert parse_network(json.dumps(document).encode()) == network()
    change(document)
    with pytest.raises(InvalidDataError, match=words):
        parse_network(json.dumps(document).encode())


def test_a_network_document_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidDataError):
        parse_network(b"{")
    with pytest.raises(NotJsonError):
        parse_network(b'{"currency":"\xff"}')


class Example(Section, frozen=True):
    folder: Path
    lan: Broker = Broker()


def test_settings_are_read_with_paths_from_the_files_folder(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('folder = "data"\n[lan]\nport = 1999\npassword_file = "secret"\n')
    (tmp_path / "secret").write_text("hush\n")
    example = load_settings(file, Example)
    assert example.folder == tmp_path / "data"
    assert (example.lan.port, example.lan.password()) == (1999, "hush")
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match="password file cannot be read"):
        example.lan.password()
    assert Broker().password() is None


@pytest.mark.parametrize(
    "text, words",
    [
        ("folder = 7", r"\$\.folder"),
        ('folder = "x"\nfoldr = "y"', "unknown field `foldr`"),
        ('folder = "x"\n[lan]\nport = 0', r"\$\.lan\.port"),
        ("folder = ", "not TOML"),
    ],
)
def test_wrong_settings_name_the_key(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_settings(file, Example)


def test_a_missing_settings_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "none.toml", Example)
