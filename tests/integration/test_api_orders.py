"""Orders that are put in over HTTP, through a real broker and a real edge."""

import signal
import sqlite3
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from central.config import load_config
from central.vault import read_accesses
from tests import shop
from tests.conftest import skip_without_mosquitto
from tests.processes import Daemon
from tests.town import CONTACT, town

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    skip_without_mosquitto()
    with town(tmp_path_factory.mktemp("town")) as found:
        yield found


def test_an_order_is_taken_once_and_the_same_key_gets_the_same_answer(place):
    payment = shop.payment("sku-1", "sku-2", contact=CONTACT)
    first = place.put_in(payment, "shop-000001")
    assert first.status_code == 201, first.text
    taken = first.json()
    assert taken["edge_id"] == "edge-1"
    assert first.headers["Location"] == f"/v1/orders/{taken['order_id']}"
    assert "Lei" not in first.text
    again = place.put_in(payment, "shop-000001")
    assert (again.status_code, again.json()) == (201, taken)
    other = place.put_in(payment, "shop-000002")
    assert other.json()["order_id"] != taken["order_id"]

    found = place.until(first.headers["Location"])
    assert found["order"]["edge_id"] == "edge-1"
    page = place.ask("/v1/orders", params={"limit": 200}).json()
    assert [x["order_id"] for x in page["items"]].count(taken["order_id"]) == 1


def test_a_key_that_was_used_for_another_order_is_refused(place):
    assert place.put_in(shop.payment("sku-1"), "shop-000010").status_code == 201
    other = place.put_in(shop.payment("sku-3"), "shop-000010")
    assert (other.status_code, other.json()["code"]) == (422, "id_reused")


def test_what_the_edge_refuses_is_told_with_its_place(place):
    refused = place.put_in(shop.payment("sku-1", "nope"), "shop-000020")
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "unknown_sku")
    assert problem["place"] == "$.data.lines[1].sku"


def test_a_payment_of_no_time_is_refused_with_its_place(place):
    at = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59)))
    refused = place.put_in(shop.payment("sku-1", paid_at=at), "shop-000025")
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "invalid_data")
    assert problem["place"] == "$.paid_at"


def test_a_contact_is_shown_to_support_and_who_has_looked_is_recorded(place):
    answer = place.put_in(shop.payment("sku-1", contact=CONTACT), "shop-000030")
    path = f"{answer.headers['Location']}/contact"
    shown = place.until(path, "support")
    assert shown["contact"] == msgspec.to_builtins(CONTACT)
    assert place.ask(path, "operator").status_code == 403
    assert place.ask(path, "support").headers["Cache-Control"] == "no-store"
    assert place.ask("/v1/orders/nobody/contact", "support").json()["code"] == "no_contact"
    by = {x.by for x in read_accesses(load_config(place.config).data_dir)}
    assert by == {"the-support"}


def test_the_api_itself_is_nowhere_told_of_a_contact(place):
    path = place.put_in(shop.payment("sku-1", contact=CONTACT), "shop-000040").headers["Location"]
    place.until(path)
    for part in ("", "/timeline", "/why", "/events"):
        text = place.ask(path + part).text
        assert "Lei" not in text
        assert "4711" not in text


def test_an_edge_that_does_not_answer_leaves_the_order_pending(tmp_path):
    skip_without_mosquitto()
    with town(tmp_path, answer_s=0.3) as place:
        place.edge.send(signal.SIGSTOP)
        try:
            pending = place.put_in(shop.payment("sku-1"), "shop-000001")
        finally:
            place.edge.send(signal.SIGCONT)
        assert pending.status_code == 202
        place.until(pending.json()["look_at"])
        taken = place.put_in(shop.payment("sku-1"), "shop-000001")
        assert (taken.status_code, taken.json()["order_id"]) == (201, pending.json()["order_id"])

        place.lan.stop()
        place.until_true(lambda: place.client.get("/health/ready").json()["orders"] == "away")
        away = place.put_in(shop.payment("sku-1"), "shop-000002")
        assert (away.status_code, away.json()["code"]) == (503, "link")
        assert int(away.headers["Retry-After"]) > 0
        assert place.ask("/v1/orders").status_code == 200


def test_an_answer_that_the_edge_has_forgotten_comes_from_the_ledger(tmp_path):
    skip_without_mosquitto()
    with town(tmp_path) as place:
        payment = shop.payment("sku-1")
        first = place.put_in(payment, "shop-000001")
        place.until(first.headers["Location"])
        place.edge.stop()
        _forget_answers(tmp_path / "edge" / "edge.db")
        edge = Daemon("edge", "run", "-c", str(tmp_path / "edge.toml"))
        try:
            edge.until("ready")
            again = place.put_in(payment, "shop-000001")
        finally:
            edge.stop()
        assert (again.status_code, again.json()) == (201, first.json())


def _forget_answers(path):
    """As the edge does with what was acknowledged long ago."""
    database = sqlite3.connect(path)
    with database:
        assert database.execute("UPDATE answers SET position = NULL").rowcount
    database.close()


def test_the_process_says_ready_stops_cleanly_and_names_what_it_cannot_use(tmp_path):
    config = tmp_path / "central.toml"
    config.write_text('data_dir = "central"\n[api]\nport = 0\n')
    daemon = Daemon("central", "api", "-c", str(config))
    port = daemon.until("ready")["port"]
    config.write_text(f'data_dir = "central"\n[api]\nport = {port}\n')
    assert Daemon("central", "api", "-c", str(config)).wait() == 1
    assert daemon.stop() == 0
