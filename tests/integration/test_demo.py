import json
from pathlib import Path

import pytest

from deploy.demo.run import run
from deploy.demo.stage import BrokerKind
from tests.conftest import skip_without_mosquitto
from tests.processes import that_name

KEYS = {
    "orders": {"sent", "accepted", "parked", "in_ledger", "lost", "duplicated"},
    "stock": {"cells", "oversold", "conserved"},
    "tasks": {"issued", "delivered", "lost", "duplicated"},
    "quote_ms": {"p50", "p99", "max"},
    "accept_ms": {"p50", "p99", "max"},
}
SALES = 40


@pytest.mark.slow
@pytest.mark.parametrize(
    "brokers", ["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)]
)
def test_a_short_day_keeps_every_promise(tmp_path: Path, brokers: BrokerKind):
    if brokers == "mosquitto":
        skip_without_mosquitto()
    path = tmp_path / "report.json"
    code = run(True, path, 10, orders=SALES, data_dir=tmp_path / "data", brokers=brokers)
    report = json.loads(path.read_bytes())
    # How fast this machine is while it runs tests is not for this test to say.
    failures = [text for text in report["failures"] if "200 ms" not in text]
    assert failures == []
    assert code == (1 if report["failures"] else 0)
    for part, keys in KEYS.items():
        assert keys <= report[part].keys()
    orders, stock = report["orders"], report["stock"]
    assert orders["sent"] == orders["accepted"] == orders["in_ledger"] == SALES
    assert (orders["lost"], orders["duplicated"], stock["oversold"]) == (0, 0, 0)
    assert stock["conserved"] is True
    assert orders["sent_twice"] > 0
    cut = report["wan_cut"]
    assert cut["reconnects_turned_away"] > 0
    assert cut["orders_sent"] == cut["orders_answered"] > 0
    assert {x["kind"] for x in report["outages"]} == {"edge killed", "broker wiped"}
    for outage in report["outages"]:
        assert outage["orders_sent"] == outage["orders_answered"] > 0
    assert report["reroutes"]["picks"] == report["tasks"]["short"] + report["tasks"]["rejected"]
    assert that_name(tmp_path) == []


def test_a_demo_that_cannot_start_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("deploy.demo.stage.Stage._broker_command", lambda *_: ["false"])
    assert run(True, None, 10, orders=5, data_dir=tmp_path, brokers="embedded") == 2
    assert "broker-central ended with 1" in capsys.readouterr().out
    assert that_name(tmp_path) == []
