"""When a webhook is tried again; which events are wanted; how they are signed."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Oracle
from standardwebhooks import WebhookVerificationError

from central.followers.kinds import Kinds, kind_of
from central.followers.schedule import DELAYS_S, RETRY_AFTER_S_MAX, Answer, next_ms, wait_of
from central.followers.signatures import (
    drop_old_secrets,
    headers,
    message_id,
    read_secrets,
    rotate_secret,
)
from shared.errors import ConfigError

HOUR_MS = 3_600_000


def test_attempts_are_spread_over_three_days_and_then_end():
    times = [0]
    while (next_at := next_ms(len(times), times[-1], 0, draw=0.0)) is not None:
        times.append(next_at)
    assert len(times) == len(DELAYS_S) == 10
    assert times[:3] == [0, 5_000, 305_000]
    assert times[-1] == round(75.5847 * HOUR_MS, -3) == 272_105_000


@given(
    attempts=st.integers(1, 12),
    now_ms=st.integers(0, 2**45),
    wait_ms=st.integers(0, RETRY_AFTER_S_MAX * 1000),
    draw=st.floats(0, 1),
)
def test_no_attempt_comes_before_its_time_nor_much_later(attempts, now_ms, wait_ms, draw):
    due_ms = next_ms(attempts, now_ms, wait_ms, draw)
    if attempts >= len(DELAYS_S):
        assert due_ms is None
    else:
        delay_ms = DELAYS_S[attempts] * 1000
        assert max(delay_ms, wait_ms) <= due_ms - now_ms <= max(round(delay_ms * 1.2), wait_ms)


@pytest.mark.parametrize(
    "status,header,wait_ms",
    [
        (429, "7", 7_000),
        (503, " 120 ", 120_000),
        (503, "Thu, 01 Jan 1970 00:01:00 GMT", 59_000),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (429, "999999999", RETRY_AFTER_S_MAX * 1000),
        (429, "9" * 5_000, RETRY_AFTER_S_MAX * 1000),
        (429, "soon", 0),
        (429, "²", 0),
        (429, "-7", 0),
        (429, None, 0),
        (500, "7", 0),
    ],
)
def test_only_429_and_503_may_ask_to_wait_and_not_for_ever(status, header, wait_ms):
    assert wait_of(status, header, now_ms=1_000) == wait_ms


@given(st.text())
def test_any_retry_after_is_read_without_a_fault(header):
    assert 0 <= wait_of(429, header, now_ms=0) <= RETRY_AFTER_S_MAX * 1000


@pytest.mark.parametrize("status,delivered", [(200, True), (299, True), (199, False), (302, False)])
def test_only_2xx_is_delivered(status, delivered):
    assert Answer(status, "").delivered is delivered


def test_kinds_are_chosen_one_by_one_by_family_or_all():
    kinds = Kinds(("order.*", "pick.short"))
    assert "order.accepted" in kinds
    assert "pick.short" in kinds
    assert "pick.shorter" not in kinds
    assert "orders.accepted" not in kinds
    assert "payment.succeeded" in Kinds(("*",))
    assert None not in Kinds(("*",))
    assert not Kinds(())


@pytest.mark.parametrize(
    "type_,kind",
    [
        ("pointsman.order.accepted.v1", "order.accepted"),
        ("pointsman.inventory.lock.requested.v12", "inventory.lock.requested"),
        ("pointsman.order/#.v1", None),
        ("pointsman.+.v1", None),
        ("pointsman.order.accepted.v1\n", None),
        ("com.example.order", None),
        (None, None),
    ],
)
def test_what_is_no_type_of_ours_has_no_kind(type_, kind):
    assert kind_of(type_) == kind


@given(
    keys=st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3),
    body=st.text().map(str.encode),
    event_id=st.from_regex(r"[!-~]+", fullmatch=True),
)
def test_the_library_of_standard_webhooks_verifies_a_signature_by_any_of_the_secrets(
    keys, body, event_id
):
    now_s = int(datetime.now(UTC).timestamp())
    sent = headers(keys, message_id("/devices/d", event_id), now_s, body)
    for key in keys:
        Oracle("whsec_" + base64.b64encode(key).decode()).verify(body, sent, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Oracle(b"another key, also 24 bytes or more").verify(body + b" ", sent, json_parse=False)


def test_events_of_two_devices_with_one_id_have_two_message_ids_without_a_full_stop():
    first, second = message_id("/devices/a", "x.1"), message_id("/devices/b", "x.1")
    assert first == message_id("/devices/a", "x.1")
    assert first != second
    assert "." not in first


def test_a_secret_is_made_private_and_rotated_with_the_one_before(tmp_path):
    path = tmp_path / "deep" / "erp.secret"
    first = rotate_secret(path)
    assert first.startswith("whsec_")
    assert path.stat().st_mode & 0o777 == 0o600
    second = rotate_secret(path)
    assert path.read_text().split() == [second, first]
    third = rotate_secret(path)
    assert path.read_text().split() == [third, second]
    drop_old_secrets(path)
    assert path.read_text().split() == [third]
    assert [len(key) for key in read_secrets(path)] == [32]


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", "c" * 44, "whsec_" + "A" * 88 + "AAAA"],
)
def test_what_is_no_secret_is_refused_without_telling_it(tmp_path, text):
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="secret") as caught:
        read_secrets(path)
    assert len(text) < 10 or text not in str(caught.value)


def test_a_secret_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "secret"
    rotate_secret(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others than its owner"):
        read_secrets(path)
